"""Errors of services, as the client libraries raise them."""

from __future__ import annotations

import asyncio
import errno
import http.client
import importlib
import json
import socket
import ssl
import urllib.error
from email.message import Message
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import httpx2
import openai
import pytest
import requests
import urllib3.exceptions

from r1ray.reward.service_errors import is_service_error

grpc: Any = importlib.import_module("grpc")  # without types
REQUEST = httpx.Request("GET", "http://judge")
REQUEST_2 = httpx2.Request("GET", "http://judge")


def httpx_status(code: int) -> Exception:
    return httpx.HTTPStatusError(str(code), request=REQUEST, response=httpx.Response(code, request=REQUEST))


def requests_status(code: int) -> Exception:
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError(str(code), response=response)


def aiohttp_status(code: int) -> Exception:
    return aiohttp.ClientResponseError(None, (), status=code)  # type: ignore[arg-type]


def urllib_status(code: int) -> Exception:
    return urllib.error.HTTPError("http://judge", code, str(code), Message(), None)


def openai_status(code: int) -> Exception:
    return openai.APIStatusError(str(code), response=httpx2.Response(code, request=REQUEST_2), body=None)


class Refused(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, code: Any) -> None:
        self._code = code

    def code(self) -> Any:
        return self._code


class Throttled(Exception):
    """As botocore's ClientError has it."""

    def __init__(self, code: int) -> None:
        self.response: dict[str, Any] = {"ResponseMetadata": {"HTTPStatusCode": code}}


class Own(Exception):
    """A user's own class for what a service said."""

    def __init__(self, code: int) -> None:
        self.status_code = code


STATUS = [httpx_status, requests_status, aiohttp_status, urllib_status, openai_status, Throttled, Own]


@pytest.mark.parametrize("make", STATUS)
def test_a_status_of_the_service_is_told_from_one_of_the_request(make: Any) -> None:
    assert [is_service_error(make(code)) for code in (500, 502, 503, 529, 429, 408)] == [True] * 6
    assert [is_service_error(make(code)) for code in (400, 401, 403, 404, 422)] == [False] * 5


@pytest.mark.parametrize(
    "error",
    [
        *(httpx.ConnectError("refused"), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("torn")),
        *(httpx.PoolTimeout("busy"), httpx.ProxyError("no")),
        *(requests.ConnectionError(), requests.Timeout(), requests.exceptions.ChunkedEncodingError()),
        *(requests.exceptions.SSLError(), requests.exceptions.RetryError()),
        *(aiohttp.ServerDisconnectedError(), aiohttp.ClientPayloadError(), aiohttp.ClientOSError(104, "reset")),
        aiohttp.ServerTimeoutError(),
        *(urllib3.exceptions.MaxRetryError(None, "/"), urllib3.exceptions.ProtocolError("torn")),  # type: ignore[arg-type]
        urllib3.exceptions.ReadTimeoutError(None, "/", "late"),  # type: ignore[arg-type]
        *(
            urllib.error.URLError("unreachable"),
            http.client.RemoteDisconnected("gone"),
            http.client.IncompleteRead(b""),
        ),
        *(openai.APIConnectionError(request=REQUEST_2), openai.APITimeoutError(request=REQUEST_2)),
        *(Refused(grpc.StatusCode.UNAVAILABLE), Refused(grpc.StatusCode.DEADLINE_EXCEEDED), grpc.RpcError()),
        *(
            ConnectionRefusedError(),
            BrokenPipeError(),
            TimeoutError(),
            socket.gaierror(-2, "no"),
        ),
        *(ssl.SSLError(1, "bad"), OSError("no route"), OSError(errno.ENOSPC, "full"), OSError(errno.EMFILE, "files")),
        *(MemoryError(), asyncio.IncompleteReadError(b"", 3)),
        type("OutOfMemoryError", (RuntimeError,), {})("of torch"),
        ExceptionGroup("both", [httpx.ConnectError("refused"), TimeoutError()]),
    ],
    ids=repr,
)
def test_a_connection_that_fails_is_the_services(error: Exception) -> None:
    assert is_service_error(error)


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("x"), ZeroDivisionError(), KeyError("x"), SystemExit(503), AssertionError(), RuntimeError("x")),
        *(FileNotFoundError(2, "labels.json"), PermissionError(13, "x"), IsADirectoryError(21, "x")),
        *(json.JSONDecodeError("x", "", 0), requests.exceptions.JSONDecodeError("x", "", 0)),
        *(requests.exceptions.MissingSchema("judge"), requests.exceptions.InvalidURL("judge")),
        *(httpx.UnsupportedProtocol("judge"), httpx.InvalidURL("judge"), aiohttp.InvalidURL("judge")),
        *(http.client.InvalidURL("judge"), urllib3.exceptions.LocationParseError("judge")),
        *(Refused(grpc.StatusCode.INVALID_ARGUMENT), Refused(grpc.StatusCode.UNAUTHENTICATED)),
        type("UnidentifiedImageError", (OSError,), {})("of a picture"),
        ExceptionGroup("one of them", [httpx.ConnectError("refused"), ValueError()]),
    ],
    ids=repr,
)
def test_what_the_code_did_wrong_is_its_own(error: BaseException) -> None:
    assert not is_service_error(error)


def caused(outer: Exception, inner: Exception, *, how: str) -> Exception:
    """Return the outer exception as it comes out of a handler of the inner one."""
    try:
        try:
            raise inner
        except Exception:
            if how == "from":
                raise outer from inner
            if how == "from None":
                raise outer from None
            raise outer  # noqa: B904
    except Exception as error:
        return error


@pytest.mark.parametrize(("how", "is_service"), [("from", True), ("while", True), ("from None", False)])
def test_what_an_exception_came_of_counts(how: str, is_service: bool) -> None:
    assert is_service_error(caused(ValueError("no score"), httpx_status(500), how=how)) == is_service
    assert is_service_error(caused(ValueError("no score"), ConnectionResetError(), how=how)) == is_service


def test_the_outermost_exception_that_says_so_decides() -> None:
    assert not is_service_error(caused(httpx_status(404), httpx.ConnectError("first try"), how="while"))
    assert is_service_error(caused(requests.ConnectionError(), ValueError("port"), how="from"))


def test_a_chain_that_bites_its_tail_ends() -> None:
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one
    assert not is_service_error(one)


def test_odd_attributes_are_no_status() -> None:
    error = ValueError("x")
    error.__dict__.update(code="500", status=None, response=SimpleNamespace(status_code="bad"))
    assert not is_service_error(error)
