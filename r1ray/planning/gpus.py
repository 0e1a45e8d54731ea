"""GPUs, by what their makers' data sheets say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from r1ray.config import PlanConfig
from r1ray.errors import UserError

GB, GIB = 1e9, 2.0**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU in a node of its kind; of ``cpu``, one thread."""

    name: str
    memory: float
    """Bytes that programs can have."""
    flops: float
    """A second, dense, bfloat16 with float32 accumulation; of ``cpu``, float32."""
    bandwidth: float
    """Bytes a second of its memory."""
    link: float
    """Bytes a second to another GPU of the node, one way."""
    node_network: float
    """Bytes a second into a node, as such nodes are usually built."""
    host_link: float
    """Bytes a second between its memory and the host's, one way: PCIe 4.0 or 5.0 with 16 lanes."""
    sequence_s: float = 1e-5
    """Seconds that an engine spends on one sequence in one decode step, beside the model (scheduling, sampling)."""
    step_s: float = 4e-3
    """The same of the step as a whole."""


def _gpu(
    name: str,
    gib: float,
    tflops: float,
    tb_s: float,
    *,
    link_gb_s: float,
    node_network_gb_s: float = 12.5,
    host_link_gb_s: float = 32,
) -> tuple[str, Gpu]:
    return name, Gpu(
        name=name,
        memory=gib * GIB,
        flops=tflops * 1e12,
        bandwidth=tb_s * 1e12,
        link=link_gb_s * GB,
        node_network=node_network_gb_s * GB,
        host_link=host_link_gb_s * GB,
    )


GPUS = dict(
    [
        _gpu("a10g", 22.0, 70, 0.60, link_gb_s=16),
        _gpu("l4", 22.0, 121, 0.30, link_gb_s=16),
        _gpu("rtx4090", 23.5, 165, 1.01, link_gb_s=16, node_network_gb_s=1.25),
        _gpu("l40s", 44.5, 362, 0.86, link_gb_s=32),
        _gpu("a100-40", 39.4, 312, 1.55, link_gb_s=300, node_network_gb_s=50),
        _gpu("a100-80", 79.2, 312, 2.04, link_gb_s=300, node_network_gb_s=200),
        _gpu("h100", 79.2, 989, 3.35, link_gb_s=450, node_network_gb_s=400, host_link_gb_s=64),
        _gpu("h200", 139.8, 989, 4.80, link_gb_s=450, node_network_gb_s=400, host_link_gb_s=64),
        _gpu("b200", 178.0, 2250, 8.00, link_gb_s=900, node_network_gb_s=400, host_link_gb_s=64),
    ]
)
"""Memory as the driver shows it, less than what is printed on the box."""
CPU = Gpu(
    name="cpu",
    memory=16 * GIB,
    flops=0.094e12,
    bandwidth=10e9,
    link=2e9,
    node_network=1.25e9,
    host_link=10e9,
    sequence_s=1.06e-4,
    step_s=3e-3,
)
"""One thread of a server's CPU with AVX2, from the quickstart's metrics. Memory is the machine's."""
THREADS_POWER = 0.3
"""How threads add up on a CPU, with models that are small enough for one: two are 1.25 times as fast as one."""


def together(gpu: Gpu, threads: int) -> float:
    """By how much faster one process is than what ``gpu`` says: a GPU is whole, a CPU is one thread."""
    return threads**THREADS_POWER if gpu.name == CPU.name else 1.0


def gpu_of(plan: PlanConfig, name: str, *, machine_memory: float | None = None) -> Gpu:
    """The GPU of that name, with what the configuration says otherwise. Raises UserError."""
    if name != CPU.name and name not in GPUS:
        raise UserError(f"plan.gpu={name}: needs one of {', '.join(GPUS)}, cpu; plan.memory_gib and others override.")
    gpu = GPUS.get(name, CPU)
    memory = gpu.memory if name != CPU.name or machine_memory is None else machine_memory
    return replace(
        gpu,
        memory=memory if plan.memory_gib is None else plan.memory_gib * GIB,
        flops=gpu.flops if plan.tflops is None else plan.tflops * 1e12,
        bandwidth=gpu.bandwidth if plan.memory_gb_s is None else plan.memory_gb_s * GB,
        node_network=gpu.node_network if plan.node_network_gb_s is None else plan.node_network_gb_s * GB,
    )
