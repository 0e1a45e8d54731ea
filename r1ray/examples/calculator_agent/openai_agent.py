"""An agent written for OpenAI's client: it knows nothing of r1ray, and can be trained nevertheless.

    r1ray run experiment=openai_agent

It takes the question as its argument, and the rest from the client's own variables: OPENAI_BASE_URL, OPENAI_API_KEY.
"""

import ast
import json
import operator
import os
import sys
from typing import Any

from openai import OpenAI

MAX_CALLS = 4
CALCULATOR: Any = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Compute an expression.",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}
SIGNS: dict[type[ast.operator], Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def value(node: ast.expr) -> int:
    """Compute a formula of whole numbers."""
    match node:
        case ast.Constant(value=int() as number):
            return number
        case ast.BinOp(left, sign, right) if type(sign) in SIGNS:
            return int(SIGNS[type(sign)](value(left), value(right)))
    raise ValueError("only whole numbers and + - * can be computed")


def compute(arguments: str) -> str:
    """Answer a call of the tool."""
    try:
        return str(value(ast.parse(json.loads(arguments)["expression"], mode="eval").body))
    except (KeyError, RecursionError, SyntaxError, TypeError, ValueError) as error:
        return f"Error: {error}"


def main(question: str) -> None:
    """Ask, serve the calls of the tool, and print the answer."""
    client: Any = OpenAI()
    asked: dict[str, Any] = {"model": os.environ["OPENAI_MODEL"], "tools": [CALCULATOR]}
    messages: list[Any] = [{"role": "user", "content": question}]
    for _ in range(MAX_CALLS):
        choice = client.chat.completions.create(messages=messages, **asked).choices[0]
        messages.append(choice.message.model_dump(exclude_none=True))
        if not choice.message.tool_calls:
            print(choice.message.content)
            return
        for call in choice.message.tool_calls:
            result = compute(call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    main(sys.argv[1])
