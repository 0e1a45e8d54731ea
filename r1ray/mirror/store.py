"""Objects below one address of an object store, S3 or Google Cloud Storage.

No object is ever sent as a multipart upload: one that is cut off stays in the bucket, is paid for, and ``obstore``
cannot list it. Whoever has a large file puts it as several objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import obstore
from obstore import exceptions
from obstore.store import from_url

from r1ray.errors import InfrastructureError, UserError

if TYPE_CHECKING:
    from obstore import UpdateVersion

Tag: TypeAlias = "UpdateVersion"
"""One version of an object, as the store describes it."""
REQUEST_S, CONNECT_S, RETRY_S = 300.0, 5.0, 30.0
MAX_RETRIES = 3
METADATA = "169.254.169.254"
"""Addresses at which a machine of a cloud is asked for credentials, if the environment has none."""
NO_CREDENTIALS = (
    ". There are no credentials: neither in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "GOOGLE_APPLICATION_CREDENTIALS; profiles in ~/.aws are not read), nor of this machine"
)
_PASSWORD = re.compile(r"//[^/@\s]*@")
DENIED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)


class StoreFailed(InfrastructureError):
    """An object store did not do what it was asked: it cannot be reached, or refuses."""


class StoreRefuses(StoreFailed):
    """It answers that the caller may not, or that there is no such bucket: asking again is of no use."""


class Taken(InfrastructureError):
    """An object is not the version that the caller knows: somebody else has written it."""


class Store:
    """Objects below one address."""

    def __init__(self, address: str) -> None:
        """Connect to nothing yet. Raises UserError where settings of the environment make no sense.

        Args:
            address: ``s3://BUCKET/PATH`` or ``gs://BUCKET/PATH``. Endpoint, region and credentials are in the
                environment, as those of other programs.
        """
        self.address = address
        try:
            self._store = from_url(
                address,
                client_options={
                    "allow_http": True,  # of an endpoint that the user names; those of the clouds are https
                    "timeout": timedelta(seconds=REQUEST_S),
                    "connect_timeout": timedelta(seconds=CONNECT_S),
                },
                retry_config={"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
            )
        except (exceptions.BaseError, ValueError) as error:
            raise UserError(f"{address}: cannot be an object store: {_first_line(error)}.") from error

    def put(self, key: str, content: bytes) -> None:
        """Write an object under a key that is not used again. Raises StoreFailed."""
        with self._failing(key):
            obstore.put(self._store, key, content, use_multipart=False)

    def create(self, key: str, content: bytes) -> Tag:
        """Write an object that must not be there. Raises Taken where it is, and StoreFailed."""
        with self._failing(key):
            return _tag(obstore.put(self._store, key, content, mode="create"))

    def replace(self, key: str, content: bytes, tag: Tag) -> Tag:
        """Write an object anew, of which the caller knows the newest version. Raises Taken where it is another, or
        none, and StoreFailed."""
        with self._failing(key):
            try:
                return _tag(obstore.put(self._store, key, content, mode=tag))
            except (exceptions.NotFoundError, FileNotFoundError) as error:
                raise Taken(f"{self.address}/{key} was removed by somebody else") from error

    def get(self, key: str) -> tuple[bytes, Tag] | None:
        """Return an object and what its version is; None where there is none. Raises StoreFailed."""
        with self._failing(key):
            try:
                found = obstore.get(self._store, key)
                content = bytes(found.bytes())
            except (exceptions.NotFoundError, FileNotFoundError):
                return None
            return content, _tag(found.meta)

    def keys(self, below: str) -> list[str]:
        """Return the keys of the objects below a key, in order. Raises StoreFailed."""
        with self._failing(below):
            return sorted(each["path"] for page in obstore.list(self._store, below) for each in page)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there do not matter. Raises StoreFailed."""
        for key in keys:
            with self._failing(key):
                try:
                    obstore.delete(self._store, key)
                except (exceptions.NotFoundError, FileNotFoundError):
                    continue

    @contextmanager
    def _failing(self, key: str) -> Iterator[None]:
        """Raise what stands for the errors of the library."""
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise Taken(f"{self.address}/{key} was written by somebody else") from error
        except DENIED as error:
            raise StoreRefuses(f"{self.address}/{key} is denied: {_first_line(error)}") from error
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            raise StoreRefuses(f"{self.address}/{key} cannot be there: {_first_line(error)}") from error
        except (exceptions.BaseError, OSError) as error:
            raise StoreFailed(f"{self.address}/{key}: {_first_line(error)}") from error


def _tag(found: Mapping[str, Any]) -> Tag:
    """Return what an answer says of an object's version. Stores have one of the two, or both."""
    tag: Tag = {}
    if found["e_tag"] is not None:
        tag["e_tag"] = found["e_tag"]
    if found["version"] is not None:
        tag["version"] = found["version"]
    return tag


def _first_line(error: BaseException) -> str:
    """Return the beginning of a message: the library's go on with the whole request. A password in the address of an
    endpoint is left out."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    line = _PASSWORD.sub("//", line)
    hint = NO_CREDENTIALS if METADATA in line else ""
    return (line if len(line) <= 300 else f"{line[:300]}...") + hint
