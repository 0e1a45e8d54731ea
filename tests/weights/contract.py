"""``python -m tests.weights.contract``: r1ray's half of vLLM's weight-transfer API against the vLLM on the path.

It needs no engine and no GPU. Prints the version; what does not fit is an exception.

It takes vLLM's Python alone, so that a wheel for CUDA, unpacked, is enough. (Its compiled parts are the engine's.)
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from r1ray.weights import plugin
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.snapshot import SnapshotPlace
from r1ray.weights.snapshot_file import SnapshotWriter
from r1ray.weights.stream import metadata_with_fingerprints, with_fingerprints

SIZE = 8
SHAPES = {"first.weight": (SIZE, SIZE), "second.weight": (SIZE, SIZE)}
CALLS = re.compile(r"llm\.(\w+)\(")


class Model(nn.Module):
    """Two layers, which load as a model of vLLM does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(SIZE, SIZE, bias=False), nn.Linear(SIZE, SIZE, bias=False)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        own = dict(self.named_parameters())
        loaded = set()
        for name, tensor in weights:
            own[name].weight_loader(own[name], tensor)
            loaded.add(name)
        return loaded


def loader(param: torch.Tensor, loaded_weight: torch.Tensor) -> None:
    """Load as vLLM's do: its reload knows the arguments by these names."""
    param.data.copy_(loaded_weight)


