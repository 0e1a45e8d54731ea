"""Distinction of errors of a machine or a service from errors of the code that met them.

A reward function may use a service through any library. None is imported here: an exception is judged by the status
that it carries and by the names of its class and base classes.
"""

from __future__ import annotations

from collections.abc import Iterator

PASSING_STATUS = frozenset({408, 425, 429})
"""HTTP statuses below 500 that are temporary: timeout, too early, too many requests. The other 4xx (400, 401, 404)
refuse the request itself, and will refuse it again until the code that makes it changes."""
GRPC_FAULTS = frozenset(
    {
        *("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL"),
        *("ABORTED", "DATA_LOSS", "CANCELLED", "UNKNOWN"),
    }
)
FAULTS = frozenset(
    {
        # Of the interpreter and torch.
        *("ConnectionError", "TimeoutError", "SSLError", "gaierror", "herror", "IncompleteReadError"),
        *("MemoryError", "OutOfMemoryError"),
        # Of httpx and httpcore, requests, urllib, aiohttp, http.client, websockets.
        *("TransportError", "DecodingError", "NetworkError", "ProtocolError", "TimeoutException"),
        *("RequestException", "URLError", "ClientError", "HTTPException", "ConnectionClosed", "InvalidStatus"),
        # Of openai, anthropic and similar clients, google.api_core, botocore, grpc.
        *("APIConnectionError", "GoogleAPICallError", "RetryError", "HTTPClientError", "EndpointConnectionError"),
        "RpcError",
        # Of Ray, which a function may use, too.
        *("RayActorError", "GetTimeoutError", "WorkerCrashedError", "NodeDiedError", "ObjectLostError"),
    }
)
"""Names of exception classes for faults of a machine, a connection or a service, including their subclasses."""
FAULTS_OF = {
    "urllib3": frozenset({"HTTPError"}),
    "openai": frozenset({"APIError"}),
    "anthropic": frozenset({"APIError"}),
}
"""Names that mean such a fault in one library only."""
MISTAKES = frozenset(
    {
        # Files and processes of the user.
        *("FileNotFoundError", "PermissionError", "IsADirectoryError", "NotADirectoryError", "FileExistsError"),
        *("ProcessLookupError", "ChildProcessError", "UnsupportedOperation"),
        # Requests that are never sent, and replies that the code misinterprets.
        *("LocationValueError", "InvalidURL", "MissingSchema", "InvalidSchema", "InvalidHeader", "URLRequired"),
        *("UnsupportedProtocol", "LocalProtocolError", "NonHttpUrlClientError", "TooManyRedirects"),
        *(
            "StreamConsumedError",
            "UnrewindableBodyError",
            "InvalidJSONError",
            "ContentTypeError",
            "ImproperConnectionState",
        ),
    }
)
"""Names of subclasses of these that are the code's own mistakes."""


def is_service_error(error: BaseException) -> bool:
    """Return whether a machine or a service failed rather than the code that met the error. Of an exception and its
    causes, the first one that can be judged decides."""
    return next((found for link in _chain(error) if (found := _judge(link)) is not None), False)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its chain of causes."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _judge(error: BaseException) -> bool | None:
    """Return whether one exception is a service's fault; None if it does not tell."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_service_error(each) for each in error.exceptions)
    kinds = type(error).__mro__
    names = {kind.__name__ for kind in kinds}
    if "RpcError" in names and (status := _grpc_status(error)) is not None:
        return status in GRPC_FAULTS
    if (code := _http_status(error)) is not None:
        return code >= 500 or code in PASSING_STATUS
    if names & MISTAKES:
        return False
    in_library = any(kind.__name__ in FAULTS_OF.get(kind.__module__.partition(".")[0], ()) for kind in kinds)
    of_system = isinstance(error, OSError) and (type(error) is OSError or error.errno is not None)
    return True if names & FAULTS or in_library or of_system else None


def _http_status(error: BaseException) -> int | None:
    """Return the status of the reply that an exception is about, if it is an error status."""
    response = getattr(error, "response", None)
    found = [getattr(holder, name, None) for holder in (error, response) for name in ("status_code", "status")]
    if isinstance(response, dict):  # botocore's
        found.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    elif isinstance(error, Exception) and not any(found):  # urllib's and google's; SystemExit has a code, too
        found.append(getattr(error, "code", None))
    return next((int(each) for each in found if isinstance(each, int) and 400 <= each <= 599), None)


def _grpc_status(error: BaseException) -> str | None:
    code = getattr(error, "code", None)
    return getattr(code(), "name", None) if callable(code) else None
