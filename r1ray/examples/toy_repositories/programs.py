"""Programs: each is a package of one or two modules, its tests, and bugs that can be planted and that some tests find.

``PACKAGE`` stands for the name of the package in all texts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """One fault in a program."""

    kind: str
    module: str
    right: str
    """Text that occurs in the module exactly once."""
    wrong: str
    issue: str
    seen_by: tuple[str, ...]
    """All tests that fail because of it."""


@dataclass(frozen=True, slots=True)
class Program:
    """One package without bugs."""

    name: str
    about: str
    modules: dict[str, str]
    imports: str
    """Imports of its tests."""
    tests: dict[str, str]
    """Bodies of test methods, one statement in each line."""
    bugs: tuple[Bug, ...]


INTERVALS = Program(
    name="intervals",
    about="Sets of numbers as lists of half-open intervals.",
    modules={
        "intervals": '''\
"""Half-open intervals: (start, end) holds start, and not end."""


def merge(intervals):
    """Return sorted intervals; those that overlap or touch are one."""
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def contains(intervals, number):
    """Return whether a number is in one of the intervals."""
    return any(start <= number < end for start, end in intervals)


def total(intervals):
    """Return how many whole numbers are covered, each counted once."""
    return sum(end - start for start, end in merge(intervals))
'''
    },
    imports="from PACKAGE.intervals import contains, merge, total",
    tests={
        "merge_overlapping": "self.assertEqual(merge([(5, 9), (1, 6)]), [(1, 9)])",
        "merge_touching": "self.assertEqual(merge([(1, 3), (3, 5)]), [(1, 5)])",
        "merge_inside": "self.assertEqual(merge([(1, 10), (2, 3)]), [(1, 10)])",
        "merge_apart": "self.assertEqual(merge([(7, 8), (1, 2)]), [(1, 2), (7, 8)])",
        "contains_start": "self.assertTrue(contains([(2, 5)], 2))",
        "contains_no_end": "self.assertFalse(contains([(2, 5)], 5))",
        "total_apart": "self.assertEqual(total([(0, 2), (4, 7)]), 5)",
        "total_counts_once": "self.assertEqual(total([(0, 4), (2, 6)]), 6)",
    },
    bugs=(
        Bug(
            "boundary", "intervals", "start <= merged[-1][1]", "start < merged[-1][1]",
            "merge([(1, 3), (3, 5)]) gives two intervals. Intervals that touch should become one.",
            ("merge_touching",),
        ),
        Bug(
            "forgotten case", "intervals", "max(merged[-1][1], end)", "end",
            "If one interval lies inside of another one, merge() makes the outer one shorter.",
            ("merge_inside",),
        ),
        Bug(
            "forgotten call", "intervals", "in merge(intervals))", "in intervals)",
            "total() counts numbers twice that are in two intervals.",
            ("total_counts_once",),
        ),
    ),
)  # fmt: skip

STOCK = Program(
    name="stock",
    about="A warehouse's stock, and orders of it.",
    modules={
        "stock": '''\
"""What a warehouse has."""


class OutOfStock(Exception):
    """There is not enough of an article."""


class Stock:
    """Numbers of articles by name."""

    def __init__(self, counts=None):
        self._counts = dict(counts or {})

    def count(self, name):
        return self._counts.get(name, 0)

    def add(self, name, number=1):
        if number <= 0:
            raise ValueError("a number above 0 is needed")
        self._counts[name] = self.count(name) + number

    def take(self, name, number=1):
        """Take some of an article. Raises OutOfStock, and then takes nothing."""
        if number > self.count(name):
            raise OutOfStock(name)
        self._counts[name] -= number
''',
        "orders": '''\
"""Orders: all or nothing."""

from PACKAGE.stock import OutOfStock


def can_fill(stock, order):
    """Return whether a stock has enough for an order, a dict of numbers by article."""
    return all(stock.count(name) >= number for name, number in order.items())


def fill(stock, order):
    """Take an order out of a stock. Raises OutOfStock, and then takes nothing."""
    if not can_fill(stock, order):
        raise OutOfStock(", ".join(sorted(order)))
    for name, number in order.items():
        stock.take(name, number)
''',
    },
    imports="from PACKAGE.orders import can_fill, fill\nfrom PACKAGE.stock import OutOfStock, Stock",
    tests={
        "add_and_count": "stock = Stock()\nstock.add('nut', 3)\nstock.add('nut')\n"
        "self.assertEqual(stock.count('nut'), 4)",
        "add_needs_a_number": "with self.assertRaises(ValueError):\n    Stock().add('nut', 0)",
        "unknown_is_zero": "self.assertEqual(Stock().count('bolt'), 0)",
        "take_the_last": "stock = Stock({'nut': 2})\nstock.take('nut', 2)\nself.assertEqual(stock.count('nut'), 0)",
        "take_too_many": "stock = Stock({'nut': 2})\nwith self.assertRaises(OutOfStock):\n    stock.take('nut', 3)\n"
        "self.assertEqual(stock.count('nut'), 2)",
        "stocks_are_apart": "given = {'nut': 1}\nStock(given).add('nut')\nself.assertEqual(given, {'nut': 1})",
        "fill_an_order": "stock = Stock({'nut': 2, 'bolt': 1})\nfill(stock, {'nut': 1, 'bolt': 1})\n"
        "self.assertEqual((stock.count('nut'), stock.count('bolt')), (1, 0))",
        "fill_all_or_nothing": "stock = Stock({'nut': 2})\nwith self.assertRaises(OutOfStock):\n"
        "    fill(stock, {'nut': 1, 'bolt': 1})\nself.assertEqual(stock.count('nut'), 2)",
        "can_fill_exactly": "self.assertTrue(can_fill(Stock({'nut': 2}), {'nut': 2}))",
    },
    bugs=(
        Bug(
            "shared state", "stock", "dict(counts or {})", "counts if counts is not None else {}",
            "Stock(counts) changes the dict that I give to it.",
            ("stocks_are_apart",),
        ),
        Bug(
            "boundary", "stock", "if number > self.count(name):", "if number >= self.count(name):",
            "The last pieces of an article cannot be taken: OutOfStock is raised although there are enough.",
            ("take_the_last", "fill_an_order"),
        ),
        Bug(
            "wrong word", "orders", "return all(", "return any(",
            "fill() takes a part of an order that cannot be filled, and raises OutOfStock only then.",
            ("fill_all_or_nothing",),
        ),
    ),
)  # fmt: skip

WORDS = Program(
    name="words",
    about="Counting and shortening of texts.",
    modules={
        "words": '''\
"""Words of a text."""

import re


def words(text):
    """Return the words of a text, in lower case."""
    return re.findall(r"[a-z']+", text.lower())


def most_common(text, number):
    """Return the most frequent words; of equally frequent ones the first in the alphabet."""
    counts = {}
    for word in words(text):
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))[:number]


def shorten(text, width):
    """Return a text of at most width characters; a longer one ends with three dots."""
    if len(text) <= width:
        return text
    return text[: width - 3].rstrip() + "..."


def title(text):
    """Return a text whose words begin with a capital, but for small ones inside of it."""
    small = {"a", "an", "and", "of", "the"}
    parts = text.lower().split()
    return " ".join(
        part if number and part in small else part.capitalize() for number, part in enumerate(parts)
    )
'''
    },
    imports="from PACKAGE.words import most_common, shorten, title, words",
    tests={
        "words_in_lower_case": "self.assertEqual(words('The cat, the CAT!'), ['the', 'cat', 'the', 'cat'])",
        "words_with_apostrophe": "self.assertEqual(words(\"don't\"), [\"don't\"])",
        "most_common_first": "self.assertEqual(most_common('b a b c b a', 2), ['b', 'a'])",
        "most_common_of_equals": "self.assertEqual(most_common('c b a', 2), ['a', 'b'])",
        "shorten_a_long_text": "self.assertEqual(shorten('abcdefghij', 8), 'abcde...')",
        "shorten_keeps_what_fits": "self.assertEqual(shorten('abcdefgh', 8), 'abcdefgh')",
        "title_of_small_words": "self.assertEqual(title('lord of the rings'), 'Lord of the Rings')",
        "title_begins_with_a_capital": "self.assertEqual(title('the end'), 'The End')",
    },
    bugs=(
        Bug(
            "order", "words", "(-counts[word], word)", "-counts[word]",
            "most_common('c b a', 2) gives ['c', 'b']. Of words that are equally frequent the alphabet should decide.",
            ("most_common_of_equals",),
        ),
        Bug(
            "off by one", "words", "text[: width - 3]", "text[:width]",
            "shorten() gives texts that are longer than the width that is asked for.",
            ("shorten_a_long_text",),
        ),
        Bug(
            "forgotten case", "words", "part if number and part in small", "part if part in small",
            "title('the end') gives 'the End'. The first word needs a capital, too.",
            ("title_begins_with_a_capital",),
        ),
    ),
)  # fmt: skip

SETTINGS = Program(
    name="settings",
    about="A reader of settings, one a line.",
    modules={
        "reader": '''\
"""Settings as text: name = value, one a line; # begins a comment."""


