from __future__ import annotations

import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray.telemetry.logs import console
from tests.listening import listening

logger = logging.getLogger("r1ray.somewhere.below")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_console_shows_what_modules_log_after_a_prefix() -> None:
    out = io.StringIO()
    with console(out, prefix="r1ray: "):
        logger.debug("hidden")
        logger.info("100 % of [it] is :smile:")
        logger.warning("careful")
    logger.error("later")
    assert out.getvalue() == "r1ray: 100 % of [it] is :smile:\nr1ray: careful\n"


def test_other_libraries_are_neither_shown_nor_made_to_log_more() -> None:
    out, before = io.StringIO(), logging.getLogger("vllm").getEffectiveLevel()
    with console(out):
        logging.getLogger("vllm").info("loaded")
        assert logging.getLogger("vllm").getEffectiveLevel() == before
    assert not out.getvalue()


def test_what_was_before_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    with console(io.StringIO()):
        logger.warning("shown alone")
    logger.warning("seen by the root logger")
    logger.info("as quiet as before")
    assert caplog.messages == ["seen by the root logger"]


def test_a_style_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = {}
    for out in (io.StringIO(), Terminal()):
        with console(out):
            logger.info("a [row]", extra={"style": "bold"})
            logger.info("plain")
        shown[out.isatty()] = out.getvalue()
    assert shown[False] == "a [row]\nplain\n"
    assert shown[True] == "\x1b[1ma [row]\x1b[0m\nplain\n"


def test_a_reader_that_has_gone_ends_the_command() -> None:
    program = """
import logging, sys
from r1ray.telemetry.logs import console
with console(sys.stdout):
    for number in range(100_000):
        logging.getLogger("r1ray.main").info("line %d", number)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    assert "BrokenPipeError" in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 1


def test_listeners_hear_each_message_and_may_end_the_call(said: list[str]) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    logger.info("first")
    with listening(fail), pytest.raises(ValueError, match="second"):
        logger.info("second")
    assert said == ["first", "second"]


def test_what_libraries_print_goes_to_the_log_and_what_r1ray_says_is_shown(tmp_path: Path) -> None:
    program = f"""
import logging, os, sys
from r1ray.telemetry.logs import chatter_in, console
logger = logging.getLogger("r1ray.somewhere")
with console(sys.stdout):
    logger.info("before")
    with open({str(tmp_path / "log")!r}, "w") as log, chatter_in(log):
        print("a library prints")
        print("and warns", file=sys.stderr)
        os.system("echo its child prints")
        logger.info("meanwhile")
    print("printed after")
    logger.info("after")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nmeanwhile\nprinted after\nafter\n" and done.stderr == ""
    log = (tmp_path / "log").read_text()
    assert sorted(log.splitlines()) == ["a library prints", "and warns", "its child prints"]


def test_a_run_with_a_log_goes_on_without_its_console(tmp_path: Path) -> None:
    program = f"""
import logging, sys
from r1ray.telemetry.logs import chatter_in, console
logger = logging.getLogger("r1ray.somewhere")
with console(sys.stdout):
    with open({str(tmp_path / "log")!r}, "w") as log, chatter_in(log):
        for number in range(100_000):
            logger.info("line %d", number)
        print("to the end")
    logger.info("after")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) == 0
    end, lost = sorted((tmp_path / "log").read_text().splitlines(), key=lambda line: line.startswith("the console"))
    assert lost.startswith("the console is lost") and end == "to the end"
