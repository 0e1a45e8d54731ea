from __future__ import annotations

import os

import pytest

from r1ray.mirror.store import Store, StoreFailed


def test_a_password_in_the_address_of_an_endpoint_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://someone:hunter2@127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    with pytest.raises(StoreFailed, match=r"http://127.0.0.1:1/bucket/x/k") as failed:
        Store("s3://bucket/x").get("k")
    assert "hunter2" not in str(failed.value) and "sesame" not in str(failed.value)


def test_without_credentials_a_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with pytest.raises(StoreFailed, match=r"There are no credentials: neither in the environment \(AWS_ACCESS_KEY_ID"):
        Store("s3://bucket/x").get("k")
