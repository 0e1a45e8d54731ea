"""What ``r1ray plan`` takes machines for."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.config.values import above, at_least, between, share


@dataclass
class PlanConfig:
    """The machines and lengths that ``r1ray plan`` computes with. A run uses them for its deadlines, for what
    ``colocated`` leaves open, and to refuse a model that does not fit."""

    gpu: str | None = None
    """Kind of GPU: ``a10g``, ``l4``, ``rtx4090``, ``l40s``, ``a100-40``, ``a100-80``, ``h100``, ``h200``, ``b200``, or
    ``cpu``. null: ``cpu`` if neither learner nor engines get GPUs, or if ``prepare.maker`` makes the model; else
    ``h100``."""
    memory_gib: float | None = None
    """Memory of one GPU. null: as of its kind. Unit: GiB."""
    tflops: float | None = None
    """Peak of one GPU in dense bfloat16; on CPUs, of one thread in float32. null: as of its kind. Unit: TFLOP/s."""
    memory_gb_s: float | None = None
    """Memory bandwidth of one GPU. null: as of its kind. Unit: GB/s."""
    node_network_gb_s: float | None = None
    """Network bandwidth into one node. null: as is usual for its GPUs. Unit: GB/s."""
    storage_gb_s: float = 1.0
    """Bandwidth at which one node reads a model's files, and at which all ranks together write a checkpoint. Unit:
    GB/s."""
    gpus_per_node: int = 8
    """GPUs of one node."""
    num_nodes: int | None = None
    """Nodes with GPUs that there are. null: as many as it takes."""
    host_memory_gib: float = 1900.0
    """Host memory of one node; without GPUs, of the machine, if this machine's is not known. Unit: GiB."""
    learn_efficiency: float = 0.4
    """Share of the peak that the learner reaches (MFU). Unit: share."""
    generate_efficiency: float = 0.6
    """Share of peak and memory bandwidth that the engines reach. Unit: share."""
    network_efficiency: float = 0.7
    """Share of the network's bandwidth that transfers of weights and gradients reach. Unit: share."""
    prompt_tokens: int | None = None
    """Length of an average prompt. null: a quarter of ``data.max_prompt_tokens``. Unit: tokens."""
    completion_tokens: int | None = None
    """Length of an average completion. null: a quarter of ``algo.max_completion_tokens``. Unit: tokens."""
    turns: float | None = None
    """Turns of an average trajectory. null: 1; where ``data.environment``, ``environment.worlds`` or
    ``environment.shares`` is set, a quarter of ``environment.max_turns``. Unit: turns."""
    context_tokens: int | None = None
    """Length of an average answer of an environment to a turn. null: a quarter of ``environment.max_context_tokens``.
    Unit: tokens."""
    answer_s: float = 0.1
    """Time in which an environment answers a turn. Unit: seconds."""
    score_s: float = 0.002
    """Time of one core for the reward of one completion: about 0.001 for a math answer; for a program, 0.004 for each
    test case and what the program itself takes. Unit: seconds."""
    max_days: float = 30.0
    """Longest time that a stage should take: the plan says so of one that is expected to take longer. Unit: days."""
    length_spread: float = 0.7
    """Spread of the lengths of completions in a simulation: their standard deviation over their mean, before the
    limit cuts them. 0: all have the mean. Unit: share."""
    faults_a_day: float = 0.0
    """Faults of one GPU and its share of a node in a day of a simulation. Each loses the engine or the learner
    group that it hits. (Llama 3's training, arXiv 2407.21783, had 0.0005.) Unit: faults."""
    restart_s: float = 120.0
    """Time until a lost engine, or the learner group, is up again, in a simulation. Unit: seconds."""
    simulated_steps: int = 10
    """Steps that a simulation takes the mean of. Rare faults need many. Unit: steps."""
    price: float | None = None
    """Price of one GPU for one hour, in any currency. null: no cost is shown."""

    def __post_init__(self) -> None:
        for key in ("memory_gib", "tflops", "memory_gb_s", "node_network_gb_s", "price"):
            if (value := getattr(self, key)) is not None:
                above(f"plan.{key}", value, 0)
        for key in ("learn_efficiency", "generate_efficiency", "network_efficiency"):
            share(f"plan.{key}", getattr(self, key))
        for key in ("host_memory_gib", "score_s", "storage_gb_s", "answer_s", "max_days", "restart_s"):
            above(f"plan.{key}", getattr(self, key), 0)
        for key, most in (("length_spread", 10), ("faults_a_day", 1000)):
            between(f"plan.{key}", getattr(self, key), 0, most)
        between("plan.simulated_steps", self.simulated_steps, 1, 100_000)
        at_least("plan.gpus_per_node", self.gpus_per_node, 1)
        for key in ("num_nodes", "prompt_tokens", "completion_tokens", "turns", "context_tokens"):
            if (value := getattr(self, key)) is not None:
                at_least(f"plan.{key}", value, 1)
