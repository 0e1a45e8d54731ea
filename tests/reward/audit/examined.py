"""The battery put to a reward, for tests."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from r1ray.config import RewardConfig, SandboxConfig
from r1ray.reward.audit.examine import Audit, examine
from r1ray.reward.scorer import RewardScorer, resolve_parts
from r1ray.types import Prompt

CLOSING = ThreadPoolExecutor(8)


def audit(reward: RewardConfig, *prompts: Prompt, seed: int = 0) -> Audit:
    scorer = RewardScorer(reward, SandboxConfig())
    try:
        return asyncio.run(examine(scorer, resolve_parts(reward), prompts, seed=seed, max_tokens=1000))
    finally:
        CLOSING.submit(scorer.close)  # half a second each, of waiting
