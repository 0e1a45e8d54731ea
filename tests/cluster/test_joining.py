from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from r1ray.cluster import joining
from r1ray.cluster.joining import connect, local_gpus
from r1ray.cluster.placement import preflight
from r1ray.cluster.reachable import why_unreachable
from r1ray.config import ClusterConfig, DataConfig, RewardConfig, RewardPart, RunConfig
from r1ray.errors import UserError


@pytest.fixture
def never_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("Ray tries for minutes")

    monkeypatch.setattr("ray.init", refuse)


@pytest.mark.usefixtures("never_joins")
@pytest.mark.parametrize("key", ["cluster.address", "RAY_ADDRESS"])
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1", "nowhere.invalid:6379"])
def test_an_address_where_nothing_listens_is_refused_at_once_with_its_key(
    monkeypatch: pytest.MonkeyPatch, key: str, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address if key == "RAY_ADDRESS" else "elsewhere:6379")
    given = None if key == "RAY_ADDRESS" else address
    reward = RewardConfig(parts={"accuracy": RewardPart()})
    asked = RunConfig(model="m", data=DataConfig(train="t"), reward=reward, cluster=ClusterConfig(address=given))
    for refuse in (lambda: connect(given), lambda: preflight(asked)):
        with pytest.raises(UserError) as refused:
            refuse()
        assert str(refused.value).startswith(f"{key}={address}: no Ray answers there: "), refused.value


@pytest.mark.usefixtures("never_joins")
def test_the_port_of_a_web_server_is_not_ray() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        with pytest.raises(UserError, match="what answers there is not Ray; needs the HOST:PORT"):
            connect(f"127.0.0.1:{server.server_port}")
        thread.join(5.0)


def test_a_job_server_is_not_joined() -> None:
    with pytest.raises(
        UserError, match=r"cluster\.address=http://head:8265: that is a job server, .* needs the HOST:PORT"
    ):
        connect("http://head:8265")


def test_of_a_cluster_that_lets_nobody_in_the_token_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise ConnectionError("Failed to connect to Ray cluster at head:6379")

    monkeypatch.setattr("ray.init", refuse)
    monkeypatch.setattr(joining, "reachable", lambda address: ("cluster.address", address))
    monkeypatch.setattr(joining, "_scratch", lambda *, has_own_cluster: None)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(UserError, match=r"at head:6379\. If its nodes have a token .*, set RAY_AUTH_MODE=token\."):
        connect("head:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(UserError, match="another token than RAY_AUTH_TOKEN"):
        connect("head:6379")


def test_what_does_not_answer_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert why_unreachable(address, timeout_s=0.2) == "no Ray answers there within 0.2 s"


@pytest.mark.parametrize(("visible", "count"), [("0,1,3", 3), ("", 0), ("-1", 0)])
def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local_gpus() == count