class BadLine(ValueError):
    """A line that is no setting."""


def parse(text):
    """Return the settings of a text. Raises BadLine with the number of the line, from 1 on."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, sign, value = line.partition("=")
        if not sign or not name.strip():
            raise BadLine(f"line {number}")
        found[name.strip()] = value.strip()
    return found
''',
        "types": '''\
"""Values of settings."""

TRUE, FALSE = ("yes", "true", "on"), ("no", "false", "off")


def value_of(text):
    """Return a text as a bool, an int or a float where it is one."""
    if text.lower() in TRUE + FALSE:
        return text.lower() in TRUE
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
''',
    },
    imports="from PACKAGE.reader import BadLine, parse\nfrom PACKAGE.types import value_of",
    tests={
        "parse_lines": "self.assertEqual(parse('a = 1\\nb=2'), {'a': '1', 'b': '2'})",
        "parse_comments": "self.assertEqual(parse('# x\\n\\na = 1 # one'), {'a': '1'})",
        "parse_sign_in_value": "self.assertEqual(parse('a = b=c'), {'a': 'b=c'})",
        "bad_line_has_its_number": "with self.assertRaises(BadLine) as caught:\n    parse('a = 1\\n\\nb')\n"
        "self.assertEqual(str(caught.exception), 'line 3')",
        "bad_line_without_a_name": "with self.assertRaises(BadLine):\n    parse('= 1')",
        "numbers": "self.assertEqual([value_of('12'), value_of('1.5')], [12, 1.5])",
        "ints_are_ints": "self.assertIsInstance(value_of('12'), int)",
        "bools": "self.assertEqual([value_of('yes'), value_of('Off')], [True, False])",
        "texts": "self.assertEqual(value_of('hello'), 'hello')",
    },
    bugs=(
        Bug(
            "wrong function", "reader", 'line.partition("=")', 'line.rpartition("=")',
            "A value with = in it is cut: a = b=c should set a to 'b=c'.",
            ("parse_sign_in_value",),
        ),
        Bug(
            "off by one", "reader", "enumerate(text.splitlines(), start=1)", "enumerate(text.splitlines())",
            "The numbers of lines in error messages are too small by one.",
            ("bad_line_has_its_number",),
        ),
        Bug(
            "order", "types", "(int, float)", "(float, int)",
            "value_of('12') is 12.0. Whole numbers should be ints.",
            ("ints_are_ints",),
        ),
    ),
)  # fmt: skip

MATRIX = Program(
    name="matrix",
    about="Matrices as lists of rows.",
    modules={
        "matrix": '''\
"""Matrices as lists of rows."""


def zeros(height, width):
    """Return a matrix of zeros."""
    return [[0] * width for _ in range(height)]


def transpose(matrix):
    """Return a matrix whose rows are the columns."""
    return [list(column) for column in zip(*matrix)]


def multiply(left, right):
    """Return the product. Raises ValueError where the sizes do not fit."""
    if len(left[0]) != len(right):
        raise ValueError("sizes do not fit")
    product = zeros(len(left), len(right[0]))
    for i, row in enumerate(left):
        for j, column in enumerate(transpose(right)):
            product[i][j] = sum(a * b for a, b in zip(row, column))
    return product


def trace(matrix):
    """Return the sum of the diagonal. Raises ValueError for a matrix that is not square."""
    if len(matrix) != len(matrix[0]):
        raise ValueError("the matrix is not square")
    return sum(matrix[i][i] for i in range(len(matrix)))
'''
    },
    imports="from PACKAGE.matrix import multiply, trace, transpose, zeros",
    tests={
        "zeros": "self.assertEqual(zeros(2, 3), [[0, 0, 0], [0, 0, 0]])",
        "rows_of_zeros_are_apart": "made = zeros(2, 2)\nmade[0][0] = 1\nself.assertEqual(made, [[1, 0], [0, 0]])",
        "transpose": "self.assertEqual(transpose([[1, 2, 3], [4, 5, 6]]), [[1, 4], [2, 5], [3, 6]])",
        "multiply_one_row": "self.assertEqual(multiply([[1, 2]], [[3], [4]]), [[11]])",
        "multiply": "self.assertEqual(multiply([[1, 2], [3, 4]], [[0, 1], [1, 0]]), [[2, 1], [4, 3]])",
        "multiply_wide": "self.assertEqual(multiply([[1], [2]], [[3, 4, 5]]), [[3, 4, 5], [6, 8, 10]])",
        "multiply_needs_sizes": "with self.assertRaises(ValueError):\n    multiply([[1, 2]], [[1, 2]])",
        "trace": "self.assertEqual(trace([[1, 2], [3, 4]]), 5)",
        "trace_of_a_square": "with self.assertRaises(ValueError):\n    trace([[1, 2, 3], [4, 5, 6]])",
    },
    bugs=(
        Bug(
            "shared state", "matrix", "[[0] * width for _ in range(height)]", "[[0] * width] * height",
            "If I set one element of zeros(2, 2), it changes in every row.",
            ("rows_of_zeros_are_apart", "multiply", "multiply_wide"),
        ),
        Bug(
            "wrong name", "matrix", "zeros(len(left), len(right[0]))", "zeros(len(left), len(right))",
            "multiply() fails with an IndexError where the right matrix has more columns than rows.",
            ("multiply_wide", "multiply_one_row"),
        ),
        Bug(
            "forgotten case", "matrix",
            "    if len(matrix) != len(matrix[0]):\n        raise ValueError(\"the matrix is not square\")\n", "",
            "trace() gives a number for matrices that are not square. It should raise ValueError.",
            ("trace_of_a_square",),
        ),
    ),
)  # fmt: skip

GRAPH = Program(
    name="graph",
    about="Walks through directed graphs.",
    modules={
        "graph": '''\
"""Directed graphs as dicts: the nodes that follow each node."""

from collections import deque


def reachable(graph, start):
    """Return all nodes that can be reached, the start among them."""
    seen, waiting = {start}, [start]
    while waiting:
        for node in graph.get(waiting.pop(), ()):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return seen


def distance(graph, start, end):
    """Return the number of edges of a shortest path; None where there is no path."""
    found, waiting = {start: 0}, deque([start])
    while waiting:
        node = waiting.popleft()
        if node == end:
            return found[node]
        for following in graph.get(node, ()):
            if following not in found:
                found[following] = found[node] + 1
                waiting.append(following)
    return None


def reversed_graph(graph):
    """Return the graph with all edges turned; every node is in it."""
    turned = {node: [] for node in graph}
    for node, following in graph.items():
        for each in following:
            turned.setdefault(each, []).append(node)
    return turned
'''
    },
    imports="from PACKAGE.graph import distance, reachable, reversed_graph",
    tests={
        "reachable": "self.assertEqual(reachable({'a': ['b'], 'b': ['c'], 'd': []}, 'a'), {'a', 'b', 'c'})",
        "reachable_in_a_circle": "self.assertEqual(reachable({'a': ['b'], 'b': ['a']}, 'a'), {'a', 'b'})",
        "reachable_from_the_end": "self.assertEqual(reachable({'a': ['b']}, 'b'), {'b'})",
        "distance": "self.assertEqual(distance({'a': ['b'], 'b': ['c']}, 'a', 'c'), 2)",
        "distance_is_the_shortest": "graph = {'a': ['x', 'b'], 'b': ['c'], 'c': ['z'], 'x': ['z']}\n"
        "self.assertEqual(distance(graph, 'a', 'z'), 2)",
        "distance_to_itself": "self.assertEqual(distance({}, 'a', 'a'), 0)",
        "no_path": "self.assertIsNone(distance({'a': ['b']}, 'b', 'a'))",
        "reversed": "self.assertEqual(reversed_graph({'a': ['b'], 'b': []}), {'a': [], 'b': ['a']})",
        "reversed_has_every_node": "self.assertEqual(reversed_graph({'a': ['b']}), {'a': [], 'b': ['a']})",
    },
    bugs=(
        Bug(
            "forgotten case", "graph", "in graph.get(waiting.pop(), ())", "in graph[waiting.pop()]",
            "reachable() raises KeyError for nodes that have no entry of their own in the graph.",
            ("reachable", "reachable_from_the_end"),
        ),
        Bug(
            "wrong function", "graph", "node = waiting.popleft()", "node = waiting.pop()",
            "distance() gives 3 where there is a path of 2 edges.",
            ("distance_is_the_shortest",),
        ),
        Bug(
            "forgotten case", "graph", "turned.setdefault(each, []).append(node)", "turned[each].append(node)",
            "reversed_graph({'a': ['b']}) raises KeyError.",
            ("reversed_has_every_node",),
        ),
    ),
)  # fmt: skip

MONEY = Program(
    name="money",
    about="Amounts of money, in cents.",
    modules={
        "money": '''\
"""Amounts of money: whole cents."""


def parse(text):
    """Return the cents of an amount such as 12.30, 12 or -0.05."""
    sign = -1 if text.startswith("-") else 1
    whole, _, cents = text.lstrip("-").partition(".")
    return sign * (int(whole) * 100 + int(cents.ljust(2, "0")[:2] or 0))


def shown(cents):
    """Return an amount as text, with two digits of cents."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def split(cents, parts):
    """Return an amount in so many parts, which differ by a cent at most; the first ones are the larger ones."""
    share, rest = divmod(cents, parts)
    return [share + 1] * rest + [share] * (parts - rest)


