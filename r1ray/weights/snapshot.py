"""The snapshot: a published version in host memory, as a file that engines map. This module reads its header.

    | magic, state, where the header is | tensors, as they were sent, their fingerprints last | header, JSON |

The file is written in place. The state is 0 meanwhile, and 1 + the version once all is there. Two files take turns, so
that who loads the last version is not disturbed by the next.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from r1ray.errors import WeightSyncError
from r1ray.weights.buckets import TensorMeta

PREFIX = struct.Struct("<8sQQQ")
MAGIC = b"r1raysn1"
FIRST, ALIGNED = 4096, 64
"""Where the first tensor begins, and of what every beginning is a multiple."""


@dataclass(frozen=True, slots=True)
class SnapshotPlace:
    """Where a version is to be written."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a snapshot."""

    version: int
    num_bytes: int
    """Bytes of its tensors."""
    digest: str
    """Digest of their fingerprints: two snapshots with the same one hold the same weights."""
    tensors: tuple[tuple[TensorMeta, int], ...]
    """Each with its place in the file."""


def read_header(path: str | Path) -> Header:
    """Return the header of a snapshot. Raises WeightSyncError where there is none, or it is being written."""
    try:
        with open(path, "rb") as file:
            magic, state, start, length = PREFIX.unpack(file.read(PREFIX.size))
            if magic != MAGIC or not state:
                raise WeightSyncError(f"{path} is no whole snapshot")
            return _parsed(file, state - 1, start, length)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise WeightSyncError(f"{path} holds no snapshot: {error}") from error


def _parsed(file: BinaryIO, version: int, start: int, length: int) -> Header:
    file.seek(start)
    header = json.loads(file.read(length))
    tensors = tuple((TensorMeta(name, dtype, tuple(shape)), place) for name, dtype, shape, place in header["tensors"])
    return Header(version, header["bytes"], header["digest"], tensors)


def layout(metas: Sequence[TensorMeta]) -> tuple[list[tuple[TensorMeta, int]], int]:
    """Return each tensor with its place, and where the header begins."""
    placed, start = [], FIRST
    for meta in metas:
        placed.append((meta, start))
        start += -(-meta.num_bytes // ALIGNED) * ALIGNED
    return placed, start


def header_bytes(placed: Sequence[tuple[TensorMeta, int]], fingerprints: bytes) -> bytes:
    """Return the header of a file with these tensors."""
    tensors = [[meta.name, meta.dtype, list(meta.shape), place] for meta, place in placed]
    num_bytes = sum(meta.num_bytes for meta, _ in placed)
    digest = hashlib.blake2b(fingerprints, digest_size=16).hexdigest()
    return json.dumps({"bytes": num_bytes, "digest": digest, "tensors": tensors}).encode()
