"""Rows of multiple-choice questions."""

from __future__ import annotations

from tests.data.layouts.published import Published, answer

HUB = "https://huggingface.co/datasets/"
MMLU = {"question": "Which is a prime?", "subject": "math", "choices": ["4", "7", "9", "15"], "answer": 1}
MEDQA = {
    "question": "Which drug?",
    "answer": "yes, this",
    "options": {"A": "not this", "B": "yes, this", "C": "nor this", "D": "never"},
    "meta_info": "step1",
    "answer_idx": "B",
    "metamap_phrases": ["drug"],
}
MEDMCQA = {
    "id": "e9ad",
    "question": "Which organ?",
    "opa": "heart",
    "opb": "liver",
    "opc": "lung",
    "opd": "skin",
    "cop": 2,
    "choice_type": "single",
    "exp": "...",
    "subject_name": "Anatomy",
    "topic_name": None,
}
ARC = {
    "id": "Mercury_1",
    "question": "Which is hot?",
    "choices": {"text": ["ice", "fire", "snow"], "label": ["1", "2", "3"]},
    "answerKey": "2",
}
GPQA = {
    "Record ID": "rec1",
    "Question": "Which one is right?",
    "Correct Answer": "this one",
    "Incorrect Answer 1": "that one",
    "Incorrect Answer 2": "no one",
    "Incorrect Answer 3": "some one",
}
ROWS = (
    Published(
        layout="MMLU",
        name="cais/mmlu",
        source=f"{HUB}hails/mmlu_no_train, a copy of cais/mmlu (dataset_info)",
        rows=(MMLU, {**MMLU, "answer": "D"}),
        right=(answer("B"), answer("D")),
        wrong=(answer("A"), answer("B")),
        shows=("A. 4", "B. 7", "C. 9", "D. 15"),
    ),
    Published(
        layout="MMLU",
        name="GBaker/MedQA-USMLE-4-options",
        source=f"{HUB}augtoma/medqa_usmle (dataset_info)",
        rows=(MEDQA, {**MEDQA, "answer": "never", "answer_idx": "D"}),
        right=(answer("B"), answer("D")),
        wrong=(answer("C"), answer("A")),
        shows=("A. not this", "B. yes, this", "D. never"),
    ),
    Published(
        layout="MMLU",
        name="allenai/ai2_arc",
        source=f"{HUB}KETI-AIR/kor_ai2_arc, CIIRC-NLP/arc-cs (dataset_info)",
        rows=(
            ARC,
            {
                **ARC,
                "choices": {"text": ["ice", "fire", "snow", "sun"], "label": ["A", "B", "C", "D"]},
                "answerKey": "D",
            },
        ),
        right=(answer("B"), answer("D")),
        wrong=(answer("A"), answer("B")),
        shows=("A. ice", "B. fire", "C. snow"),
    ),
    Published(
        layout="MedMCQA",
        name="openlifescienceai/medmcqa",
        source="https://tensorflow.org/datasets/community_catalog/huggingface/medmcqa (cop: class label a, b, c, d)",
        rows=(MEDMCQA, {**MEDMCQA, "cop": 0}),
        right=(answer("C"), answer("A")),
        wrong=(answer("B"), answer("D")),
        shows=("C. lung",),
    ),
    Published(
        layout="WinoGrande",
        name="allenai/winogrande",
        source=f"{HUB}allenai/winogrande (dataset_infos.json)",
        rows=(
            {
                "sentence": "The cup fell on the stone, so the _ broke.",
                "option1": "cup",
                "option2": "stone",
                "answer": "1",
            },
            {"sentence": "Ann thanked Eve as _ had helped.", "option1": "Ann", "option2": "Eve", "answer": "2"},
        ),
        right=(answer("A"), answer("B")),
        wrong=(answer("B"), answer("A")),
        shows=("A. cup", "B. stone"),
    ),
    Published(
        layout="C-Eval, CMMLU",
        name="ceval/ceval-exam, haonan-li/cmmlu",
        source="conf/benchmark/c_eval.yaml, conf/benchmark/cmmlu.yaml",
        rows=(
            {"id": 0, "question": "1+1=?", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "B", "explanation": ""},
            {"Question": "2+2=?", "A": "1", "B": "2", "C": "3", "D": "4", "Answer": "D"},
        ),
        right=(answer("B"), answer("D")),
        wrong=(answer("A"), answer("C")),
        shows=("A. 1", "D. 4"),
    ),
    Published(
        layout="GPQA",
        name="Idavidrein/gpqa",
        source="conf/benchmark/gpqa_diamond.yaml",
        rows=(GPQA, {**GPQA, "Question": "And of these?"}),
        right=(answer("{this one}"), answer("{this one}")),
        wrong=(answer("{that one}"), answer("{no one}")),
        shows=("this one", "that one", "no one", "some one"),
    ),
)
"""``{option}`` in a response stands for the letter of the option."""
