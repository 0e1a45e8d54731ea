"""Rows of questions with a short answer."""

from __future__ import annotations

from tests.data.layouts.published import Published, answer

HUB = "https://huggingface.co/datasets/"


def _pair(first: str, second: str) -> tuple[str, str]:
    return answer(first), answer(second)


NUMINA = {
    "problem": "What is 1+1?",
    "solution": r"So it is \boxed{2}.",
    "answer": "2",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "problem_is_valid": "Yes",
    "solution_is_valid": "Yes",
    "source": "cn_k12",
    "synthetic": False,
}
DEEPMATH = {
    "question": "What is the limit of $1/n$?",
    "final_answer": "0",
    "difficulty": 5.0,
    "topic": "Calculus",
    "r1_solution_1": "...",
    "r1_solution_2": "...",
    "r1_solution_3": "...",
}
OPEN_MATH = {
    "expected_answer": "7",
    "problem_type": "has_answer_extracted",
    "problem_source": "aops_c6_high_school_olympiads",
    "generation_model": "DeepSeek-R1",
    "pass_rate_72b_tir": "0.5",
    "problem": "What is $3+4$?",
    "generated_solution": "<think>...</think>",
    "inference_mode": "cot",
    "used_in_kaggle": True,
}
ROWS = (
    Published(
        layout="r1ray",
        name="r1ray's own",
        source="r1ray/data/README.md",
        rows=(
            {"prompt": "What is 7 * 8?", "check": {"type": "math", "answer": "56"}},
            {"prompt": "What is 2 * 3?", "check": '{"type": "math", "answer": "6"}'},
        ),
        right=_pair("56", "6"),
        wrong=_pair("54", "5"),
    ),
    Published(
        layout="NuminaMath-1.5",
        name="AI-MO/NuminaMath-1.5",
        source=f"{HUB}AI-MO/NuminaMath-1.5 (dataset_info); NeMo RL, NuminaMath15Dataset",
        rows=(NUMINA, {**NUMINA, "problem": "Halve one.", "answer": r"\frac{1}{2}"}),
        right=_pair("2", "0.5"),
        wrong=_pair("3", "2"),
    ),
    Published(
        layout="Hugging Face",
        name="AI-MO/NuminaMath-CoT",
        source=f"{HUB}AI-MO/NuminaMath-CoT (source, problem, solution, messages)",
        rows=(
            {"source": "cn_k12", "problem": "1+1", "solution": r"The sum is $\boxed{2}$.", "messages": []},
            {
                "source": "cn_k12",
                "problem": "2+2",
                "solution": r"It is \boxed{\text{four}}: $\boxed{4}$",
                "messages": [],
            },
        ),
        right=_pair("2", "4"),
        wrong=_pair("1", "5"),
    ),
    Published(
        layout="Hugging Face",
        name="openai/gsm8k",
        source="verl, examples/data_preprocess/gsm8k.py",
        rows=(
            {"question": "3 apples and 4 more?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"},
            {"question": "A thousand twice?", "answer": "1000 * 2 = 2000\n#### 2,000"},
        ),
        right=_pair("7", "2000"),
        wrong=_pair("8", "1000"),
    ),
    Published(
        layout="Hugging Face",
        name="Maxwell-Jia/AIME_2024 (columns in capitals)",
        source=f"conf/benchmark/aime_2024.yaml; {HUB}Maxwell-Jia/AIME_2024",
        rows=(
            {"ID": "2024-I-1", "Problem": "Find $x$ if $x = 204$.", "Solution": "It is 204.", "Answer": 204},
            {"ID": "2024-I-2", "Problem": "Find $y$ if $y = 25$.", "Solution": "It is 25.", "Answer": 25},
        ),
        right=_pair("204", "025"),
        wrong=_pair("240", "26"),
    ),
    Published(
        layout="DeepMath-103K",
        name="zwhe99/DeepMath-103K",
        source=f"{HUB}zwhe99/DeepMath-103K (dataset_info)",
        rows=(DEEPMATH, {**DEEPMATH, "question": "Is $e$ rational?", "final_answer": "No"}),
        right=_pair("0", "No"),
        wrong=_pair("1", "Yes"),
    ),
    Published(
        layout="OpenMathReasoning",
        name="nvidia/OpenMathReasoning",
        source=f"{HUB}nvidia/OpenMathReasoning (dataset_info)",
        rows=(OPEN_MATH, {**OPEN_MATH, "problem": "Half of 3?", "expected_answer": "3/2"}),
        right=_pair("7", "1.5"),
        wrong=_pair("8", "3"),
    ),
    Published(
        layout="TRL",
        name="TRL and open-r1: prompt, solution",
        source="open-r1, src/open_r1/rewards.py (accuracy_reward: the column solution); TRL hands columns to it",
        rows=(
            {"prompt": [{"role": "user", "content": "What is 5+5?"}], "solution": "10"},
            {"prompt": "What is 6+6?", "solution": r"We add: $\boxed{12}$"},
        ),
        right=_pair("10", "12"),
        wrong=_pair("11", "10"),
    ),
    Published(
        layout="OpenRLHF, slime",
        name="slime's dapo-math-17k.jsonl, OpenRLHF's label key",
        source="slime, scripts (--input-key prompt --label-key label)",
        rows=(
            {"prompt": [{"role": "user", "content": "What is 30+4?"}], "label": "34"},
            {"input": "What is 2-5?", "label": -3},
        ),
        right=_pair("34", "-3"),
        wrong=_pair("43", "3"),
    ),
    Published(
        layout="Countdown-Tasks",
        name="Jiayi-Pan/Countdown-Tasks-3to4",
        source="verl, examples/data_preprocess/countdown.py (nums, target)",
        rows=({"target": 98, "nums": [44, 19, 35]}, {"target": 5, "nums": [20, 4]}),
        right=_pair("44 + 19 + 35", r"20 \div 4 = 5"),
        wrong=_pair("63 + 35", "4 + 1"),
        shows=("[44, 19, 35]", "98"),
    ),
    Published(
        layout="FlashRAG",
        name="RUC-NLPIR/FlashRAG_datasets (Search-R1's questions)",
        source="verl, examples/data_preprocess/preprocess_search_r1_dataset.py (question, golden_answers)",
        rows=(
            {
                "id": "train_0",
                "question": "Who wrote Hamlet?",
                "golden_answers": ["Shakespeare", "William Shakespeare"],
            },
            {"id": "train_1", "question": "Capital of France?", "golden_answers": ["Paris"]},
        ),
        right=_pair("William Shakespeare", "the Paris"),
        wrong=_pair("Marlowe", "London"),
    ),
)
