r"""Parser of answers in LaTeX: numbers, letters, operators, functions. No code is ever run.

Text of :func:`r1ray.reward.math.normalise.clean` goes in, a tree of :class:`Node` comes out, or :class:`Unreadable`.
Structure above the level of one expression (lists, intervals, equations, matrices) is ``structure``'s.
"""

# ruff: noqa: SIM905 (tables of signs and words, written as they are read)

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_CHARS = 1200
MAX_DEPTH = 40
MAX_DIGITS = 1000
MAX_POWER_OF_TEN = 5000


class Unreadable(Exception):
    """The text is no expression that this parser knows. It may be right nevertheless."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: ``kind`` names it (``num``, ``var``, ``add``, ``sin``, ...)."""

    kind: str
    children: tuple[Node, ...] = ()
    number: Fraction | None = None
    name: str = ""


_DIGITS = frozenset("0123456789")
_SPACE = re.compile(r"(?:\s|\{\s*\})+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?")
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]{1,6})(?![0-9.])")
_REPEATING = re.compile(r"(?:\\overline|\\bar|\\dot)\s*\{?\s*([0-9]+)\s*\}?")
_COMMAND = re.compile(r"\\([A-Za-z]+|.)")
_MIXED = re.compile(r"\s*\\frac\s*(?:\{\s*([0-9]+)\s*\}|([0-9]))\s*(?:\{\s*([0-9]+)\s*\}|([0-9]))")
_MIXED_PLAIN = re.compile(r" +([0-9]+) ?/ ?([0-9]+)(?![0-9.])")
_SUBSCRIPT = re.compile(r"_\s*(?:\{([^{}]*)\}|([A-Za-z0-9]))")
_WORD = re.compile(r"[A-Za-z]+")
_GROUP = re.compile(r"\{([^{}]*)\}")
_PRIMES = re.compile(r"'+")
_COMBINATION = re.compile(
    r"([CPA])(?:_\{?\s*([0-9]{1,4})\s*\}?\s*\^\{?\s*([0-9]{1,4})\s*\}?"
    r"|\(\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*\))"
)
_BOUND = re.compile(r"\s*_\s*\{\s*([A-Za-z])\s*=")

FUNCTIONS = frozenset(
    "cis sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot arcsec arccsc ln exp Re Im "
    "arg sgn".split()
)
_PLAIN = {name: name for name in FUNCTIONS - {"Re", "Im", "arg", "sgn"}} | {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "log": "log", "lg": "lg", "sqrt": "sqrt", "pi": "pi",
    "infinity": "infty", "inf": "infty", "Infinity": "infty", "oo": "infty", "abs": "abs", "cbrt": "cbrt",
}  # fmt: skip
_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega Pi ell hbar parameter constant".split()
)
_ACCENTS = frozenset("vec hat bar overline tilde widehat widetilde underline dot".split())
_STOPS = frozenset(
    r"\cup \cap \in \le \ge \ne \approx \land \lor \setminus \mid \equiv \pmod \bmod \mod \to \times \cdot \div".split()
)


def number(value: Fraction | int) -> Node:
    """Return a number as a node."""
    return Node("num", number=Fraction(value))


