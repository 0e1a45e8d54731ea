"""The judge behind an HTTP service, against a small one on the loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from r1ray.errors import DeadlineExceeded, InfrastructureError, UserError
from r1ray.reward.api_judge import MAX_RETRIES, ApiJudge
from r1ray.reward.judged import RUBRICS

SCHEMA = RUBRICS["attempted"].schema
VALID = '{"reason": "so", "grade": "incorrect"}'


class Service:
    """Sends the replies of a list, one after the other, and the last one again and again; keeps what it was sent."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.delay_s = 0.0
        self.num_open = self.most_open = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        with self._lock:
            self.requests.append(json.loads(body))
            self.keys.append(request.headers["Authorization"])
            status, text = self.replies[min(len(self.requests), len(self.replies)) - 1]
            self.num_open += 1
            self.most_open = max(self.most_open, self.num_open)
        self.closing.wait(self.delay_s)
        with self._lock:
            self.num_open -= 1
        if self.closing.is_set():
            return
        sent = text.encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(sent)))
        request.send_header("retry-after-ms", "1")
        request.end_headers()
        request.wfile.write(sent)

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    service = Service()
    yield service
    service.close()


def says(content: str | None, *, finish_reason: str = "stop", refusal: str | None = None) -> tuple[int, str]:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "finish_reason": finish_reason, "message": message}
    return 200, json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})


def failure(status: int, message: str) -> tuple[int, str]:
    return status, json.dumps({"error": {"message": message, "type": "x", "code": None}})


def ask(service: Service, *, times: int = 1, deadline_s: float = 20.0, max_in_flight: int = 8) -> list[Any]:
    """What ``times`` questions at a time come to: objects or errors."""

    async def run() -> list[Any]:
        judge = ApiJudge(service.url, "m", deadline_s=deadline_s, max_tokens=99, max_in_flight=max_in_flight)
        try:
            questions = [judge.ask(f"Which city? {index}", SCHEMA) for index in range(times)]
            return await asyncio.gather(*questions, return_exceptions=True)
        finally:
            await judge.close()

    return asyncio.run(run())


def failed(service: Service, **options: Any) -> str:
    """The message of the InfrastructureError that a question comes to."""
    (error,) = ask(service, **options)
    assert isinstance(error, InfrastructureError), error
    assert not isinstance(error, DeadlineExceeded)  # which would end the actor that asks
    return str(error)


def test_the_service_is_asked_for_an_object_of_the_schema(service: Service) -> None:
    service.replies = [says(VALID)]
    assert ask(service) == [{"reason": "so", "grade": "incorrect"}]
    (request,) = service.requests
    assert request["messages"] == [{"role": "user", "content": "Which city? 0"}]
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (request["model"], request["temperature"], request["max_completion_tokens"]) == ("m", 0.0, 99)
    assert service.keys == ["Bearer sk-test"]


@pytest.mark.parametrize(
    "bad",
    [says("Sure!"), says(VALID, finish_reason="length"), says('{"grade": "incorrect"}'), says(None, refusal="No.")],
)
def test_a_malformed_reply_is_asked_for_again_with_another_seed(service: Service, bad: tuple[int, str]) -> None:
    service.replies = [bad, bad, says(VALID)]
    assert ask(service) == [{"reason": "so", "grade": "incorrect"}]
    assert [request["temperature"] for request in service.requests] == [0.0, 0.7, 0.7]
    assert [request["seed"] for request in service.requests] == [0, 1, 2]


def test_three_malformed_replies_are_a_failure_of_the_system(service: Service) -> None:
    service.replies = [says("I would rather not.")]
    message = failed(service)
    assert "no answer of its schema in 3 tries" in message and "'I would rather not.'" in message
    assert len(service.requests) == 3


def test_a_failing_service_is_tried_again(service: Service) -> None:
    service.replies = [failure(500, "oops"), failure(429, "slow down"), says(VALID)]
    assert ask(service) == [{"reason": "so", "grade": "incorrect"}]
    assert [request["temperature"] for request in service.requests] == [0.0, 0.0, 0.0]


def test_a_service_that_keeps_failing_is_named_with_its_status(service: Service) -> None:
    service.replies = [failure(503, "overloaded\nstack trace")]
    message = failed(service)
    assert f"the judge m at {service.url}: Error code: 503" in message and "overloaded" in message
    assert "\n" not in message and len(service.requests) == MAX_RETRIES + 1


def test_a_wrong_key_is_refused_once(service: Service) -> None:
    service.replies = [failure(401, "Incorrect API key provided")]
    message = failed(service)
    assert "401" in message and "Incorrect API key" in message
    assert len(service.requests) == 1


@pytest.mark.parametrize("nonsense", ["<html>hello</html>", "[]", "{}", '{"choices": []}', '{"choices": [{}]}', "7"])
def test_what_is_no_chat_completion_is_a_failure_of_the_system(service: Service, nonsense: str) -> None:
    service.replies = [(200, nonsense)]
    assert f"the judge m at {service.url}: its reply is no" in failed(service)


def test_a_service_that_hangs_is_left_at_the_deadline(service: Service) -> None:
    service.replies, service.delay_s = [says(VALID)], 60.0
    message = failed(service, deadline_s=0.3)
    assert len(service.requests) == service.num_open, "none has its reply"
    assert "0.3 s" in message and "judge.deadline_s" in message


def test_the_deadline_covers_every_try(service: Service) -> None:
    service.replies, service.delay_s = [says("Sure!")], 0.4
    assert "judge.deadline_s" in failed(service, deadline_s=0.6)
    assert len(service.requests) < 3


def test_a_service_that_is_not_there_is_named(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.reward.api_judge.MAX_RETRIES", 0)
    service.close()
    message = failed(service)
    assert service.url in message and "Connection error" in message and "attempts failed" in message


def test_no_more_than_max_in_flight_questions_are_open(service: Service) -> None:
    service.replies, service.delay_s = [says(VALID)], 0.05
    replies = ask(service, times=7, max_in_flight=3)
    assert len(replies) == 7 and all(isinstance(reply, Mapping) for reply in replies)
    assert service.most_open == 3


def build(url: str) -> Callable[[], ApiJudge]:
    return lambda: ApiJudge(url, "m", "R1RAY_NO_SUCH_KEY", deadline_s=1.0, max_tokens=9, max_in_flight=1)


def test_openai_without_a_key_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="needs a key in the environment variable R1RAY_NO_SUCH_KEY"):
        build("https://api.openai.com/v1")()


def test_another_service_needs_no_key() -> None:
    assert build("http://127.0.0.1:1/v1")()
