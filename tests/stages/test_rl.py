from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.checkpoint import Checkpoints, LoopState
from r1ray.errors import UserError
from r1ray.ledger import Ledger
from r1ray.stages.rl import claim_checkpoints
from r1ray.types import Position


def test_checkpoints_are_gone_on_from_only_with_the_inputs_that_made_them(tmp_path: Path) -> None:
    claim_checkpoints(tmp_path, "one")
    claim_checkpoints(tmp_path, "two")  # nothing was trained yet
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    checkpoints.commit(checkpoints.begin(3), LoopState(3, 6, Position(), Ledger().state()))
    claim_checkpoints(tmp_path, "two")
    with pytest.raises(UserError, match="has checkpoints of a run with other inputs"):
        claim_checkpoints(tmp_path, "one")
