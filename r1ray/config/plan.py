"""What ``r1ray plan`` takes machines for."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.config.values import above, at_least


@dataclass
class PlanConfig:
    """The machines that a run would have. A run reads this for its deadlines alone."""

    gpu: str | None = None
    """One of :mod:`r1ray.planning.gpus` (``h100``, ``a100-80``), or ``cpu``. None: ``cpu`` where neither learner nor
    engines are given GPUs, or ``prepare.maker`` makes the model; else ``h100``."""
    memory_gib: float | None = None
    """Of one GPU. None here and below: as of the GPU."""
    tflops: float | None = None
    """Dense bfloat16 peak of one GPU; on CPUs float32, of one thread."""
    memory_gb_s: float | None = None
    """What one GPU reads of its memory in a second."""
    node_network_gb_s: float | None = None
    """What one node receives in a second, gigabytes."""
    storage_gb_s: float = 1.0
    """What one node reads of a model's files, and all ranks together write of a checkpoint, in a second, gigabytes."""
    gpus_per_node: int = 8
    num_nodes: int | None = None
    """Nodes with GPUs that there are; None: as many as it takes."""
    host_memory_gib: float = 1900.0
    """Of one node; without GPUs, of the machine, where this one's is not known."""
    learn_efficiency: float = 0.4
    """Share of the peak that the learner reaches (MFU)."""
    generate_efficiency: float = 0.6
    """Share of peak and memory bandwidth that the engines reach."""
    network_efficiency: float = 0.7
    prompt_tokens: int | None = None
    """Of an average prompt; None: a quarter of data.max_prompt_tokens."""
    completion_tokens: int | None = None
    """Of an average completion; None: a quarter of algo.max_completion_tokens."""
    score_s: float = 0.002
    """Seconds of one core for the reward of one completion: about 0.001 for a math answer, 0.004 for each test case of
    a program, and what the program takes."""
    price: float | None = None
    """Of one GPU and hour."""

    def __post_init__(self) -> None:
        for key in ("memory_gib", "tflops", "memory_gb_s", "node_network_gb_s", "price"):
            if (value := getattr(self, key)) is not None:
                above(f"plan.{key}", value, 0)
        for key in (
            "learn_efficiency",
            "generate_efficiency",
            "network_efficiency",
            "host_memory_gib",
            "score_s",
            "storage_gb_s",
        ):
            above(f"plan.{key}", getattr(self, key), 0)
        at_least("plan.gpus_per_node", self.gpus_per_node, 1)
        for key in ("num_nodes", "prompt_tokens", "completion_tokens"):
            if (value := getattr(self, key)) is not None:
                at_least(f"plan.{key}", value, 1)
