"""The candidate's side of asserts: it answers the tester's requests to the program and to its objects."""

from __future__ import annotations

import builtins
import itertools
import operator
import types
from typing import Any

from r1ray.sandbox.inside import main_module
from r1ray.sandbox.inside.codec import MAX_ITEMS, decode, encode
from r1ray.sandbox.inside.wire import Channel, Job

OPERATORS = ("eq", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "or_", "and_", "getitem", "neg")


class Objects:
    """Objects that the tester has references to."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace, self._kept = namespace, list[Any]()

    def keep(self, value: Any) -> Any:
        """Return a reference in place of a value that is not data."""
        self._kept.append(value)
        return {"object": [len(self._kept) - 1, type(value).__name__[:100]]}

    def value(self, data: Any) -> Any:
        """Return the value that the tester sent, with references resolved."""
        return decode(data, self._other)

    def _other(self, kind: str, body: Any) -> Any:
        if kind == "object":
            return self._kept[body]
        if kind == "name":
            return main_module.resolve(body, self._namespace)
        if kind == "graph":
            return self._graph(body)
        raise ValueError(f"no such kind: {kind}")

    def _graph(self, nodes: list[Any]) -> Any:
        """Rebuild objects of the tests' own classes, each from its class and attributes. The first one is the value."""
        made = [self._instance(name) for name, _ in nodes]

        def other(kind: str, body: Any) -> Any:
            return made[body] if kind == "node" else self._other(kind, body)

        for instance, (_, attributes) in zip(made, nodes, strict=True):
            for name, value in attributes.items():
                object.__setattr__(instance, name, decode(value, other))
        return made[0]

    def _instance(self, name: str) -> Any:
        kind = self._namespace.get(name)
        return object.__new__(kind) if isinstance(kind, type) else types.SimpleNamespace()

    def perform(self, request: Job) -> Any:
        """Return the value of one request."""
        arguments = self.value(request.get("args", []))
        target: Any = self._kept[request["on"]] if "on" in request else None
        value: Any = None
        match request["op"]:
            case "call":
                function = main_module.resolve(request["name"], self._namespace) if target is None else target
                value = function(*arguments, **self.value(request["kwargs"]))
                return value, [item if isinstance(item, list | dict | set) else None for item in arguments]
            case "get":
                value = getattr(target, request["name"])
            case "set":
                setattr(target, request["name"], arguments[0])
            case "items":
                value = list(itertools.islice(target, MAX_ITEMS))
            case "setitem":
                operator.setitem(target, *arguments)
            case "isinstance":
                value = isinstance(arguments[0], arguments[1])
            case "len" | "str" | "repr" | "bool" as name:
                value = getattr(builtins, name)(target)
            case name if name in OPERATORS:
                value = getattr(operator, name)(target, *arguments)
            case name:
                raise ValueError(f"no such request: {name}")
        return value, []


def run_candidate(payload: Job) -> int:
    """Serve requests of the tester's process, read from descriptor 3 and answered on descriptor 4."""
    channel = Channel(3, 4)
    encode_, describe = encode, main_module.describe
    prelude, shown = main_module.PRELUDE, payload["prelude"]
    objects = Objects(main_module.make(payload["source"], name="solution", prelude=prelude, shown=shown))
    while (request := channel.receive()) is not None:
        try:
            value, arguments = objects.perform(request)
            answer = {"id": request["id"], "v": encode_(value, objects.keep), "a": encode_(arguments)}
        except Exception as error:
            answer = {"id": request["id"], "e": [*describe(error), type(error).__name__[:100]]}
        channel.send(answer)
    return 0