def discount(cents, percent):
    """Return an amount less a discount, rounded to the nearest cent."""
    return (cents * (100 - percent) + 50) // 100
'''
    },
    imports="from PACKAGE.money import discount, parse, shown, split",
    tests={
        "parse": "self.assertEqual([parse('12.30'), parse('12'), parse('0.05')], [1230, 1200, 5])",
        "parse_one_digit": "self.assertEqual(parse('1.5'), 150)",
        "parse_below_zero": "self.assertEqual([parse('-0.05'), parse('-3.50')], [-5, -350])",
        "shown": "self.assertEqual(shown(1234), '12.34')",
        "shown_with_two_digits": "self.assertEqual([shown(1205), shown(0)], ['12.05', '0.00'])",
        "shown_below_zero": "self.assertEqual(shown(-5), '-0.05')",
        "split": "self.assertEqual(split(100, 3), [34, 33, 33])",
        "split_loses_nothing": "self.assertEqual(sum(split(101, 7)), 101)",
        "discount": "self.assertEqual(discount(1000, 25), 750)",
        "discount_is_rounded": "self.assertEqual(discount(99, 50), 50)",
    },
    bugs=(
        Bug(
            "sign", "money", "return sign * (int(whole) * 100 + int(cents.ljust(2, \"0\")[:2] or 0))",
            "return sign * int(whole) * 100 + int(cents.ljust(2, \"0\")[:2] or 0)",
            "parse('-3.50') is -250.",
            ("parse_below_zero",),
        ),
        Bug(
            "format", "money", "{abs(cents) % 100:02d}", "{abs(cents) % 100}",
            "12 euros and 5 cents are shown as 12.5.",
            ("shown_with_two_digits", "shown_below_zero"),
        ),
        Bug(
            "rounding", "money", "(100 - percent) + 50) // 100", "(100 - percent)) // 100",
            "discount() always rounds down: half of 99 cents should be 50.",
            ("discount_is_rounded",),
        ),
    ),
)  # fmt: skip

CACHE = Program(
    name="cache",
    about="A cache that forgets what was not used for longest.",
    modules={
        "cache": '''\
