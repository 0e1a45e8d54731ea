"""Rows of verl, tulu and SYNTHETIC, whose ground truths are of many kinds."""

from __future__ import annotations

import json
from typing import Any

from tests.data.layouts.published import Published, answer
from tests.data.layouts.rows_code import (
    ADD,
    ADD_METHOD,
    CALL,
    DIFFERENCE,
    STDIO,
    SUBTRACT,
    SUBTRACT_METHOD,
    SUM,
)

HUB = "https://huggingface.co/datasets/"


def verl(text: str, ground_truth: Any, *, source: str = "code", ability: str = "code") -> dict[str, Any]:
    return {
        "data_source": source,
        "prompt": [{"role": "user", "content": text}],
        "ability": ability,
        "reward_model": {"style": "rule", "ground_truth": ground_truth},
        "extra_info": {"split": "train", "index": 0},
    }


SKYWORK_LEETCODE = {
    "entry_point": "Solution().add",
    "import_prefix": "from typing import *\n",
    "test_code": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(a=0, b=5) == 5\n",
}
CODE_R1 = "def check(candidate):\n    assert candidate(a = 1,b = 2) == 3\n\n\ncheck(Solution().add)"
CODE_R1_TACO = (
    "_inputs = [[1, 2]]\n_outputs = [3]\nimport math\ndef _deep_eq(a, b):\n    return math.isclose(a, b)\n\n"
    "for i, o in zip(_inputs, _outputs):\n    assert _deep_eq(Solution().add(*i), o)"
)
SYNTHETIC = {
    "source": "numina",
    "task_type": "verifiable_math",
    "in_source_id": "1",
    "prompt": "What is 6*7?",
    "gold_standard_solution": "42",
    "verification_info": "{'ground_truth': '42'}",
    "metadata": "{}",
    "problem_id": "vfm_1",
}
SYNTHETIC_CODE = {
    **SYNTHETIC,
    "task_type": "verifiable_code",
    "prompt": "Add the two numbers.",
    "problem_id": "vcp_1",
    "verification_info": str(
        {
            "language": "python",
            "test_cases": [
                {"fn_name": None, "input": "1 2\n", "output": "3\n", "type": "stdin_stdout"},
                {"fn_name": None, "input": "0 5\n", "output": "5\n", "type": "stdin_stdout"},
            ],
        }
    ),
}
INTELLECT = {
    "problem_id": "i2_1",
    "task_type": "verifiable_math",
    "prompt": "What is 6*7?",
    "verification_info": json.dumps({"ground_truth": "42"}),
    "solve_rate_qwen_r1_distill_7b": 0.5,
}
INTELLECT_CODE = {
    **INTELLECT,
    "problem_id": "i2_2",
    "task_type": "prime_rl_code",
    "verification_info": json.dumps({"test_cases": json.dumps(CALL)}),
}
TULU = {
    "messages": [{"role": "user", "content": "Question: What is 6*7?\nAnswer:"}],
    "ground_truth": "42",
    "dataset": "gsm8k",
    "constraint_type": None,
    "constraint": None,
}
TULU_IF = {
    **TULU,
    "messages": [{"role": "user", "content": "Describe rain. No commas."}],
    "ground_truth": json.dumps({"func_name": "validate_no_commas", "N": None, "quantifier": None}),
    "dataset": "ifeval",
    "constraint_type": "no commas",
    "constraint": "Do not use any commas.",
}
ROWS = (
    Published(
        layout="verl",
        name="verl: GSM8K, DAPO-Math-17k",
        source=f"verl, examples/data_preprocess/gsm8k.py; {HUB}koajoel/DAPO-Math-17k-dedup (dataset_info)",
        rows=(
            verl('How many? Output the final answer after "####".', "72", source="openai/gsm8k", ability="math"),
            verl("Solve. The last line should be Answer: $Answer", "34", source="math_dapo", ability="MATH"),
        ),
        right=(answer("72"), answer("34")),
        wrong=(answer("27"), answer("43")),
    ),
    Published(
        layout="verl",
        name="Skywork/Skywork-OR1-RL-Data (math)",
        source=f"{HUB}Skywork/Skywork-OR1-RL-Data (dataset_info); Skywork-OR1, verl/utils/reward_score/livecodebench/"
        "compute_score.py (a JSON list of answers)",
        rows=(
            verl("A fraction?", json.dumps(["\\frac{3}{56}"]), ability="math"),
            verl("A number?", '["4"]', ability="math"),
        ),
        right=(answer("3/56"), answer("4")),
        wrong=(answer("56/3"), answer("5")),
    ),
    Published(
        layout="verl",
        name="TinyZero countdown",
        source="TinyZero, examples/data_preprocess/countdown.py and verl/utils/reward_score/countdown.py",
        rows=(
            verl("Make 98.", {"numbers": [44, 19, 35], "target": 98}, source="countdown", ability="math"),
            verl("Make 5.", json.dumps({"target": 5, "numbers": [20, 4]}), source="countdown", ability="math"),
        ),
        right=(answer("44 + 19 + 35"), answer("(20 / 4)")),
        wrong=(answer("44 + 44 + 10"), answer("5")),
    ),
    Published(
        layout="verl",
        name="Search-R1",
        source="verl, examples/data_preprocess/preprocess_search_r1_dataset.py, reward_score/search_r1_like_qa_em.py",
        rows=(
            verl(
                "Who wrote Hamlet?",
                {"target": ["Shakespeare", "W. Shakespeare"]},
                source="nq",
                ability="fact-reasoning",
            ),
            verl("Capital of France?", {"target": "Paris"}, source="hotpotqa", ability="fact-reasoning"),
        ),
        right=(answer("shakespeare"), answer("Paris.")),
        wrong=(answer("Marlowe"), answer("the capital")),
    ),
    Published(
        layout="verl",
        name="PRIME-RL/Eurus-2-RL-Data (code)",
        source="verl, verl/utils/reward_score/prime_code (inputs, outputs, fn_name)",
        rows=(verl("Add.", json.dumps(STDIO), source="taco"), verl("Add.", json.dumps(CALL), source="apps")),
        right=(SUM, ADD),
        wrong=(DIFFERENCE, SUBTRACT),
    ),
    Published(
        layout="verl",
        name="Skywork/Skywork-OR1-RL-Data (code)",
        source="Skywork-OR1, verl/utils/reward_score/livecodebench/compute_score.py (import_prefix, test_code)",
        rows=(
            verl("Add.", json.dumps(SKYWORK_LEETCODE), source="train-code-leetcode-Easy"),
            verl("Add.", '[{"input": ["1 2"], "output": ["3"]}]', source="train-code-taco-medium"),
        ),
        right=(ADD_METHOD, SUM),
        wrong=(SUBTRACT_METHOD, DIFFERENCE),
    ),
    Published(
        layout="verl",
        name="verl's sandbox_fusion: assert cases",
        source="verl, verl/utils/reward_score/sandbox_fusion/utils.py (in_outs.get('assert_case'))",
        rows=(
            verl("Add.", json.dumps({"assert_case": ["assert add(1, 2) == 3", "assert add(0, 5) == 5"]})),
            verl("Add.", json.dumps(["assert add(1, 2) == 3"])),
        ),
        right=(ADD, ADD),
        wrong=(SUBTRACT, SUBTRACT),
    ),
    Published(
        layout="verl",
        name="ganler/code-r1 (functional)",
        source="verl, examples/data_preprocess/coder1.py of code-r1",
        rows=(
            verl("Add.", json.dumps({"functional": CODE_R1})),
            verl("Add.", json.dumps({"functional": CODE_R1_TACO})),
        ),
        right=(ADD_METHOD, ADD_METHOD),
        wrong=(SUBTRACT_METHOD, SUBTRACT_METHOD),
    ),
    Published(
        layout="SYNTHETIC-1",
        name="PrimeIntellect/SYNTHETIC-1",
        source=f"{HUB}PrimeIntellect/verifiable-coding-problems (dataset_info); open-r1, verification_info.test_cases",
        rows=(SYNTHETIC, SYNTHETIC_CODE),
        right=(answer("42"), SUM),
        wrong=(answer("24"), DIFFERENCE),
    ),
    Published(
        layout="SYNTHETIC-1",
        name="PrimeIntellect/SYNTHETIC-2, INTELLECT-2-RL-Dataset",
        source=f"{HUB}justus27/rl-math-2 (dataset_info); prime-rl, genesys/code.py (test_cases as JSON text)",
        rows=(INTELLECT, INTELLECT_CODE),
        right=(answer("42"), ADD),
        wrong=(answer("24"), SUBTRACT),
    ),
    Published(
        layout="tulu RLVR",
        name="allenai/RLVR-GSM-MATH-IF-Mixed-Constraints",
        source=f"{HUB}allenai/RLVR-IFeval (dataset_info); open-instruct, if_functions.py",
        rows=(TULU, TULU_IF),
        right=(answer("42"), "Rain falls and the street shines."),
        wrong=(answer("24"), "Rain falls, and the street shines."),
    ),
)
