"""The tester's side of asserts: names and objects of the candidate, which live in another process.

An object of the candidate equals no plain value, cannot be ordered or combined with one, and is not a number:
otherwise an object that says yes to everything would pass most asserts.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator
from typing import Any

from r1ray.sandbox.inside.codec import decode, encode
from r1ray.sandbox.inside.wire import Channel

LOOP_ENDS = (StopIteration, StopAsyncIteration)
MAX_NODES = 100_000


class CandidateGone(BaseException):
    """The candidate's process is gone. This is not an Exception, so that tests that expect one do not catch it."""


class CandidateFailed(Exception):
    """An exception of the candidate that is not a builtin one."""


class Candidate:
    """The other end of the channel to the candidate's process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.asked = False
        self.is_gone = False
        self.errors: dict[str, type[Exception]] = {}
        """The program's own exceptions that the tests name."""

    def ask(self, op: str, *arguments: Any, **fields: Any) -> Any:
        """Return the candidate's answer to a request, or raise the exception that the candidate raised."""
        # An answer that was written before its request cannot know this number.
        number = int.from_bytes(os.urandom(8), "big")
        self.asked = True
        self._channel.send({"id": number, "op": op, "args": self.encoded(list(arguments)), **fields})
        answer = self._channel.receive()
        if answer is None or answer.get("id") != number:
            self.is_gone = True
            raise CandidateGone("the candidate's process ended" if answer is None else "an answer to no question")
        if "e" in answer:
            raise self._error(*map(str, answer["e"]))
        for mine, theirs in zip(arguments, self._decoded(answer["a"]), strict=False):
            copy_back(mine, theirs)
        return self._decoded(answer["v"])

    def encoded(self, value: Any) -> Any:
        return encode(value, self._reference)

    def _decoded(self, data: Any) -> Any:
        return decode(data, lambda kind, body: Remote(self, *body) if kind == "object" else Unknown())

    def _error(self, known: str, said: str, name: str) -> Exception:
        kind = self.errors.get(name, getattr(builtins, known, None))
        # An exception that ends a loop would end the tests' own loops.
        is_plain = isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, LOOP_ENDS)
        return kind(said) if is_plain else CandidateFailed(said)  # type: ignore[misc]

    def _reference(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return {"object": number_of(value)}
        if isinstance(value, RemoteName):
            return {"name": value.path}
        if hasattr(value, "__dict__") and type(value).__module__ == "tests":
            return {"graph": self._graph(value)}
        return {"other": type(value).__name__[:100]}

    def _graph(self, root: Any) -> list[Any]:
        """Encode an object of the tests' own class with all such objects that it refers to. Linked lists may be long,
        so there is no recursion."""
        known, waiting, nodes = {id(root): 0}, [root], list[Any]()

        def other(value: Any) -> Any:
            if not (hasattr(value, "__dict__") and type(value).__module__ == "tests"):
                return self._reference(value)
            if id(value) not in known:
                known[id(value)] = len(known)
                waiting.append(value)
            return {"node": known[id(value)]}

        for value in waiting:
            if len(nodes) >= MAX_NODES:
                raise ValueError(f"more than {MAX_NODES} objects in one argument")
            nodes.append([type(value).__name__, {name: encode(item, other) for name, item in vars(value).items()}])
        return nodes


class RemoteName:
    """A function or a class of the program."""

    def __init__(self, candidate: Candidate, path: str) -> None:
        self._candidate, self.path = candidate, path
        self.__name__ = path

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._candidate.ask("call", *arguments, name=self.path, kwargs=self._candidate.encoded(keywords))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteName(self._candidate, f"{self.path}.{name}")

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, Remote) and self._candidate.ask("isinstance", value, self) is True


class Unknown:
    """A value that was not data. It equals nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


class Remote:
    """An object of the program."""

    __slots__ = ("_candidate", "_kind", "_number")

    def __init__(self, candidate: Candidate, number: int, kind: str) -> None:
        for name, value in (("_candidate", candidate), ("_number", number), ("_kind", kind)):
            object.__setattr__(self, name, value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        candidate = self._candidate
        return candidate.ask("call", *arguments, on=self._number, kwargs=candidate.encoded(keywords))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._candidate.ask("get", on=self._number, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._candidate.ask("set", value, on=self._number, name=name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and self._candidate.ask("eq", other, on=self._number) is True

    def __hash__(self) -> int:
        return hash(self._number)

    def __len__(self) -> int:
        return int(self._candidate.ask("len", on=self._number))

    def __bool__(self) -> bool:
        return self._candidate.ask("bool", on=self._number) is True

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._candidate.ask("items", on=self._number)))

    def __getitem__(self, key: Any) -> Any:
        return self._candidate.ask("getitem", key, on=self._number)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._candidate.ask("setitem", key, value, on=self._number)

    def __str__(self) -> str:
        return str(self._candidate.ask("str", on=self._number))

    def __repr__(self) -> str:
        return str(self._candidate.ask("repr", on=self._number))

    def __neg__(self) -> Any:
        return self._candidate.ask("neg", on=self._number)


def number_of(remote: Remote) -> int:
    """Return the number by which the candidate knows its object."""
    return int(object.__getattribute__(remote, "_number"))


def _among_remotes(name: str) -> Any:
    def method(self: Remote, other: object) -> Any:
        if not isinstance(other, Remote):
            return NotImplemented
        return object.__getattribute__(self, "_candidate").ask(name, other, on=number_of(self))

    return method


for _name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "or_", "and_"):
    setattr(Remote, f"__{_name.rstrip('_')}__", _among_remotes(_name))


def copy_back(mine: Any, theirs: Any) -> None:
    """Copy the candidate's changes to its arguments back to the caller's objects."""
    if isinstance(mine, list) and isinstance(theirs, list):
        mine[:] = theirs
    elif (isinstance(mine, dict) and isinstance(theirs, dict)) or (isinstance(mine, set) and isinstance(theirs, set)):
        mine.clear()
        mine.update(theirs)