"""A cache of limited size."""

from collections import OrderedDict


class Cache:
    """Values by key; beyond its size it forgets what was not used for longest."""

    def __init__(self, size):
        if size < 1:
            raise ValueError("a size of 1 or more is needed")
        self._size, self._values = size, OrderedDict()
        self.hits = self.misses = 0

    def __len__(self):
        return len(self._values)

    def get(self, key, default=None):
        if key not in self._values:
            self.misses += 1
            return default
        self.hits += 1
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key, value):
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._size:
            self._values.popitem(last=False)
''',
        "cached": '''\
"""Functions that remember."""

from functools import wraps

from PACKAGE.cache import Cache

_NOTHING = object()


def cached(size):
    """Return a decorator: the function is called once for the same arguments, as long as they are remembered."""

    def decorate(function):
        cache = Cache(size)

        @wraps(function)
        def call(*arguments):
            found = cache.get(arguments, _NOTHING)
            if found is _NOTHING:
                found = function(*arguments)
                cache.put(arguments, found)
            return found

        return call

    return decorate
''',
    },
    imports="from PACKAGE.cache import Cache\nfrom PACKAGE.cached import cached",
    tests={
        "get_what_was_put": "cache = Cache(2)\ncache.put('a', 1)\nself.assertEqual(cache.get('a'), 1)",
        "default": "self.assertEqual(Cache(1).get('a', 7), 7)",
        "size_is_kept": "cache = Cache(2)\nfor key in 'abc':\n    cache.put(key, key)\nself.assertEqual(len(cache), 2)",
        "oldest_is_forgotten": "cache = Cache(2)\nfor key in 'abc':\n    cache.put(key, key)\n"
        "self.assertIsNone(cache.get('a'))\nself.assertEqual(cache.get('c'), 'c')",
        "used_is_kept": "cache = Cache(2)\ncache.put('a', 1)\ncache.put('b', 2)\ncache.get('a')\ncache.put('c', 3)\n"
        "self.assertEqual(cache.get('a'), 1)\nself.assertIsNone(cache.get('b'))",
        "hits_and_misses": "cache = Cache(1)\ncache.put('a', 1)\ncache.get('a')\ncache.get('b')\n"
        "self.assertEqual((cache.hits, cache.misses), (1, 1))",
        "function_is_called_once": "calls = []\n@cached(2)\ndef double(x):\n    calls.append(x)\n    return 2 * x\n"
        "self.assertEqual([double(3), double(3)], [6, 6])\nself.assertEqual(calls, [3])",
        "none_is_remembered": "calls = []\n@cached(2)\ndef nothing(x):\n    calls.append(x)\n"
        "nothing(1)\nnothing(1)\nself.assertEqual(calls, [1])",
        "size_of_one_or_more": "with self.assertRaises(ValueError):\n    Cache(0)",
    },
    bugs=(
        Bug(
            "forgotten call", "cache", "        self.hits += 1\n        self._values.move_to_end(key)\n",
            "        self.hits += 1\n",
            "The cache forgets keys that have just been read.",
            ("used_is_kept",),
        ),
        Bug(
            "wrong word", "cache", "popitem(last=False)", "popitem()",
            "If the cache is full, a new value is not kept: it goes instead of the oldest one.",
            ("oldest_is_forgotten", "used_is_kept"),
        ),
        Bug(
            "confusion of None", "cached", "cache.get(arguments, _NOTHING)\n            if found is _NOTHING:",
            "cache.get(arguments)\n            if found is None:",
            "A function that returns None is called again each time, although it is cached.",
            ("none_is_remembered",),
        ),
    ),
)  # fmt: skip

PROGRAMS = (INTERVALS, STOCK, WORDS, SETTINGS, MATRIX, GRAPH, MONEY, CACHE)
