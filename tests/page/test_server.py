from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from r1ray.page import server
from r1ray.page.server import application_of
from tests.page.planted import plant

HERE = "http://127.0.0.1:8642"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return TestClient(application_of([plant(tmp_path_factory.mktemp("runs") / "one", num_steps=4)]), base_url=HERE)


def test_the_page_comes_without_rollouts_and_they_come_by_pages(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert (
        "connect-src 'self'" in answer.text
        and '<script type="application/octet-stream" id="groups"></script>' in answer.text
    )
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
    rows = client.get("/api/rollouts", params={"domain": "code"}).json()["rows"]
    assert {row["domain"] for row in rows} == {"code"}
    assert client.get("/api/group", params={"id": rows[0]["id"]}).json()["group_id"] == rows[0]["group_id"]
    assert client.get("/api/choices").json()["kind"] == ["training"]


def test_a_search_tells_its_progress(client: TestClient) -> None:
    lines = client.get("/api/scan", params={"text": "check"}).text.splitlines()
    assert [json.loads(line)["done"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "", "[::1]:8642"])
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/api/rollouts"):
        assert client.get(path, headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost:9000", "localhost"])
def test_this_machine_by_any_port_is_served(client: TestClient, host: str) -> None:
    assert client.get("/api/choices", headers={"host": host}).status_code == 200


def test_a_request_of_another_sites_page_is_refused_and_a_link_is_followed(client: TestClient) -> None:
    assert client.get("/api/choices", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/metrics.jsonl", "/rollouts/step=000001.parquet", "/../../etc/passwd", "/%2e%2e/etc/passwd", "/api/", "/docs"],
)
def test_nothing_else_can_be_read(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post("/api/rollouts").status_code == 405


@pytest.mark.parametrize("path", ["/api/group", "/api/group?id=999999", "/api/group?id=-1", "/api/rollouts?offset=x"])
def test_a_bad_question_is_refused_with_a_sentence(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400 and len(answer.text) > 5


def test_steps_that_come_later_are_there_when_the_page_is_loaded_again(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", num_steps=1)
    client = TestClient(application_of([run]), base_url=HERE)
    before = client.get("/api/rollouts").json()["total"]
    (run / "rollouts/step=000002.parquet").write_bytes((run / "rollouts/step=000001.parquet").read_bytes())
    client.get("/")
    assert client.get("/api/rollouts").json()["total"] == 2 * before


def test_it_listens_on_this_machine_alone_and_takes_another_port_where_its_own_is_taken() -> None:
    with server._socket() as first, server._socket() as second:
        assert {each.getsockname()[0] for each in (first, second)} == {"127.0.0.1"}
        assert first.getsockname()[1] != second.getsockname()[1]
