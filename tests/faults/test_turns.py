"""A run whose engine and learner share their cores, and lose one or the other asleep, awake and in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cells import IN_TURNS
from tests.faults.checks import check
from tests.faults.faulty_run import ENGINE, WHOLE_S, FaultyRun
from tests.real.running import turns_in_logs

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]
SETTINGS = (
    *("placement=colocated", "algo.max_staleness=0", "rollout.num_actors=1"),
    *("deadlines.publish_s=45", "deadlines.start_s=180"),
    "+rollout.engine_args.worker_extension_cls=tests.faults.doors_turns.Waking",
)


class OnOneDevice(FaultyRun):
    """Has one engine."""

    def _wait_for_return(self, role: str, when: float) -> None:
        if role not in ENGINE:
            return super()._wait_for_return(role, when)
        self.wait(lambda: len(self.rows_since(when)) >= 2, within_s=WHOLE_S, what=f"steps after the loss of {role}")


def test_a_run_in_turns_goes_on_whoever_is_lost(tmp_path: Path, qwen_folder: Path, running_total: Path) -> None:
    with OnOneDevice(tmp_path, qwen_folder, running_total, *SETTINGS) as run:
        run.start()
        run.wait_until_begun()
        for cell in IN_TURNS:
            run.meet(cell)
        assert run.finish() == 0, run.printed[-4000:]
        check(run)
        counts, num_engines_lost = turns_in_logs(run.folder), 3
        left = counts["asleep, at level 2"] - counts["awake: kv_cache"]
        assert 0 <= left <= num_engines_lost, "every sleep has its wake, but for those of engines that were lost asleep"
        assert counts["awake: kv_cache"] > run.num_steps
