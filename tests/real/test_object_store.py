"""A run of the real Ray, vLLM and DeepSpeed whose folder is in an object store, and whose node is lost."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from r1ray.mirror.downward import copy_down
from r1ray.mirror.manifest import newest
from r1ray.mirror.store import Store
from r1ray.telemetry.metrics import read_rows
from tests.mirror.planted import contents
from tests.mirror.servers import BUCKET, s3_server
from tests.real.running import SMALL, end, environment, own, r1ray, start, wait_until

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.needs("weed")]
ADDRESS = f"s3://{BUCKET}/team/runs"
STEPS = 8
RUN = (
    *(*SMALL, f"steps={STEPS}", "data.template=none", "data.max_prompt_tokens=16", "name=mine", "eval.every=0"),
    *("checkpoint.every=1", "mirror.every_s=0.5", f"output_dir={ADDRESS}"),
)


def in_store(path: str) -> bool:
    """Tell if the newest state of the run has a file."""
    found = newest(Store(f"{ADDRESS}/mine"))
    return found is not None and path in found.files


def kill_all(pid: int) -> None:
    """Kill a command and all that it has started, as the end of its node does."""
    started = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in started:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(started, timeout=60)


def test_a_run_whose_node_is_lost_goes_on_elsewhere_from_the_copy(
    tmp_path: Path, qwen_folder: Path, running_total: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", tmp_path)[:-1]
    first, second = tmp_path / "first node", tmp_path / "second node"
    with s3_server(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        env = environment()
        run = start("run", *files, *RUN, f"cluster.scratch_dir='{first}'", cwd=tmp_path, env=env)
        try:
            wait_until(
                lambda: in_store("checkpoints/2/manifest.json") or run.poll() is not None,
                timeout_s=480,
                what="a checkpoint in the store",
            )
            assert run.poll() is None, run.communicate()[0][-4000:]
            kill_all(run.pid)
            printed = r1ray("status", f"{ADDRESS}/mine", "--json", cwd=tmp_path, env=env)
            assert json.loads(printed[printed.index("\n{") :])["step"] >= 2
            exported = tmp_path / "exported"
            r1ray("export", f"{ADDRESS}/mine", "--out", str(exported), cwd=tmp_path, env=env)
            assert (exported / "model.safetensors").stat().st_size > 0
        finally:
            end(run)
        steps = len(read_rows(first / "s3" / BUCKET / "team" / "runs" / "mine" / "metrics.jsonl"))
        assert steps < STEPS + 1
        printed = r1ray("run", *files, *RUN, f"cluster.scratch_dir='{second}'", cwd=tmp_path, env=env)
        assert "copying" in printed and "resuming after step" in printed
        folder = second / "s3" / BUCKET / "team" / "runs" / "mine"
        rows = read_rows(folder / "metrics.jsonl")
        assert [row["step"] for row in rows] == list(range(STEPS + 1))
        assert rows[-1]["mirror/behind_s"] < 60 and f"copied to {ADDRESS}/mine" in printed
        manifest = newest(Store(f"{ADDRESS}/mine"))
        assert manifest is not None
        copy_down(Store(f"{ADDRESS}/mine"), manifest, tmp_path / "copy")
        assert contents(tmp_path / "copy").keys() == contents(folder).keys()
        made = f"hf/{STEPS}/model.safetensors"
        assert contents(tmp_path / "copy")[made] == (folder / made).read_bytes()
        done = json.loads((folder / "stages" / "rl" / "manifest.json").read_text())
        assert done["artifact"]["path"] == str(folder / "hf" / str(STEPS))
        printed = r1ray("run", *files, *RUN, f"cluster.scratch_dir='{second}'", cwd=tmp_path, env=env)
        assert "this run was finished before" in printed
        assert server.unfinished() == []
