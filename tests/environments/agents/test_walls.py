from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from r1ray.environments.agents.forwarder import Forwarder
from r1ray.environments.agents.process import Order, run_command
from r1ray.environments.agents.walls import Walls, needed_by, walls_of
from r1ray.errors import SandboxUnavailable
from tests.environments.agents.endpoint import KEY, Endpoint, serving

PYTHON = "/usr/bin/python3"
CALL = """
import json, sys, urllib.request as u
request = u.Request(sys.argv[1] + "/chat/completions", json.dumps({"messages": []}).encode())
request.add_header("Authorization", "Bearer " + sys.argv[2])
print(json.load(u.urlopen(request, timeout=5))["choices"][0]["message"]["content"])
"""
WAYS_OUT = """
import os, socket, sys
secret, other, pid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def tried(name, way):
    try:
        way()
        print("way out:", name)
    except OSError:
        pass
tried("read a file", lambda: open(secret).read())
tried("write a file", lambda: open(secret + ".new", "w"))
tried("write to the system", lambda: open("/usr/new", "w"))
tried("another port", lambda: socket.create_connection(("127.0.0.1", other), timeout=2))
tried("a signal", lambda: os.kill(pid, 0))
tried("memory of a process", lambda: open(f"/proc/{pid}/environ").read())
tried("list of a home", lambda: os.listdir("/root"))
open("made", "w").write("x")
open(os.environ["TMPDIR"] + "/made", "w").write("x")
print("tried")
"""


def walls(mode: str, *reads: str, port: int = 0) -> Walls:
    try:
        found = walls_of(mode, [*needed_by(PYTHON), *reads])
    except SandboxUnavailable as error:
        pytest.skip(f"sandbox.mode={mode}: {error}")
    return Walls(mode=found.mode, reads=found.reads, may_mount_proc=found.may_mount_proc, port=port)


def ran(order: Order, endpoint: Endpoint | None = None) -> str:
    async def run() -> str:
        forwarder = Forwarder("127.0.0.1", endpoint.server_address[1]) if endpoint else None
        try:
            found = forwarder.accept_from if forwarder else None
            return (await run_command(order, asyncio.Event(), listening=found)).output.decode()
        finally:
            if forwarder is not None:
                await forwarder.close()

    return asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize("mode", ["bubblewrap", "landlock"])
def test_the_endpoint_is_reached_and_nothing_else_of_the_machine(mode: str, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    neighbour = socket.create_server(("127.0.0.1", 0))
    with neighbour, serving(lambda _: "hello") as endpoint:
        own = walls(mode, port=endpoint.server_address[1])
        tmp = "/tmp" if own.has_own_network else f"{folder}/tmp"
        words = [str(secret), str(neighbour.getsockname()[1]), str(os.getpid())]
        order = Order(command=[PYTHON, "-c", WAYS_OUT, *words], folder=folder, environment={"TMPDIR": tmp}, walls=own)
        assert ran(order, endpoint if own.has_own_network else None) == "tried\n"
        base_url = own.base_url(endpoint.access.base_url)
        order = Order(command=[PYTHON, "-c", CALL, base_url, KEY], folder=folder, walls=own)
        assert ran(order, endpoint if own.has_own_network else None) == "hello\n"
    assert (folder / "work/made").read_text() == "x" == (folder / "tmp/made").read_text()


def test_a_script_has_the_environment_of_its_interpreter_too(tmp_path: Path) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/lib").mkdir()
    (tmp_path / "venv/bin/python").touch()
    (tmp_path / "tool").write_text(f"#!{tmp_path}/venv/bin/python -I\n")
    assert str(tmp_path / "venv") in needed_by(str(tmp_path / "tool"))


@pytest.mark.parametrize("mode", ["bubblewrap", "landlock"])
def test_a_program_of_a_virtual_environment_runs_inside(mode: str, folder: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "lib").mkdir()
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (venv / "bin/python").symlink_to(PYTHON)
    (venv / "bin/tool").write_text(f"#!{venv}/bin/python\nprint('from a virtual environment')\n")
    (venv / "bin/tool").chmod(0o755)
    tool = str(venv / "bin/tool")
    order = Order(command=[tool], folder=folder, walls=walls(mode, *needed_by(tool)))
    assert ran(order) == "from a virtual environment\n"


def test_a_link_out_of_a_virtual_environment_is_followed(tmp_path: Path) -> None:
    base, venv = tmp_path / "base", tmp_path / "venv"
    for root in (base, venv):
        (root / "bin").mkdir(parents=True)
        (root / "lib").mkdir()
    (base / "bin/python3.11").touch()
    (venv / "bin/python").symlink_to(base / "bin/python3.11")
    (tmp_path / "tool").symlink_to("venv/bin/python")
    assert {str(venv), str(base), str(tmp_path / "tool")} <= {*needed_by(str(tmp_path / "tool"))}
