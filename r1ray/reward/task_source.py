"""Scoring of one answer by the checker of its set. This file is never imported: its text runs in the sandbox, under an
interpreter that has reasoning-gym and nothing of r1ray.

Some checkers evaluate the answer. The sandbox keeps such code from doing harm; the code here keeps it from declaring
itself right: only numbers, lists, operators and elementary functions are evaluated.
"""

import ast
import builtins
import sys
from typing import Any

from reasoning_gym.factory import DATASETS
from sympy.parsing import sympy_parser

_TRIGONOMETRIC = ("sin", "cos", "tan", "cot", "sec", "csc")
FUNCTIONS = {
    *_TRIGONOMETRIC,
    *(f"a{name}" for name in _TRIGONOMETRIC),
    *("sinh", "cosh", "tanh", "coth", "asinh", "acosh", "atanh", "acoth"),
    *("sqrt", "cbrt", "root", "exp", "log", "ln", "Abs", "abs", "factorial", "floor", "ceiling", "Mod", "Max", "Min"),
    *("erf", "erfi", "Ei", "Si", "Ci", "li", "gamma", "Integer", "Rational"),
}
VALUES = (
    *(ast.Expression, ast.Constant, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Load),
    *(ast.List, ast.Tuple, ast.Set, ast.Dict),
)
MATH = (ast.Expression, ast.Constant, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Load, ast.Name, ast.Call)


def score(name: str, options: dict[str, Any], answer: str, entry: dict[str, Any]) -> float:
    """Return the score of an answer to a task, by the checker of the named set with these options."""
    guard()
    dataset, config = DATASETS[name]
    return float(dataset(config=config(**options)).score_answer(answer, entry))


def guard() -> None:
    """Restrict every module of reasoning-gym to the evaluation of values and formulas."""
    parse = sympy_parser.parse_expr

    def guarded_eval(text: str, *_: Any) -> Any:
        check(text, VALUES)
        return builtins.eval(text.strip(), {"__builtins__": {}})

    def guarded_parse(text: str, *arguments: Any, **keywords: Any) -> Any:
        check(text, MATH)
        return parse(text, *arguments, **keywords)

    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in ("reasoning_gym", "sympy") and module is not None:
            if getattr(module, "parse_expr", None) is parse:
                vars(module)["parse_expr"] = guarded_parse
            if module_name.startswith("reasoning_gym"):
                vars(module)["eval"] = guarded_eval


def check(text: str, kinds: tuple[type[ast.AST], ...]) -> None:
    """Raise ValueError if a text has other nodes than these kinds."""
    for node in ast.walk(ast.parse(text.strip(), mode="eval")):
        if not isinstance(node, kinds):
            raise ValueError(f"an answer with {type(node).__name__}")
        if isinstance(node, ast.Call) and (not is_known(node.func) or node.keywords):
            raise ValueError("an answer with a call")
        if kinds is MATH and isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
            raise ValueError("an answer with text in a formula")


def is_known(function: ast.expr) -> bool:
    """Return whether a call is of an elementary function."""
    return isinstance(function, ast.Name) and function.id in FUNCTIONS
