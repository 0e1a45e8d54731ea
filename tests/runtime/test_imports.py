from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

from r1ray.runtime.imports import end_imports, load, without_collection


def test_nothing_is_collected_while_a_library_is_imported() -> None:
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() > 0
    gc.unfreeze()


def test_a_name_in_a_module_is_loaded() -> None:
    assert load("r1ray.runtime.imports:load") is load
    gc.unfreeze()


def test_what_is_alive_where_a_module_is_named_once_more_can_be_collected_later() -> None:
    frozen = gc.get_freeze_count()
    load("r1ray.runtime.imports:load")
    assert gc.get_freeze_count() == frozen


def state() -> tuple[bool, bool, bool]:
    """Collection at first, collection at the end, and whether this module's parent main module was imported."""
    before = gc.isenabled()
    end_imports()
    return before, gc.isenabled(), "main_of_the_parent" in sys.modules["__main__"].__dict__


SCRIPT = """
main_of_the_parent = True
if __name__ == "__main__":
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from r1ray.runtime.imports import children_import_fast
    from tests.runtime.test_imports import state
    with children_import_fast(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        print(pool.submit(state).result())
"""


def test_a_spawned_process_imports_without_collection_and_without_the_parents_main_module(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "(False, True, False)", done.stderr
