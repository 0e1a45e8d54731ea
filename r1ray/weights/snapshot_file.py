"""Writing a snapshot beside a publish, and loading it: see :mod:`r1ray.weights.snapshot`."""

from __future__ import annotations

import mmap
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import torch

from r1ray.errors import WeightSyncError
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.snapshot import MAGIC, PREFIX, Header, SnapshotPlace, header_bytes, layout, read_header
from r1ray.weights.stream import (
    FINGERPRINTS,
    VerifyingLoader,
    WeightStream,
    compare,
    fingerprint,
    metadata_with_fingerprints,
    on_host,
    with_fingerprints,
)

ROOM = 0.9
"""Share of the free memory that the snapshot may take."""
CGROUP = Path("/sys/fs/cgroup")


class SnapshotWriter:
    """Writes versions into files, in place: pages that are there already are written at the speed of memory."""

    def __init__(self) -> None:
        self._maps: dict[str, mmap.mmap] = {}

    def write(self, stream: WeightStream, place: SnapshotPlace) -> str:
        """Write a version. Returns what kept it from that; "" for nothing."""
        metas = metadata_with_fingerprints(stream.metadata())
        tensors, problem = kept(self, with_fingerprints(on_host(stream)), metas, place)
        for _ in tensors:
            pass
        return problem

    def keep(
        self, tensors: Iterator[tuple[str, torch.Tensor]], metas: Sequence[TensorMeta], place: SnapshotPlace
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Return the same tensors, of which each is written as it passes. The file is whole after the last one.

        Raises OSError where the file, or the memory, is not there.
        """
        placed, end = layout(metas)
        file = self._mapped(place.path, end + len(header_bytes(placed, b"")))
        file[: PREFIX.size] = PREFIX.pack(MAGIC, 0, 0, 0)
        return self._kept(tensors, placed, end, file, place.version)

    def _kept(
        self,
        tensors: Iterator[tuple[str, torch.Tensor]],
        placed: Sequence[tuple[TensorMeta, int]],
        end: int,
        file: mmap.mmap,
        version: int,
    ) -> Iterator[tuple[str, torch.Tensor]]:
        whole, fingerprints = torch.frombuffer(file, dtype=torch.uint8), b""
        copied: list[torch.Tensor] = []
        """Fingerprints of what comes from a device: those that travel beside it are not of bytes in host memory."""
        for (name, tensor), (meta, start) in zip(tensors, placed, strict=True):
            part = whole[start : start + meta.num_bytes]
            part.copy_(tensor.detach().contiguous().view(-1).view(torch.uint8))
            if name == FINGERPRINTS:
                if copied:
                    part.copy_(torch.stack(copied).view(torch.uint8))
                fingerprints = part.numpy().tobytes()
            elif tensor.device.type != "cpu":
                copied.append(fingerprint(part))
            yield name, tensor
        header = header_bytes(placed, fingerprints)
        file[end : end + len(header)] = header
        file[: PREFIX.size] = PREFIX.pack(MAGIC, version + 1, end, len(header))

    def _mapped(self, path: str, size: int) -> mmap.mmap:
        """Return a file as memory, of this size at least."""
        self._maps = {each: kept for each, kept in self._maps.items() if os.path.exists(each)}  # of a keeper that lives
        known = self._maps.get(path)
        if known is not None and len(known) >= size:
            return known
        descriptor = os.open(path, os.O_RDWR)
        try:
            missing = size - os.fstat(descriptor).st_size
            if missing > ROOM * (free := free_memory()):
                raise OSError(f"it needs {missing / 2**30:.2g} GiB, and {free / 2**30:.2g} GiB are free")
            if missing > 0:
                os.ftruncate(descriptor, size)
            self._maps[path] = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        return self._maps[path]


def kept(
    writer: SnapshotWriter,
    tensors: Iterator[tuple[str, torch.Tensor]],
    metas: Sequence[TensorMeta],
    place: SnapshotPlace,
) -> tuple[Iterator[tuple[str, torch.Tensor]], str]:
    """Have tensors written as they pass, or say why they cannot be: a publish does without."""
    try:
        return writer.keep(tensors, metas, place), ""
    except OSError as error:
        return tensors, str(error)


def free_memory() -> float:
    """Return the bytes that this process may still take: of the machine, and of its container."""
    found = float(psutil.virtual_memory().available)
    try:
        limit, used = (CGROUP / "memory.max").read_text().strip(), int((CGROUP / "memory.current").read_text())
        rows = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not in a container, or in one of another kind
        return found
    return found if limit == "max" else min(found, int(limit) - used + int(rows.get("inactive_file", 0)))


def check(place: SnapshotPlace) -> None:
    """Compare a version with its fingerprints. Raises WeightSyncError where it is not there, or not as it was written.
    Another process than the one that loads it may do this, while that goes on with its work."""
    header = _header(place)
    compare(_mapped_tensors(place.path, header.tensors))
    _check_kept(place, header)


def load(place: SnapshotPlace, loader: VerifyingLoader) -> None:
    """Load a version that has been compared with its fingerprints. Raises WeightSyncError where it is not there, or
    another one was written over it meanwhile."""
    header = _header(place)
    *weights, _ = _mapped_tensors(place.path, header.tensors)
    loader.load_compared(weights)
    _check_kept(place, header)


def _header(place: SnapshotPlace) -> Header:
    header = read_header(place.path)
    if header.version != place.version:
        raise WeightSyncError(f"the snapshot holds version {header.version}, and not {place.version}")
    return header


def _check_kept(place: SnapshotPlace, header: Header) -> None:
    if read_header(place.path) != header:
        raise WeightSyncError(f"the snapshot of version {place.version} was written over while it was read")


def _mapped_tensors(path: str, tensors: Sequence[tuple[TensorMeta, int]]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors as views of the file: nothing is copied, and the layerwise reload may keep them until a layer is
    whole."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        whole = torch.frombuffer(memoryview(_read_map(path)), dtype=torch.uint8)
    for meta, start in tensors:
        part = whole[start : start + meta.num_bytes]
        yield meta.name, part.view(getattr(torch, meta.dtype)).view(meta.shape)


def _read_map(path: str) -> mmap.mmap:
    """Return a file as memory to read. It stays mapped: for 200 MB a new mapping takes 35 ms, and its end 50 ms."""
    for gone in [each for each in _maps if not os.path.exists(each)]:
        del _maps[gone]
    descriptor = os.open(path, os.O_RDONLY)
    try:
        state = os.fstat(descriptor)
        known = _maps.get(path)
        if known is None or known[0] != (state.st_ino, state.st_size):
            file = mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)
            _maps[path] = known = (state.st_ino, state.st_size), file
    finally:
        os.close(descriptor)
    return known[1]


_maps: dict[str, tuple[tuple[int, int], mmap.mmap]] = {}
"""Mapped files by path, each with its inode's number and its bytes."""
