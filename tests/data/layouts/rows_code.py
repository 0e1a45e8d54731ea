"""Rows of tasks that a program solves."""

from __future__ import annotations

import json

from tests.data.layouts.published import Published, program

HUB = "https://huggingface.co/datasets/"
ADD = program("def add(a, b):\n    return a + b")
SUBTRACT = program("def add(a, b):\n    return a - b")
ADD_METHOD = program("class Solution:\n    def add(self, a, b):\n        return a + b")
SUBTRACT_METHOD = program("class Solution:\n    def add(self, a, b):\n        return a - b")
SUM = program("print(sum(map(int, input().split())))")
DIFFERENCE = program("a, b = map(int, input().split())\nprint(a - b)")
THIRD = program("a, b = map(int, input().split())\nprint(f'{a / b:.8f}')")
CALL = {"fn_name": "add", "inputs": [[1, 2], [0, 5]], "outputs": [3, 5]}
STDIO = {"inputs": ["1 2\n", "0 5\n"], "outputs": ["3\n", "5\n"]}
LEETCODE = {
    "task_id": "add-two",
    "question_id": 1,
    "difficulty": "Easy",
    "tags": ["Math"],
    "problem_description": "Add two numbers.",
    "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
    "estimated_date": "2015-08-07",
    "prompt": "import math\nfrom typing import *\n\ndef close(a, b):\n    return math.isclose(a, b)\n",
    "completion": "class Solution: ...",
    "entry_point": "Solution().add",
    "test": "def check(candidate):\n    assert close(candidate(a = 1,b = 2), 3)\n    assert candidate(0, 5) == 5\n",
    "query": "You are an expert Python programmer. Add two numbers.",
    "response": "...",
    "input_output": [{"input": "a = 1, b = 2", "output": "3"}],
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def add(a, b):\n    '''Add.'''\n",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    "entry_point": "add",
}
MBPP = {
    "task_id": 2,
    "text": "Write a function to add two numbers.",
    "code": "def add(a, b): ...",
    "test_list": ["assert add(1, 2) == 3", "assert add(0, 5) == 5"],
    "test_setup_code": "",
    "challenge_test_list": [],
}
MBPP_SANITIZED = {
    "source_file": "x.ipynb",
    "task_id": 2,
    "prompt": "Write a function to add two numbers.",
    "code": "def add(a, b): ...",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(add(1, 2), 3)"],
}
ACECODE = {
    "id": "oss_1",
    "source": "oss",
    "question": "Write a function add(a, b).",
    "test_cases": ["assert add(1, 2) == 3", "assert add(0, 5) == 5"],
    "inferences": [{"completion": "...", "completion_id": 0, "model_name": "m", "pass_rate": 1.0}],
    "context_messages": [[{"content": "Write", "role": "user"}]],
}
APPS = {
    "problem_id": 1,
    "question": "Add the two numbers.",
    "solutions": "[]",
    "input_output": json.dumps(STDIO),
    "difficulty": "introductory",
    "url": "",
    "starter_code": "",
}
LCB = {
    "question_title": "add",
    "question_content": "Add the two numbers.",
    "platform": "atcoder",
    "question_id": "abc300_a",
    "contest_id": "abc300",
    "contest_date": "2023-04-29T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
    "private_test_cases": "eJxrYJmq",
    "metadata": "{}",
}
LCB_CALL = {
    **LCB,
    "question_id": "2777",
    "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
    "private_test_cases": json.dumps([{"input": "0\n5", "output": "5", "testtype": "functional"}]),
    "metadata": json.dumps({"func_name": "add"}),
}
CODECONTESTS = {
    "name": "1_A. Sum",
    "description": "Add the two numbers.",
    "public_tests": {"input": ["1 2\n"], "output": ["3\n"]},
    "private_tests": {"input": [], "output": []},
    "generated_tests": {"input": ["0 5\n"], "output": ["5\n"]},
    "source": 2,
    "difficulty": 7,
    "solutions": {"language": [3], "solution": ["..."]},
    "incorrect_solutions": {"language": [], "solution": []},
    "cf_contest_id": 1,
    "cf_index": "A",
    "cf_points": 0.0,
    "cf_rating": 800,
    "cf_tags": ["math"],
    "is_description_translated": False,
    "untranslated_description": "",
    "time_limit": {"seconds": 1, "nanos": 500000000},
    "memory_limit_bytes": 256000000,
    "input_file": "",
    "output_file": "",
}
DEEPCODER = {
    "problem": "Add the two numbers.",
    "solutions": ["..."],
    "tests": json.dumps([{"type": "stdin_stdout", "input": "1 2\n", "output": "3\n"}]),
}
DEEPCODER_CALL = {
    "problem": "Add the two numbers.",
    "starter_code": "def add(a, b):",
    "tests": json.dumps([{"type": "function_call", "fn_name": "add", "input": [1, 2], "output": 3}]),
    "metadata": json.dumps({}),
}
KODCODE = {
    "version": "v1.0",
    "style": "instruct",
    "subset": "Prefill",
    "conversation_id": "c1",
    "question": "Write a function that adds two numbers.",
    "solution": "def add(a, b):\n    return a + b",
    "test": "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3\n    assert add(0, 5) == 5\n",
    "test_info": [
        {"docstring": "", "function_declaration": "def add(a, b):", "function_name": "add", "parameter_list": "(a, b)"}
    ],
    "gpt_pass_percentage": 1.0,
}
ROWS = (
    Published(
        layout="LeetCodeDataset",
        name="newfacade/LeetCodeDataset",
        source="https://github.com/newfacade/LeetCodeDataset; verl, examples/data_preprocess/coder1.py (query, test, "
        "entry_point); r1ray's acceptance cases",
        rows=(LEETCODE, {**LEETCODE, "entry_point": "add", "query": "Add."}),
        right=(ADD_METHOD, ADD),
        wrong=(SUBTRACT_METHOD, SUBTRACT),
        shows=("You are an expert Python programmer.",),
    ),
    Published(
        layout="HumanEval",
        name="openai/openai_humaneval",
        source=f"{HUB}openai/openai_humaneval; conf/benchmark/human_eval_mul.yaml",
        rows=(HUMANEVAL, {**HUMANEVAL, "task_id": "HumanEval/1"}),
        right=(ADD, ADD),
        wrong=(SUBTRACT, SUBTRACT),
    ),
    Published(
        layout="MBPP",
        name="google-research-datasets/mbpp (full, sanitized)",
        source=f"{HUB}Valliappan/mbpp2, a copy (dataset_info); r1ray's acceptance cases (full)",
        rows=(MBPP, MBPP_SANITIZED),
        right=(ADD, ADD),
        wrong=(SUBTRACT, SUBTRACT),
        shows=("assert add(1, 2) == 3",),
    ),
    Published(
        layout="AceCode",
        name="TIGER-Lab/AceCode-87K",
        source=f"{HUB}TIGER-Lab/AceCode-87K (dataset_info)",
        rows=(ACECODE, {**ACECODE, "id": "oss_2"}),
        right=(ADD, ADD),
        wrong=(SUBTRACT, SUBTRACT),
    ),
    Published(
        layout="APPS, TACO",
        name="codeparrot/apps, BAAI/TACO",
        source=f"{HUB}BAAI/TACO; verl, examples/data_preprocess/coder1.py (question, starter_code, input_output)",
        rows=(
            APPS,
            {**APPS, "input_output": json.dumps(CALL), "starter_code": "def add(a, b):", "name": "Add", "tags": "[]"},
        ),
        right=(SUM, ADD),
        wrong=(DIFFERENCE, SUBTRACT),
    ),
    Published(
        layout="LiveCodeBench",
        name="livecodebench/code_generation_lite",
        source="conf/benchmark/live_code_bench.yaml",
        rows=(LCB, LCB_CALL),
        right=(SUM, ADD_METHOD),
        wrong=(DIFFERENCE, SUBTRACT_METHOD),
    ),
    Published(
        layout="CodeContests",
        name="deepmind/code_contests",
        source=f"{HUB}deepmind/code_contests; TheFactoryX/edition_3117_deepmind-code_contests-readymade (dataset_info)",
        rows=(CODECONTESTS, {**CODECONTESTS, "name": "1_B. Sum", "generated_tests": {"input": [], "output": []}}),
        right=(SUM, SUM),
        wrong=(DIFFERENCE, DIFFERENCE),
    ),
    Published(
        layout="DeepCoder",
        name="agentica-org/DeepCoder-Preview-Dataset (primeintellect)",
        source="tinker-cookbook, recipes/code_rl/code_env.py; rllm, cookbooks/deepcoder",
        rows=(DEEPCODER, DEEPCODER_CALL),
        right=(SUM, ADD),
        wrong=(DIFFERENCE, SUBTRACT),
    ),
    Published(
        layout="DeepCoder",
        name="agentica-org/DeepCoder-Preview-Dataset (taco, lcbv5)",
        source="tinker-cookbook, recipes/code_rl/code_env.py (taco_to_lcb_format, metadata.func_name)",
        rows=(
            {**DEEPCODER, "tests": json.dumps({"inputs": ["1 3\n"], "outputs": ["0.333333333\n"]})},
            {
                "problem": "Add.",
                "starter_code": LCB_CALL["starter_code"],
                "tests": json.dumps(
                    [{"input": "1\n2", "output": "3", "testtype": "functional", "metadata": {"func_name": "add"}}]
                ),
                "metadata": "{}",
            },
        ),
        right=(THIRD, ADD_METHOD),
        wrong=(DIFFERENCE, SUBTRACT_METHOD),
    ),
    Published(
        layout="KodCode",
        name="KodCode/KodCode-V1",
        source="https://github.com/KodCode-AI/kodcode; a loader of it (question, test, test_info as a list of one)",
        rows=(KODCODE, {**KODCODE, "conversation_id": "c2", "style": "complete"}),
        right=(ADD, ADD),
        wrong=(SUBTRACT, SUBTRACT),
        shows=("def add(a, b):",),
    ),
)
