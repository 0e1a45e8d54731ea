from __future__ import annotations

from r1ray.weights.buckets import TensorMeta
from r1ray.weights.ipc import buffer_bytes

EMBEDDING = TensorMeta("embed", "bfloat16", (151_936, 896))
"""Of Qwen2.5-0.5B: 260 MiB."""


def test_a_buffer_takes_a_bucket_and_the_largest_tensor() -> None:
    mib = 2**20
    assert buffer_bytes([EMBEDDING], bucket_bytes=256 * mib) == 2 * 151_936 * 896
    assert buffer_bytes([EMBEDDING], bucket_bytes=512 * mib) == 512 * mib
    many = [TensorMeta(f"norm{index}", "bfloat16", (1,)) for index in range(100)]
    assert buffer_bytes(many, bucket_bytes=1) == 8 * 100, "fingerprints come in one tensor"
