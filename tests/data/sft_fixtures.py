"""Rows of published data to fine-tune on, by the title of their layout."""

from __future__ import annotations

from tests.data.layout_fixture import Fixture

THINK = "<think>\nOne and one.\n</think>\n\n2"
USER, BOT = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}
LLAMA_FACTORY = "hiyouga/LLaMA-Factory, data/README.md"

FIXTURES = {
    "dolphin-r1": Fixture(
        "open-thoughts/open-thoughts, data_strategies/DolphinR1 (reasoning beside a conversation without an answer)",
        (
            {"messages": [USER], "reasoning": "One and one.", "answer": "2", "model": "deepseek-reasoner"},
            {"messages": [USER, BOT], "reasoning": None, "answer": None, "model": "gpt-4"},
        ),
        ((["1+1?"], [THINK]), (["1+1?"], ["2"])),
    ),
    "chat messages": Fixture(
        "card of HuggingFaceH4/Multilingual-Thinking (messages with thinking, null where there is none)",
        (
            {
                "reasoning_language": "English",
                "user": "1+1?",
                "analysis": "One and one.",
                "final": "2",
                "messages": [
                    {"role": "system", "content": "Add.", "thinking": None},
                    {**USER, "thinking": None},
                    {**BOT, "thinking": "One and one."},
                ],
            },
            {"messages": [{**USER, "thinking": None}, {**BOT, "thinking": None}]},
        ),
        ((["Add.", "1+1?"], [THINK]), (["1+1?"], ["2"])),
    ),
    "ShareGPT": Fixture(
        LLAMA_FACTORY,
        (
            {
                "conversations": [
                    {"from": "human", "value": "1+1?"},
                    {"from": "gpt", "value": "2"},
                    {"from": "human", "value": "2+2?"},
                    {"from": "gpt", "value": "4"},
                ],
                "system": "Add.",
                "tools": "",
            },
            {"conversations": [{"from": "gpt", "value": "Hello."}, {"from": "human", "value": "Hi."}]},
        ),
        ((["Add.", "1+1?"], ["2", "2+2?", "4"]), "no turn of the assistant after a question"),
    ),
    "WildChat": Fixture(
        "oumi-ai/oumi, src/oumi/datasets/sft/wildchat.py",
        (
            {"conversation_hash": "a", "model": "gpt-4", "conversation": [USER, BOT], "turn": 1},
            {"conversation_hash": "b", "model": "gpt-4", "conversation": [USER, {**BOT, "content": ""}], "turn": 1},
        ),
        ((["1+1?"], ["2"]), "conversation is empty"),
    ),
    "s1K-1.1": Fixture(
        "card of skytliang/s1K-1.1, a copy of simplescaling/s1K-1.1",
        (
            {
                "solution": "2",
                "question": "1+1?",
                "cot_type": "math",
                "gemini_thinking_trajectory": "Two ones.",
                "gemini_attempt": "It is 2",
                "deepseek_thinking_trajectory": "One and one.",
                "deepseek_attempt": "2",
            },
            {"question": "1+1?", "deepseek_thinking_trajectory": None, "deepseek_attempt": "2"},
        ),
        ((["1+1?"], [THINK]), "deepseek_thinking_trajectory is empty"),
    ),
    "s1K": Fixture(
        "oumi-ai/oumi, src/oumi/datasets/sft/s1k.py",
        (
            {
                "solution": "2",
                "question": "1+1?",
                "cot_type": "math",
                "cot": None,
                "thinking_trajectories": ["One and one."],
                "attempt": "2",
            },
            {"question": "1+1?", "thinking_trajectories": ["One", "and one."], "attempt": "2"},
        ),
        ((["1+1?"], [THINK]), (["1+1?"], ["<think>\nOne\nand one.\n</think>\n\n2"])),
    ),
    "OpenThoughts, metadata": Fixture(
        "card of open-thoughts/OpenThoughts-114k, configuration metadata",
        (
            {
                "problem": "1+1?",
                "deepseek_reasoning": "One and one.",
                "deepseek_solution": "2",
                "ground_truth_solution": "2",
                "domain": "math",
                "test_cases": None,
            },
            {"problem": "1+1?", "deepseek_reasoning": "One and one.", "deepseek_solution": " "},
        ),
        ((["1+1?"], [THINK]), "deepseek_solution is empty"),
    ),
    "medical-o1-reasoning": Fixture(
        "fine-tuning scripts of FreedomIntelligence/medical-o1-reasoning-SFT (its card names no columns)",
        (
            {"Question": "1+1?", "Complex_CoT": "One and one.", "Response": "2"},
            {"Question": "", "Complex_CoT": "One and one.", "Response": "2"},
        ),
        ((["1+1?"], [THINK]), "Question is empty"),
    ),
    "Chinese-DeepSeek-R1-Distill": Fixture(
        "card of benchang1110/Chinese-DeepSeek-R1-Distill-data-110k-opencc, a copy of Congliu's",
        (
            {"input": "1+1?", "content": "2", "reasoning_content": "One and one.", "repo_name": "math", "score": 10},
            {"input": "1+1?", "content": None, "reasoning_content": "One and one.", "repo_name": "math", "score": 10},
        ),
        ((["1+1?"], [THINK]), "content is empty"),
    ),
    "prompt and answer": Fixture(
        "card of argilla/distilabel-intel-orca-kto (label: whether the completion is a good one)",
        (
            {"system": "", "prompt": "1+1?", "completion": "2", "label": True, "rating": 9.0},
            {"system": "Add.", "prompt": "1+1?", "completion": "3", "label": False, "rating": 1.0},
        ),
        ((["1+1?"], ["2"]), "labelled as a bad one"),
    ),
    "dolly": Fixture(
        "horus-ai-labs/DistillFlow, distillflow/distill_datasets/dolly.py",
        (
            {"instruction": "How many?", "context": "Ann has 2.", "response": "2", "category": "closed_qa"},
            {"instruction": "1+1?", "context": "", "response": "2", "category": "open_qa"},
        ),
        ((["How many?\n\nAnn has 2."], ["2"]), (["1+1?"], ["2"])),
    ),
    "Alpaca": Fixture(
        LLAMA_FACTORY,
        (
            {"instruction": "Add.", "input": "1 and 1", "output": "2", "system": "Be brief.", "history": []},
            {"instruction": "2+2?", "input": "", "output": "4", "system": "", "history": [["1+1?", "2"]]},
        ),
        ((["Be brief.", "Add.\n\n1 and 1"], ["2"]), (["1+1?"], ["2", "2+2?", "4"])),
    ),
    "Llama-Nemotron, AceReason, OpenCodeReasoning": Fixture(
        "NVIDIA-NeMo/Curator, tutorials/llama-nemotron-data-curation/README.md; card of nvidia/OpenCodeReasoning",
        (
            {
                "input": [USER],
                "output": "<think>One and one.</think>2",
                "reasoning": "on",
                "system_prompt": "detailed thinking on",
                "category": "math",
                "version": "v1",
            },
            {"id": "a", "input": "-", "output": "2", "source": "taco", "split": "train", "solution": "2", "index": "7"},
        ),
        ((["detailed thinking on", "1+1?"], ["<think>One and one.</think>2"]), "input is empty"),
    ),
    "MetaMathQA": Fixture(
        "Draconis98/msc_g, codes/template/metamathqa.py",
        (
            {"type": "GSM_AnsAug", "query": "1+1?", "original_question": "1+1?", "response": "2"},
            {"type": "GSM_AnsAug", "query": "1+1?", "original_question": "1+1?", "response": ""},
        ),
        ((["1+1?"], ["2"]), "response is empty"),
    ),
    "OpenOrca": Fixture(
        "card of yys/OpenOrca-Chinese, a translation of Open-Orca/OpenOrca",
        (
            {"id": "cot.1", "system_prompt": "Add.", "question": "1+1?", "response": "2"},
            {"id": "cot.2", "system_prompt": "", "question": "1+1?", "response": "2"},
        ),
        ((["Add.", "1+1?"], ["2"]), (["1+1?"], ["2"])),
    ),
    "OpenMathReasoning": Fixture(
        "card of nvidia/OpenMathReasoning",
        (
            {
                "expected_answer": "2",
                "problem_type": "has_answer_extracted",
                "generation_model": "DeepSeek-R1",
                "problem": "1+1?",
                "generated_solution": "<think>One and one.</think>2",
                "inference_mode": "cot",
                "used_in_kaggle": True,
            },
            {"problem": "1+1?", "generated_solution": "", "expected_answer": "2", "inference_mode": "cot"},
        ),
        ((["1+1?"], ["<think>One and one.</think>2"]), "generated_solution is empty"),
    ),
    "verl": Fixture(
        "volcengine/verl, examples/data_preprocess/gsm8k.py",
        (
            {
                "data_source": "openai/gsm8k",
                "prompt": [{"role": "user", "content": 'What is 1+1? Output the final answer after "####".'}],
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": "2"},
                "extra_info": {"split": "train", "index": 0, "answer": "One and one.\n#### 2", "question": "1+1?"},
            },
            {
                "data_source": "countdown",
                "prompt": [USER],
                "reward_model": {"style": "rule", "ground_truth": {"target": 2}},
                "extra_info": {"split": "train", "index": 1},
            },
        ),
        ((["1+1?"], ["One and one.\n#### 2"]), "extra_info.question is empty"),
    ),
    "Hugging Face": Fixture(
        "volcengine/verl, examples/data_preprocess/gsm8k.py (question, answer of openai/gsm8k)",
        (
            {"question": "1+1?", "answer": "One and one.\n#### 2"},
            {"question": "1+1?", "answer": 2},
        ),
        ((["1+1?"], ["One and one.\n#### 2"]), (["1+1?"], ["2"])),
    ),
}
