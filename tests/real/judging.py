"""A judge on a real engine, for test_judge.py: asks, and writes what came of it.

usage: python -m tests.real.judging MODEL MAX_TOKENS OUT.json
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1ray.config import RolloutConfig
from r1ray.config.specs import JudgeSpec
from r1ray.errors import R1RayError
from r1ray.reward.judged import RUBRICS
from r1ray.rollout.vllm_judge import VLLMJudge

PROMPTS = ("Which city?", "Is 5 right?", "2+3", "The answer is 5.")
TOO_LONG = {"type": "object", "properties": {"reason": {"type": "string", "minLength": 2000}}, "required": ["reason"]}
"""No reply of this schema fits."""
SHORT = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 8}, "grade": {"enum": ["A>>B", "tie"]}},
    "required": ["reason", "grade"],
    "additionalProperties": False,
}


async def outcome(judge: VLLMJudge, prompt: str, schema: Mapping[str, object]) -> dict[str, Any]:
    try:
        return {"reply": await judge.ask(prompt, schema)}
    except R1RayError as error:
        return {"error": type(error).__name__, "message": str(error)}


async def main(model: str, max_tokens: int) -> dict[str, Any]:
    config = RolloutConfig(dtype="float32", max_num_seqs=8)
    judge = VLLMJudge(config, JudgeSpec(model, max_model_len=1024, max_tokens=max_tokens, num_gpus=0, seed=0))
    schema = RUBRICS["attempted"].schema
    found: dict[str, Any] = {
        "workers": await judge.ready(),
        "first": await asyncio.gather(*(outcome(judge, prompt, schema) for prompt in PROMPTS)),
        "again": [await outcome(judge, prompt, schema) for prompt in PROMPTS],
        "cut": await outcome(judge, PROMPTS[0], TOO_LONG),
        "long_prompt": await outcome(judge, "Which? " * 1000, schema),
        "prompt_ids": judge._prompt_ids("What<eos><eos> is <|user|>?"),
    }
    sampled = [judge._try(judge._prompt_ids("Is it?"), SHORT, 1.0, seed) for seed in range(16)]
    found["sampled"] = [said.text for said in await asyncio.gather(*sampled)]
    for process in multiprocessing.active_children():
        process.kill()
    found["dead"] = await outcome(judge, PROMPTS[0], schema)
    judge.shutdown()
    return found


if __name__ == "__main__":
    results = asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    Path(sys.argv[3]).write_text(json.dumps(results))