class _Parser:
    """Recursive-descent parser. The position only moves forward, and the depth is bounded."""

    def __init__(self, text: str, *, grouped: bool) -> None:
        self.text, self.position, self.depth, self.grouped = text, 0, 0, grouped
        self.bars = 0
        self.bound: frozenset[str] = frozenset()

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.position)
        if match:
            self.position = match.end()

    def peek(self) -> str:
        """Return the next sign or the next whole command; "" at the end."""
        self.skip()
        if self.position >= len(self.text):
            return ""
        if self.text[self.position] == "\\":
            match = _COMMAND.match(self.text, self.position)
            return match.group() if match else "\\"
        return self.text[self.position]

    def take(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.position += len(token)
        return True

    def need(self, token: str) -> None:
        if not self.take(token):
            raise Unreadable(f"needs {token} at {self.position}")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.position)
        if found:
            self.position = found.end()
        return found

    def nested(self, close: str) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        bars, self.bars = self.bars, 0
        grouped, self.grouped = self.grouped, self.grouped and close == "}"
        node = self.sum()
        self.need(close)
        self.bars, self.grouped = bars, grouped
        self.depth -= 1
        return node

    # -- operators, from weak to strong

    def sum(self) -> Node:
        if self.peek() in ("+", "-", r"\pm", r"\mp"):
            sign = self.peek()
            self.position += len(sign)
            node = self.signed(sign, self.product())
        else:
            node = self.product()
        while (sign := self.peek()) in ("+", "-", r"\pm", r"\mp"):
            self.position += len(sign)
            node = Node("add", (node, self.signed(sign, self.product())))
        return node

    def signed(self, sign: str, node: Node) -> Node:
        if sign == "+":
            return node
        kind = {"-": "neg", r"\pm": "pm", r"\mp": "mp"}[sign]
        return Node(kind, (node,))

    def product(self) -> Node:
        node = self.factor()
        while True:
            token = self.peek()
            if token in ("*", r"\times", r"\cdot"):
                self.position += len(token)
                node = Node("mul", (node, self.signed_factor()))
            elif token in ("/", r"\div"):
                self.position += len(token)
                node = Node("div", (node, self.signed_factor()))
            elif (token in _DIGITS or token == ".") and self.text[: self.position].rstrip()[-1:] in _DIGITS:
                raise Unreadable("two numbers without an operator")
            elif token and self.starts_factor(token):
                node = Node("mul", (node, self.factor()))
            else:
                return node

    def starts_factor(self, token: str) -> bool:
        if token == "|":
            return self.bars == 0
        if token.startswith("\\"):
            return token not in _STOPS and token not in (
                r"\\",
                r"\}",
                r"\rangle",
                r"\rfloor",
                r"\rceil",
                r"\pm",
                r"\mp",
            )
        return token.isascii() and (token.isalnum() or token in "([{.")

    def signed_factor(self) -> Node:
        token = self.peek()
        if token in ("+", "-"):
            self.position += 1
            return self.signed(token, self.factor())
        return self.factor()

    def factor(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        node = self.postfix(self.atom())
        self.depth -= 1
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            token = self.peek()
            if token == "!":
                size = 2 if self.text.startswith("!!", self.position) else 1
                self.position += size
                node = Node("fact" if size == 1 else "double_fact", (node,))
            elif token == "%":
                self.position += 1
                node = Node("mul", (node, number(Fraction(1, 100))))
            elif token == "^" or self.text.startswith("**", self.position):
                self.position += 1 if token == "^" else 2
                if self.peek() == r"\circ":
                    self.position += 5
                    node = Node("deg", (node,))
                else:
                    node = Node("pow", (node, self.exponent()))
            else:
                return node

    def exponent(self) -> Node:
        token = self.peek()
        if token in ("+", "-"):
            self.position += 1
            return self.signed(token, self.exponent())
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        node = self.atom()
        if self.peek() == "^" or self.text.startswith("**", self.position):  # 2^3^4 is 2^(3^4)
            self.position += 1 if self.peek() == "^" else 2
            node = Node("pow", (node, self.exponent()))
        self.depth -= 1
        return node

    # -- atoms

    def atom(self) -> Node:
        token = self.peek()
        if not token:
            raise Unreadable("ends too early")
        if token in "0123456789.":
            return self.number()
        if token in "([{":
            self.position += 1
            return self.nested({"(": ")", "[": "]", "{": "}"}[token])
        if token == "|":
            self.position += 1
            self.bars += 1
            node = self.sum()
            self.need("|")
            self.bars -= 1
            return Node("abs", (node,))
        if token.startswith("\\"):
            self.position += len(token)
            return self.command(token[1:])
        if token.isascii() and token.isalpha():
            return self.letters()
        raise Unreadable(f"unknown sign {token!r}")

    def number(self) -> Node:
        found = (self.match(_GROUPED) if self.grouped else None) or self.match(_NUMBER)
        if not found or len(found.group()) > MAX_DIGITS or found.group() == ".":
            raise Unreadable("no number")
        if self.text[self.position : self.position + 1] == "." or (
            "." in found.group() and _NUMBER.match(self.text, self.position)
        ):
            raise Unreadable("two points in a number")
        digits = found.group().replace(",", "")
        value = Fraction(digits if not digits.endswith(".") else digits[:-1])
        if "." in digits and (repeat := self.match(_REPEATING)):
            places, cycle = len(digits.partition(".")[2]), repeat.group(1)
            if len(cycle) > 50:
                raise Unreadable("long cycle")
            return number(value + Fraction(int(cycle), 10**places * (10 ** len(cycle) - 1)))
        if power := self.match(_EXPONENT):
            if abs(int(power.group(1))) > MAX_POWER_OF_TEN:
                raise Unreadable("huge power of ten")
            return number(value * Fraction(10) ** int(power.group(1)))
        if value.denominator == 1 and "." not in digits:
            return self.mixed(value)
        return number(value)

    def mixed(self, whole: Fraction) -> Node:
        r"""Parse a mixed number: ``3\frac{1}{2}`` and ``3 1/2`` are 7/2. It is a whole number directly before a proper
        fraction of numbers."""
        here = self.position
        found = self.match(_MIXED) or self.match(_MIXED_PLAIN)
        if found:
            top, bottom = (int(part) for part in found.groups() if part is not None)
            if 0 < top < bottom:
                return number(whole + Fraction(top, bottom))
            self.position = here
        return number(whole)

    def letters(self) -> Node:
        found = _WORD.match(self.text, self.position)
        word = found.group() if found else ""
        plain = next((word[:size] for size in range(len(word), 1, -1) if word[:size] in _PLAIN), "")
        if plain and (plain == word or plain in ("pi", "sqrt") or plain in FUNCTIONS):
            self.position += len(plain)
            return self.command(_PLAIN[plain])
        if combination := self.combination():
            return combination
        letter = self.text[self.position]
        self.position += 1
        return self.variable(letter)

    def combination(self) -> Node | None:
        """Parse a count of choices: ``C_{10}^{3}`` and ``C(10,3)`` without order, ``A`` and ``P`` with order."""
        found = _COMBINATION.match(self.text, self.position)
        numbers = [int(part) for part in found.groups()[1:] if part] if found else []
        if found is None or numbers[0] < numbers[1]:
            return None
        self.position = found.end()
        top, bottom = map(number, numbers)
        chosen = Node("binom", (top, bottom))
        return chosen if found.group(1) == "C" else Node("mul", (chosen, Node("fact", (bottom,))))

    def series(self, name: str) -> Node:
        r"""Parse a sum, ``\sum_{k=1}^{n} k``: first and last index, and the product behind it. The index is bound."""
        found = self.match(_BOUND)
        if not found:
            raise Unreadable("a sum without an index")
        first = self.nested("}")
        self.need("^")
        last = self.digit_or_atom()
        outside, self.bound = self.bound, self.bound | {found.group(1)}
        body = self.product()
        self.bound = outside
        return Node(name, (first, last, body), name=found.group(1))

    def variable(self, name: str) -> Node:
        if name in self.bound:
            return Node("var", name=name)
        if not (self.text.startswith("_", self.position) or self.text.startswith("'", self.position)):
            if name in ("e", "i"):
                return Node(name)
            return Node("var", name=name)
        subscript = self.match(_SUBSCRIPT)
        if self.text.startswith("_", self.position):
            raise Unreadable("subscript")
        if subscript:
            name += "_" + (subscript.group(1) or subscript.group(2) or "").replace(" ", "")
        if primes := self.match(_PRIMES):
            name += primes.group()
        return Node("var", name=name)

    def digit_or_atom(self) -> Node:
        r"""Parse an argument of ``\frac``, which is one digit if it has no braces, as in ``\frac12``."""
        token = self.peek()
        if token and token in "0123456789":
            self.position += 1
            return number(int(token))
        if token == "-":
            self.position += 1
            return Node("neg", (self.digit_or_atom(),))
        return self.atom()

    def command(self, name: str) -> Node:
        if name == "frac":
            top = self.digit_or_atom()
            return Node("div", (top, self.digit_or_atom()))
        if name in ("sum", "prod"):
            return self.series(name)
        if name == "sqrt":
            return self.root()
        if name == "cbrt":
            return Node("root", (self.atom(), number(3)))
        if name in ("pi", "infty"):
            return Node(name)
        if name == "abs":
            return Node("abs", (self.atom(),))
        if name in ("log", "lg"):
            return self.logarithm(name)
        if name in FUNCTIONS:
            return self.function(name)
        if name == "binom":
            top = self.digit_or_atom()
            return Node("binom", (top, self.digit_or_atom()))
        if name in _GREEK:
            return self.variable(name)
        if name in ("lfloor", "lceil"):
            return Node("floor" if name == "lfloor" else "ceil", (self.nested(f"\\r{name[1:]}"),))
        if name in _ACCENTS:
            found = self.match(_GROUP) or self.match(_WORD)
            if not found:
                raise Unreadable("accent")
            return self.variable(f"{name}({found.group().strip('{} ')})")
        if name == "text":
            return self.named()
        raise Unreadable(f"unknown command {name}")

    def root(self) -> Node:
        degree: Node = number(2)
        if self.take("["):
            degree = self.nested("]")
        return Node("root", (self.atom(), degree))

    def function(self, name: str) -> Node:
        power: Node | None = None
        if self.take("^"):
            power = self.exponent()
        node = Node(name, (self.argument(),))
        if power is None:
            return node
        if power.kind == "neg" and power.children[0].number == 1:  # \sin^{-1} x is the inverse function
            return Node("arc" + name, node.children)
        return Node("pow", (node, power))

    def argument(self) -> Node:
        """Parse the argument of a function. ``sin 2x`` is sin(2x), and ``sin x cos x`` a product. In ``sin(x)^2`` the
        argument is only the bracket, and the power applies to the function."""
        token = self.peek()
        if token and token in "([{":
            return self.atom()
        node = self.signed_factor()
        while (token := self.peek()) and (token.isalnum() or token in (r"\pi", r"\frac") or token[1:] in _GREEK):
            if _WORD.match(self.text, self.position) and any(
                self.text.startswith(plain, self.position) for plain in _PLAIN if len(plain) > 1
            ):
                break
            node = Node("mul", (node, self.factor()))
        return node

    def logarithm(self, name: str) -> Node:
        base: Node | None = number(10) if name == "lg" else None
        power: Node | None = None
        for _ in range(2):
            if self.take("_"):
                base = self.digit_or_atom()
            elif self.take("^"):
                power = self.exponent()
        argument = self.argument()
        node = Node("log", (argument,)) if base is None else Node("div", (Node("ln", (argument,)), Node("ln", (base,))))
        return node if power is None else Node("pow", (node, power))

    def named(self) -> Node:
        r"""Parse ``\text{...}`` inside an expression: a number, one letter, a function, or a name."""
        found = self.match(_GROUP)
        content = found.group(1).strip() if found else ""
        if not content:
            raise Unreadable("text")
        if _NUMBER.fullmatch(content) and len(content) < 20:
            return number(Fraction(content.rstrip(".")))
        if content in _PLAIN or content in FUNCTIONS:
            return self.command(_PLAIN.get(content, content))
        if not re.fullmatch(r"[A-Za-z]{1,20}", content):
            raise Unreadable("text")
        return self.variable(content if len(content) == 1 else f"text({content})")


def parse(text: str, *, grouped: bool = True) -> Node:
    r"""Return the tree of an expression. Raises Unreadable.

    Args:
        grouped: ``1,234`` at the outermost level is one number.
    """
    if len(text) > MAX_CHARS:
        raise Unreadable("too long")
    parser = _Parser(text, grouped=grouped)
    node = parser.sum()
    if parser.peek():
        raise Unreadable(f"left over at {parser.position}")
    return node
