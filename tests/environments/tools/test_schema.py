from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from pydantic import Field

from r1ray.environments.tools.json_schema import JsonSchema
from r1ray.environments.tools.schema import schema_of
from r1ray.errors import UserError

if TYPE_CHECKING:
    from decimal import Decimal


@dataclasses.dataclass
class Place:
    city: str
    country: str = "FR"


@dataclasses.dataclass
class Chain:
    next: Optional[Chain] = None  # noqa: UP045


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Opaque: ...


def weather(
    place: Place,
    days: int = 1,
    unit: Literal["celsius", "kelvin"] = "celsius",
    hours: list[int] | None = None,
    limits: Optional[dict[str, float]] = None,  # noqa: UP045
    exact: bool = False,
) -> str:
    """Return the forecast for a place.

    It is made anew every hour.

    Args:
        place: where,
            as a city.
        days (int): how many: at most 7.

    Returns:
        The forecast.
    """
    return f"{place.city} {days} {unit} {hours} {limits} {exact}"


def test_signature_and_docstring_become_what_chat_templates_take() -> None:
    assert schema_of(weather) == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Return the forecast for a place.\n\nIt is made anew every hour.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {
                        "type": "object",
                        "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "FR"}},
                        "required": ["city"],
                        "description": "where, as a city.",
                    },
                    "days": {"type": "integer", "description": "how many: at most 7.", "default": 1},
                    "unit": {"type": "string", "enum": ["celsius", "kelvin"], "default": "celsius"},
                    "hours": {
                        "anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}],
                        "default": None,
                    },
                    "limits": {
                        "anyOf": [
                            {"type": "object", "additionalProperties": {"type": "number"}},
                            {"type": "null"},
                        ],
                        "default": None,
                    },
                    "exact": {"type": "boolean", "default": False},
                },
                "required": ["place"],
            },
        },
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (int | None, {"type": ["integer", "null"]}),
        (Unit, {"type": "string", "enum": ["celsius", "kelvin"]}),
        (Any, {}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (Annotated[int, Field(ge=1, description="count")], {"type": "integer", "minimum": 1, "description": "count"}),
        (list[Place], None),
    ],
)
def test_types_become_schemas_in_one_piece(kind: Any, expected: dict[str, Any] | None) -> None:
    def tool(value: Any) -> None:
        """Do something."""

    tool.__annotations__["value"] = kind
    schema = schema_of(tool)["function"]["parameters"]
    JsonSchema(schema)
    assert "$" not in json.dumps(schema) and "title" not in json.dumps(schema)
    assert expected is None or schema["properties"]["value"] == expected


def _no_docstring(a: int) -> None: ...


def _opaque(a: int, b: Opaque) -> None:
    """Do something."""


def _callable(f: Callable[[int], int]) -> None:
    """Do something."""


def _holds_itself(chain: Chain) -> None:
    """Do something."""


def _untyped(a, b: int) -> None:  # type: ignore[no-untyped-def]
    """Do something."""


def _many(*numbers: int) -> None:
    """Do something."""


def _named(**numbers: int) -> None:
    """Do something."""


def _by_place(a: int, /) -> None:
    """Do something."""


def _not_imported(a: Decimal) -> None:
    """Do something."""


def _odd_default(a: Any = float("nan")) -> None:
    """Do something."""


def _default_object(a: Any = Opaque()) -> None:  # noqa: B008
    """Do something."""


def _misspelt(count: int) -> None:
    """Do something.

    Args:
        cuont: how many.
    """


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (_no_docstring, "_no_docstring: has no docstring"),
        (_opaque, "_opaque, parameter b"),
        (_callable, "_callable, parameter f"),
        (_holds_itself, "_holds_itself, parameter chain"),
        (_untyped, "_untyped, parameter a"),
        (_many, "_many, parameter numbers"),
        (_named, "_named, parameter numbers"),
        (_by_place, "_by_place, parameter a"),
        (_not_imported, "_not_imported, parameter a"),
        (_odd_default, "_odd_default, parameter a"),
        (_default_object, "_default_object, parameter a"),
        (_misspelt, "_misspelt: its docstring describes the parameter cuont"),
        (lambda a: a, "<lambda>"),
    ],
)
def test_what_cannot_be_made_is_told_by_function_and_parameter(function: Callable[..., Any], named: str) -> None:
    with pytest.raises(UserError) as raised:
        schema_of(function)
    assert str(raised.value).startswith(f"tool {named}")


def test_partials_and_methods_are_functions_too() -> None:
    class Shop:
        def price(self, item: str) -> float:
            """Return a price."""
            return 1.0

    assert schema_of(Shop().price)["function"]["parameters"]["required"] == ["item"]
    cheap = functools.partial(weather, Place("Paris"))
    assert schema_of(cheap)["function"]["name"] == "weather"
    functools.update_wrapper(cheap, weather)
    assert schema_of(weather, name="forecast")["function"]["name"] == "forecast"
