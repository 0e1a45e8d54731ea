from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from r1ray.data.position import Position
from r1ray.errors import UserError
from r1ray.loop import checkpoint
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger


def state(version: int) -> LoopState:
    ledger = Ledger()
    ledger.issue("1/4")
    return LoopState(version, version, 2 * version, Position(1, 5), ledger.state(), {"observed": {"rates": "eJw="}})


def save(checkpoints: Checkpoints, version: int, *, contents: bytes = b"weights", **metrics: float) -> Path:
    aside = checkpoints.begin(version)
    (aside / "learner" / "rank").mkdir()
    (aside / "learner" / "rank" / "0.pt").write_bytes(contents)
    return checkpoints.commit(aside, state(version), metrics=metrics)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    save(checkpoints, 3)
    found = checkpoints.latest()
    assert found is not None
    assert found[1] == state(3)
    assert found[0] == tmp_path / "3" / "learner"


def test_the_checkpoint_of_a_version_is_found_and_another_refused_with_those_that_there_are(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, best="pass@1")
    with pytest.raises(UserError, match=r"version=3: .* has no checkpoint of it; there is none"):
        checkpoints.learner_of(3)
    assert checkpoints.best() is None
    for version, value in ((3, 0.9), (4, 0.1), (5, 0.2)):
        save(checkpoints, version, **{"pass@1": value})
    assert checkpoints.learner_of(4) == tmp_path / "4" / "learner"
    assert Checkpoints(tmp_path, keep=1).best() == 3
    with pytest.raises(UserError, match=r"version=6: .* there are those of versions 3, 4, 5"):
        checkpoints.learner_of(6)
    (tmp_path / "4" / "learner" / "rank" / "0.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoint .*/4 is torn: learner/rank/0.pt has 0 bytes"):
        checkpoints.learner_of(4)


def test_an_unfinished_checkpoint_is_never_taken(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    save(checkpoints, 3)
    checkpoints.begin(4)
    found = checkpoints.latest()
    assert found is not None and found[1].version == 3


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for version in (2, 9, 10, 11):
        save(checkpoints, version)
    assert names(tmp_path) == ["10", "11"]


def test_a_new_run_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", keep=1).latest() is None
    Checkpoints(tmp_path / "none", keep=1, best="pass@1").tidy()
    assert not (tmp_path / "none").exists()


LARGE = bytes(range(256)) * (9 << 12)
"""9 MiB: looked at in 64 places."""


def flip(file: Path, at: int) -> None:
    contents = bytearray(file.read_bytes())
    contents[at] ^= 1
    file.write_bytes(contents)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("tear", "fault"),
    [
        (lambda folder: (folder / "learner/rank/0.pt").unlink(), "learner/rank/0.pt is missing, needs 9437184 bytes"),
        (
            lambda folder: (folder / "learner/rank/0.pt").write_bytes(LARGE[:-1]),
            "learner/rank/0.pt has 9437183 bytes, needs 9437184",
        ),
        (
            lambda folder: (folder / "learner/rank/0.pt").write_bytes(LARGE[: 4 << 20] + bytes(5 << 20)),
            "learner/rank/0.pt has other contents, checksum [0-9a-f]{32}, needs [0-9a-f]{32}",
        ),
        (lambda folder: flip(folder / "learner/rank/0.pt", -1), "learner/rank/0.pt has other contents"),
        (lambda folder: flip(folder / "controller.json", 5), "controller.json has other contents"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": {'), "manifest.json cannot be read"),
    ],
    ids=["missing", "truncated", "never reached the disk", "last byte", "small file", "no manifest", "torn manifest"],
)
def test_a_torn_checkpoint_is_refused_with_its_file_and_the_way_out(
    tmp_path: Path, tear: Callable[[Path], None], fault: str
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    save(checkpoints, 2)
    tear(save(checkpoints, 5, contents=LARGE))
    with pytest.raises(UserError, match=f"checkpoint {tmp_path}/5 is torn: {fault}.* Remove the folder to go on from"):
        checkpoints.latest()
    shutil.rmtree(tmp_path / "5")
    found = checkpoints.latest()
    assert found is not None and found[1].version == 2


@pytest.mark.parametrize("other", [None, 3])
def test_a_checkpoint_of_another_format_is_refused_with_the_way_on_and_can_be_exported(
    tmp_path: Path, other: int | None
) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    folder = save(checkpoints, 5)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.pop("format") == 2
    (folder / "manifest.json").write_text(json.dumps(manifest | ({"format": other} if other else {})))
    with pytest.raises(UserError, match=rf"format {other or 1}, needs 2.* start one .*model={tmp_path}/hf/5 and"):
        checkpoints.latest()
    assert checkpoints.learner_of(5) == folder / "learner"


@pytest.mark.faults
def test_without_another_checkpoint_the_run_begins_again(tmp_path: Path) -> None:
    folder = save(Checkpoints(tmp_path, keep=2), 2)
    (folder / "controller.json").unlink()
    with pytest.raises(UserError, match="Remove the folder to begin again"):
        Checkpoints(tmp_path, keep=2).latest()


@pytest.mark.parametrize("size", [0, 1, 1 << 17, (1 << 17) + 1, 8 << 20])
def test_every_byte_of_a_file_up_to_8_mib_counts(tmp_path: Path, size: int) -> None:
    for at in {0, size // 3, size // 2, size - 1} if size else ():
        file = save(Checkpoints(tmp_path, keep=1), 1, contents=bytes(size)) / "learner" / "rank" / "0.pt"
        flip(file, at)
        with pytest.raises(UserError, match="has other contents"):
            Checkpoints(tmp_path, keep=1).latest()
    save(Checkpoints(tmp_path, keep=1), 1, contents=bytes(size))
    assert Checkpoints(tmp_path, keep=1).latest() is not None


def test_files_that_came_later_do_not_tear_a_checkpoint(tmp_path: Path) -> None:
    """DeepSpeed's universal checkpoint is made inside it when another number of ranks goes on."""
    (save(Checkpoints(tmp_path, keep=1), 1) / "learner" / "universal").mkdir()
    assert Checkpoints(tmp_path, keep=1).latest() is not None


def test_the_best_is_kept_and_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1, best="pass@1")
    for version, value in ((1, 0.2), (2, 0.6), (3, 0.5), (4, 0.6), (5, 0.1)):
        save(checkpoints, version, **{"pass@1": value, "length_mean": 7.0 * version})
    assert names(tmp_path) == ["2", "5", "best.json"]
    assert json.loads((tmp_path / "best.json").read_text()) == {"version": 2, "metric": "pass@1", "value": 0.6}


def test_a_restarted_run_remembers_the_best(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path, keep=1, best="pass@1"), 1, **{"pass@1": 0.7})
    for version, value in ((2, 0.3), (3, 0.6)):
        save(Checkpoints(tmp_path, keep=1, best="pass@1"), version, **{"pass@1": value})
    assert names(tmp_path) == ["1", "3", "best.json"]
    save(Checkpoints(tmp_path, keep=1, best="pass@1"), 4, **{"pass@1": 0.8})
    assert names(tmp_path) == ["4", "best.json"]


def test_a_version_without_the_metric_is_never_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1, best="pass@1")
    save(checkpoints, 1)
    save(checkpoints, 2, **{"pass@1": float("nan")})
    assert names(tmp_path) == ["2"]
    save(checkpoints, 3, **{"pass@1": 0.1})
    save(checkpoints, 4)
    assert names(tmp_path) == ["3", "4", "best.json"]