class Stream:
    """What a learner sends."""

    def __init__(self) -> None:
        self.value = 1.0

    def metadata(self) -> list[TensorMeta]:
        return [TensorMeta(name, "float32", shape) for name, shape in SHAPES.items()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for number, (name, shape) in enumerate(SHAPES.items()):
            yield name, torch.full(shape, self.value + number)


class Group:
    """A communicator whose one sender and one receiver are in this process."""

    def __init__(self) -> None:
        self.sent: list[torch.Tensor] = []

    def broadcast(self, tensor: torch.Tensor, src: int, stream: Any = None) -> None:
        if self.sent:
            tensor.copy_(self.sent.pop(0))
        else:
            raise RuntimeError("more is received than was sent")


class Client:
    """Takes what the sender tells the engines, and lets the receiver do it when the tensors are there."""

    def __init__(self, receiver: Any) -> None:
        self.receiver, self.infos = receiver, []

    def start_weight_update(self) -> None:
        self.receiver.start_weight_update()

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self.infos.append(update_info)

    def finish_weight_update(self) -> None: ...


def receiver_of(name: str) -> Any:
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
    from vllm.model_executor.model_loader.reload import record_metadata_for_reloading

    model = Model()
    for parameter in model.parameters():
        parameter.weight_loader = loader  # type: ignore[attr-defined]
    record_metadata_for_reloading(model)  # as vLLM does when it has made a model
    config = SimpleNamespace(
        parallel_config=SimpleNamespace(rank=0, world_size=1, data_parallel_index=0, data_parallel_rank=0),
        model_config=SimpleNamespace(dtype=torch.float32),
    )
    made = WeightTransferEngineFactory._registry[name]()
    return made(SimpleNamespace(backend=name), config, torch.device("cpu"), model)


def holds(receiver: Any, value: float) -> None:
    found = {name: parameter.detach() for name, parameter in receiver.model.named_parameters()}
    assert found.keys() == SHAPES.keys()
    for number, tensor in enumerate(found.values()):
        assert torch.equal(tensor, torch.full_like(tensor, value + number)), f"{tensor} and not {value + number}"


# ---------------------------------------------------------------------- what is looked at


def check_classes_are_whole() -> None:
    """Every engine that r1ray registers has what vLLM's base asks for, and takes the arguments that it passes."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory, WeightTransferTrainerFactory

    plugin.register()
    for factory in (WeightTransferEngineFactory, WeightTransferTrainerFactory):
        own = [name for name in factory._registry if name.startswith("r1ray_")]
        assert len(own) >= 2, own
        for name in own:
            made = factory._registry[name]()
            assert not inspect.isabstract(made), (name, made.__abstractmethods__)
            for method, base in overridden(made):
                theirs, ours = inspect.signature(base).parameters, inspect.signature(method).parameters
                taken = {each.name for each in ours.values()}
                missing = [each for each in theirs if each not in taken and each not in ("args", "kwargs")]
                assert not missing, f"{made.__name__}.{method.__name__} does not take {missing}"


def overridden(made: type) -> Iterator[tuple[Callable[..., Any], Callable[..., Any]]]:
    """Methods of r1ray's that a class of vLLM's has too, with vLLM's."""
    for each in made.__mro__:
        if not each.__module__.startswith("r1ray"):
            continue
        for name, method in vars(each).items():
            bases = [base for base in made.__mro__ if base.__module__.startswith("vllm") and name in vars(base)]
            if inspect.isfunction(method) and bases and inspect.isfunction(vars(bases[0])[name]):
                yield method, vars(bases[0])[name]


def check_an_engine_has_what_is_called() -> None:
    """Every method of AsyncLLM that r1ray's engines call, with the arguments that they name."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    import r1ray.rollout.vllm_judge  # as the actors import it
    import r1ray.rollout.weight_update

    source = "".join(path.read_text() for path in (Path(r1ray.__file__).parent / "rollout").glob("*.py"))
    called = set(CALLS.findall(source)) - {"__init__"}
    assert len(called) > 10 and {name for name in called if not hasattr(AsyncLLM, name)} == set()
    for name, arguments in (
        ("pause_generation", {"mode", "clear_cache"}),
        ("generate", {"request_id", "lora_request"}),
        ("sleep", {"mode"}),
        ("collective_rpc", {"args"}),
    ):
        assert arguments <= inspect.signature(getattr(AsyncLLM, name)).parameters.keys(), name
    known = inspect.signature(AsyncEngineArgs).parameters
    assert {"weight_transfer_config", "worker_extension_cls", "enable_sleep_mode", "max_loras"} <= known.keys()


def check_snapshot(name: str) -> None:
    """A receiver takes two versions from a snapshot, by vLLM's layerwise reload."""
    receiver, stream, writer = receiver_of(name), Stream(), SnapshotWriter()
    metas = metadata_with_fingerprints(stream.metadata())
    with tempfile.NamedTemporaryFile() as file:
        for version in (1, 2):
            stream.value = float(version)
            place = SnapshotPlace(file.name, version)
            for _ in writer.keep(with_fingerprints(stream), metas, place):
                pass
            info = {"names": [], "dtype_names": [], "shapes": [], "snapshot": file.name, "version": version}
            receiver.start_weight_update()
            receiver.receive_weights(receiver.update_info_cls(**info))
            receiver.finish_weight_update()
            holds(receiver, float(version))


def check_rounds() -> None:
    """What vLLM's sender makes of three rounds is what the receiver takes: also the later ones, whose tensors vLLM 0.33
    does not name again; and a sender that begins anew."""
    from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

    from r1ray.weights.nccl import StreamSource, VerifiedNCCLTrainerInitInfo

    info = VerifiedNCCLTrainerInitInfo("127.0.0.1", 1, 2, packed_buffer_size_bytes=1 << 20, rank=0)
    assert (info.backend, info.is_sender) == ("r1ray_nccl", True)
    receiver, stream = receiver_of("r1ray_nccl"), Stream()
    group = receiver.model_update_group = Group()
    torch.cuda.current_stream = lambda *_: None  # type: ignore[assignment]
    for value in (1.0, 2.0, 3.0, 4.0):
        if value in (1.0, 4.0):
            source, client = StreamSource(stream), Client(receiver)  # type: ignore[arg-type]
            made = WeightTransferTrainerFactory._registry["r1ray_nccl"]()
            sender = made(client=client, source=source, packed=False)
            sender.model_update_group = SimpleNamespace(
                broadcast=lambda tensor, **_: group.sent.append(tensor.detach().clone())
            )
            sender._post_send_sync = lambda: None
        stream.value = value
        sender.send_weights()
        source.drain()
        [update] = client.infos[-1:]
        told = update if isinstance(update, dict) else asdict(update)
        receiver.receive_weights(receiver.update_info_cls(**told))
        receiver.finish_weight_update()
        holds(receiver, value)
        assert group.sent == [] and not getattr(receiver, "_last_update_info", {})


def join_world_of_one(folder: str) -> None:
    """Form vLLM's group of all workers, of which each receiver asks what the others hold."""
    from vllm.distributed.parallel_state import init_distributed_environment

    init_distributed_environment(1, 0, f"file://{folder}/world", local_rank=0, backend="gloo")


def main() -> None:
    import vllm

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        join_world_of_one(folder)
    check_classes_are_whole()
    check_an_engine_has_what_is_called()
    for name in ("r1ray_gloo", "r1ray_nccl", "r1ray_ipc"):
        check_snapshot(name)
    check_rounds()
    print(f"vllm {vllm.__version__} of {os.path.dirname(vllm.__file__)}: its contract is kept")


if __name__ == "__main__":
    main()
