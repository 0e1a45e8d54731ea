"""A probe of an object store: an object that is written, read, written under conditions, and removed."""

from __future__ import annotations

import secrets
from contextlib import suppress

from r1ray.mirror.store import Store, StoreFailed, Taken


def probe(store: Store) -> None:
    """Return if run folders can be copied there. Raises StoreFailed, and UserError."""
    key, content = f".r1ray-doctor-{secrets.token_hex(8)}", secrets.token_bytes(1 << 16)
    try:
        tag = store.create(key, content)
        found = store.get(key)
        if found is None or found[0] != content:
            raise StoreFailed(f"{store.address}/{key} does not read as it was written")
        if key not in store.keys(""):
            raise StoreFailed(f"{store.address}/{key} was written, and is not listed")
        with suppress(Taken):
            store.create(key, content)
            raise StoreFailed(f"{store.address} writes an object that is there, though it must not be (If-None-Match)")
        store.replace(key, content + b"1", tag)
        with suppress(Taken):
            store.replace(key, content + b"2", tag)
            raise StoreFailed(f"{store.address} writes an object that has changed, though it must not (If-Match)")
    finally:
        with suppress(StoreFailed):
            store.remove([key])