@pytest.mark.faults
def test_a_process_killed_at_any_call_leaves_a_folder_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 4 replaces the best and pushes 2 out; the process dies at the n-th change of the disk, for every n."""

    class Killed(BaseException):
        pass

    def dies_at(left: list[int], function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **keywords: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*arguments, **keywords)

        return call

    died = 0
    for moment in range(40):
        folder = tmp_path / str(moment)
        checkpoints = Checkpoints(folder, keep=1, best="pass@1")
        for version, value in ((1, 0.5), (2, 0.4), (3, 0.3)):
            save(checkpoints, version, **{"pass@1": value})
        left = [moment]
        with monkeypatch.context() as patched:
            for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "write_text"), (Path, "mkdir")):
                patched.setattr(owner, name, dies_at(left, getattr(owner, name)))
            patched.setattr("r1ray.loop.checkpoint.shutil.rmtree", dies_at(left, shutil.rmtree))
            try:
                save(checkpoints, 4, **{"pass@1": 0.9})
            except Killed:
                died += 1
        again = Checkpoints(folder, keep=1, best="pass@1")
        found = again.latest()
        assert found is not None and found[1].version in (3, 4)
        again.tidy()
        best = json.loads((folder / "best.json").read_text())["version"]
        assert names(folder) == (["4", "best.json"] if found[1].version == 4 else ["1", "3", "best.json"])
        assert best == (4 if found[1].version == 4 else 1)
    assert 5 < died < 40, "every moment was tried"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "null", "{}", '{"files": []}', '{"files": {"a": 5}}', '{"files": {"a": {}}}', '{"files": {}}'],
)
def test_a_manifest_of_another_shape_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, best="pass@1")
    for version in (3, 4):
        save(checkpoints, version)
    (tmp_path / "4" / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"4 is torn: manifest.json .*Remove the folder to go on from version 3"):
        checkpoints.latest()
    checkpoints.tidy()


@pytest.mark.parametrize("value", [[], 5, {}, {"step": 4}, None, "text", {"version": 4, "updates": 1, "ledger": []}])
def test_a_state_of_another_shape_is_named_with_the_way_out(tmp_path: Path, value: object) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    folder = save(checkpoints, 4)
    (folder / "controller.json").write_text(json.dumps(value))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["controller.json"] = checkpoint._look_at(folder / "controller.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"controller.json is not the state of a run .*Remove the folder to begin"):
        checkpoints.latest()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": "3"}', "5"])
def test_a_torn_note_of_the_best_is_named_and_made_again_by_the_run(tmp_path: Path, text: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1, best="pass@1")
    save(checkpoints, 3, **{"pass@1": 0.5})
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(UserError, match=r"best.json: .*Resuming the run writes it again"):
        checkpoints.best()
    checkpoints.tidy()
    assert checkpoints.best() == 3
