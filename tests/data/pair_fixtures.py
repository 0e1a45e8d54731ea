"""Rows of published preferences, by the title of their layout. ``made`` has what is asked, and by pair the better
answer and the other."""

from __future__ import annotations

from typing import Any

from tests.data.layout_fixture import Fixture

USER = {"role": "user", "content": "1+1?"}
GOOD, BAD = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "bad"}
PAIR = (["1+1?"], [("good", "bad")])
LLAMA_FACTORY = "hiyouga/LLaMA-Factory, data/README.md"
EASYLM = "yizhongw/EasyLM, conversion_scripts/convert_preference_data.py"


def _rated(text: str, *ratings: str) -> dict[str, Any]:
    aspects = ("instruction_following", "honesty", "truthfulness", "helpfulness")
    annotations = {
        aspect: {"Rating": rating, "Rationale": "..."} for aspect, rating in zip(aspects, ratings, strict=False)
    }
    return {"model": "gpt-4", "principle": "helpfulness", "response": text, "annotations": annotations}


def _answer(text: str, rank: float) -> dict[str, Any]:
    return {"answer": text, "model": "gpt-4", "rank": rank}


FIXTURES = {
    "Math-Step-DPO": Fixture(
        "card of xinlai/Math-Step-DPO-10K",
        (
            {
                "dataset": "MATH",
                "prompt": "1+1?",
                "initial_reason_steps": "Step 1: ",
                "chosen": "one step",
                "rejected": "another step",
                "full_chosen": "good",
                "full_rejected": "bad",
                "answer": "2",
            },
            {"prompt": "1+1?", "initial_reason_steps": "", "full_chosen": "same", "full_rejected": "same"},
        ),
        (PAIR, "full_chosen and full_rejected are the same"),
    ),
    "prompt and two answers": Fixture(
        f"{EASYLM} (HuggingFaceH4/ultrafeedback_binarized); card of HuggingFaceH4/orca_dpo_pairs",
        (
            {
                "prompt": "1+1?",
                "prompt_id": "a",
                "chosen": [USER, GOOD],
                "rejected": [USER, BAD],
                "messages": [USER, GOOD],
                "score_chosen": 8.5,
                "score_rejected": 2.0,
            },
            {"prompt": "1+1?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "score_chosen": 1, "score_rejected": 2},
        ),
        (PAIR, "score_rejected is above score_chosen"),
    ),
    "prompt and two responses": Fixture(
        "NVIDIA-NeMo/RL, data/hf_datasets/helpsteer3.py (the form that it makes)",
        (
            {"prompt": [USER], "chosen_response": "good", "rejected_response": "bad"},
            {"prompt": [USER], "chosen_response": "", "rejected_response": "bad"},
        ),
        (PAIR, "chosen_response is empty"),
    ),
    "argilla, preferences": Fixture(
        "axolotl-ai-cloud/axolotl, prompt_strategies/dpo/chatml.py",
        (
            {"instruction": "1+1?", "chosen_response": "good", "rejected_response": "bad"},
            {"instruction": "1+1?", "chosen_response": "good", "rejected_response": None},
        ),
        (PAIR, "rejected_response is empty"),
    ),
    "LLaMA-Factory, ShareGPT form": Fixture(
        LLAMA_FACTORY,
        (
            {
                "conversations": [{"from": "human", "value": "1+1?"}],
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": {"from": "gpt", "value": "bad"},
            },
            {
                "conversations": [
                    {"from": "human", "value": "Hi."},
                    {"from": "gpt", "value": "Hello."},
                    {"from": "human", "value": "1+1?"},
                ],
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": {"from": "gpt", "value": "bad"},
            },
        ),
        (PAIR, (["Hi.", "Hello.", "1+1?"], [("good", "bad")])),
    ),
    "UltraInteract": Fixture(
        "card of openbmb/UltraInteract_pair",
        (
            {
                "task": "Math",
                "dataset": "gsm8k",
                "trajectory": [{"from": "user", "value": "1+1?"}],
                "chosen": "good",
                "rejected": "bad",
                "id": "a",
                "parent_id": "b",
            },
            {"trajectory": [], "chosen": "good", "rejected": "bad", "id": "c", "parent_id": "d"},
        ),
        (PAIR, "trajectory needs"),
    ),
    "LLaMA-Factory, Alpaca form": Fixture(
        LLAMA_FACTORY,
        (
            {"instruction": "Add.", "input": "1 and 1", "chosen": "good", "rejected": "bad"},
            {"instruction": "1+1?", "input": "", "chosen": "good", "rejected": "bad"},
        ),
        ((["Add.\n\n1 and 1"], [("good", "bad")]), PAIR),
    ),
    "orca_dpo_pairs": Fixture(
        "card of malhajar/orca_dpo_pairs-tr, a translation of Intel/orca_dpo_pairs",
        (
            {"system": "Add.", "question": "1+1?", "chosen": "good", "rejected": "bad"},
            {"system": "", "question": "1+1?", "chosen": "good", "rejected": "bad"},
        ),
        ((["Add.", "1+1?"], [("good", "bad")]), PAIR),
    ),
    "distilabel orca_dpo_pairs": Fixture(
        "card of Felladrin/ChatML-distilabel-intel-orca-dpo-pairs (how it is made of argilla's)",
        (
            {"system": "", "input": "1+1?", "chosen": "good", "rejected": "bad", "status": "unchanged"},
            {"system": "Add.", "input": "1+1?", "chosen": "good", "rejected": "bad", "status": "tie"},
        ),
        (PAIR, (["Add.", "1+1?"], [("good", "bad")])),
    ),
    "stack-exchange-paired": Fixture(
        EASYLM,
        (
            {"qid": 1, "question": "1+1?", "response_j": "good", "response_k": "bad"},
            {"qid": 2, "question": None, "response_j": "good", "response_k": "bad"},
        ),
        (PAIR, "question is empty"),
    ),
    "whole conversations": Fixture(
        f"{EASYLM} (Anthropic/hh-rlhf)",
        (
            {"chosen": "\n\nHuman: 1+1?\n\nAssistant: good", "rejected": "\n\nHuman: 1+1?\n\nAssistant: bad"},
            {"chosen": [USER, GOOD], "rejected": [{**USER, "content": "2+2?"}, BAD]},
        ),
        (PAIR, "are not two answers to one question"),
    ),
    "PKU-SafeRLHF": Fixture(
        "card of PKU-Alignment/PKU-SafeRLHF (better: more helpful; safer_response_id is another order)",
        (
            {
                "prompt": "1+1?",
                "response_0": "bad",
                "response_1": "good",
                "is_response_0_safe": True,
                "is_response_1_safe": True,
                "better_response_id": 1,
                "safer_response_id": 0,
            },
            {"prompt": "1+1?", "response_0": "good", "response_1": "bad", "better_response_id": 0},
        ),
        (PAIR, PAIR),
    ),
    "HelpSteer3": Fixture(
        "card of AIR-hl/helpsteer3_preference; NVIDIA-NeMo/RL, data/hf_datasets/helpsteer3.py",
        (
            {
                "domain": "stem",
                "language": "english",
                "context": [USER],
                "response1": "bad",
                "response2": "good",
                "overall_preference": 2,
                "individual_preference": [{"score": 2, "reasoning": "It is right."}],
            },
            {"context": [USER], "response1": "good", "response2": "bad", "overall_preference": 0},
        ),
        (PAIR, "both answers are equally good"),
    ),
    "HelpSteer2, preferences": Fixture(
        "card of nvidia/HelpSteer2 (preference.jsonl)",
        (
            {"prompt": "1+1?", "response_1": "good", "response_2": "bad", "preference_strength": -1, "split": "train"},
            {
                "prompt": "Hi.\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\n1+1?",
                "response_1": "bad",
                "response_2": "good",
                "preference_strength": 3,
                "split": "train",
            },
        ),
        (PAIR, (["Hi.", "Hello.", "1+1?"], [("good", "bad")])),
    ),
    "SHP": Fixture(
        "card of stanfordnlp/SHP (labels: 1 if A is preferred, 0 if B is)",
        (
            {
                "post_id": "a",
                "domain": "askculinary_train",
                "history": "1+1?",
                "human_ref_A": "good",
                "human_ref_B": "bad",
                "labels": 1,
                "score_A": 340,
                "score_B": 166,
                "score_ratio": 2.05,
            },
            {"post_id": "b", "history": "1+1?", "human_ref_A": "bad", "human_ref_B": "good", "labels": 0},
        ),
        (PAIR, PAIR),
    ),
    "WebGPT comparisons": Fixture(
        "card of openai/webgpt_comparisons (scores from -1 to 1, which sum to 0)",
        (
            {
                "question": {"dataset": "eli5", "id": "a", "full_text": "1+1?"},
                "answer_0": "good",
                "score_0": 0.5,
                "answer_1": "bad",
                "score_1": -0.5,
            },
            {
                "question": {"dataset": "eli5", "id": "b", "full_text": "1+1?"},
                "answer_0": "good",
                "score_0": 0.0,
                "answer_1": "bad",
                "score_1": 0.0,
            },
        ),
        (PAIR, "both answers are equally good"),
    ),
    "Chatbot Arena": Fixture(
        "card of lmsys/mt_bench_human_judgments; descriptions of lmsys/chatbot_arena_conversations (winner)",
        (
            {"conversation_a": [USER, BAD], "conversation_b": [USER, GOOD], "winner": "model_b", "turn": 1},
            {"conversation_a": [USER, BAD], "conversation_b": [USER, GOOD], "winner": "tie (bothbad)", "turn": 1},
        ),
        (PAIR, "both answers are equally good"),
    ),
    "Nectar": Fixture(
        "card of berkeley-nest/Nectar",
        (
            {
                "prompt": "\n\nHuman: 1+1?\n\nAssistant: ",
                "answers": [_answer("worst", 3.0), _answer("good", 1.0), _answer("bad", 2.0)],
                "turns": 1,
                "num_responses": 3,
                "source": ["sharegpt"],
                "good_natured": True,
            },
            {"prompt": "\n\nHuman: 1+1?\n\nAssistant: ", "answers": [_answer("good", 1.0)], "turns": 1},
        ),
        ((["1+1?"], [("good", "bad"), ("bad", "worst")]), "no two answers"),
    ),
    "UltraFeedback": Fixture(
        "OpenBMB/UltraFeedback, README.md",
        (
            {
                "source": "sharegpt",
                "instruction": "1+1?",
                "models": ["gpt-4", "starchat", "bard", "alpaca-7b"],
                "correct_answers": ["None"],
                "completions": [
                    _rated("bad", "3", "2", "3", "3"),
                    _rated("as bad", "3", "3", "3", "2"),
                    _rated("nobody's", "N/A"),
                    _rated("good", "5", "N/A", "4", "5"),
                ],
            },
            {"instruction": "1+1?", "completions": [_rated("bad", "3"), _rated("as bad", "3")]},
        ),
        (PAIR, "no two answers"),
    ),
    "HelpSteer, HelpSteer2": Fixture(
        f"{EASYLM}; card of nvidia/HelpSteer2 (helpfulness from 0 to 4, two rows of one prompt)",
        (
            {"prompt": "1+1?", "response": "bad", "helpfulness": 1, "correctness": 4, "verbosity": 2},
            {"prompt": "1+1?", "response": "good", "helpfulness": 3, "correctness": 3, "verbosity": 1},
        ),
        (PAIR,),
    ),
}
