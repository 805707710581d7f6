"""Metric-math text to a syntax tree. Only syntax: what an expression means is in metric_math.

Source: CloudWatch user guide, "Using metric math", "Metric math syntax and functions". Operators
bind, weakest first: OR (``||``), AND (``&&``), comparisons, ``+ -``, ``* /``, unary minus, ``^``.
That order is not written down there; it is the usual one.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from runbook.scaling.errors import MetricMathError

MAX_LENGTH = 2048
"""Characters CloudWatch accepts in an expression (API reference, MetricDataQuery)."""
_MAX_DEPTH = 64
"""Nesting accepted here, far beyond any readable expression; keeps recursion bounded."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<symbol>==|!=|<=|>=|&&|\|\||[-+*/^<>(),\[\]]))"
)
_SPELLINGS = {"&&": "AND", "||": "OR"}
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"OR"}),
    frozenset({"AND"}),
    frozenset({"==", "!=", "<", "<=", ">", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/"}),
)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text, the argument of METRICS."""

    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """The id of a metric or of another expression."""

    id: str


@dataclass(frozen=True, slots=True)
class Keyword:
    """REPEAT or LINEAR, the second argument of FILL."""

    word: str


@dataclass(frozen=True, slots=True)
class Negation:
    """Unary minus."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Operation:
    """A binary operator; ``operator`` is AND or OR also where && or || was written."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Array:
    """``[m1, m2]``."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    function: str
    arguments: tuple["Node", ...]


Node = Number | Text | Name | Keyword | Negation | Operation | Array | Call


def parse_tree(expression: str) -> Node:
    """Parse an expression.

    Raises:
        MetricMathError: naming the first place that cannot be read.
    """
    if len(expression) > MAX_LENGTH:
        raise MetricMathError(
            f"expression refused: it has {len(expression)} characters, CloudWatch takes "
            f"{MAX_LENGTH}; split it into several expressions"
        )
    return _Parser(expression).parse()


def names_in(node: Node) -> Iterator[str]:
    """Every metric or expression id used in the tree, with repetitions."""
    if isinstance(node, Name):
        yield node.id
    elif isinstance(node, Negation):
        yield from names_in(node.operand)
    elif isinstance(node, Operation):
        yield from names_in(node.left)
        yield from names_in(node.right)
    elif isinstance(node, Array | Call):
        for child in node.items if isinstance(node, Array) else node.arguments:
            yield from names_in(child)


class _Parser:
    """Recursive descent over the token list; ``_at`` is the next token."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._tokenize()
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._binary(0)
        if self._at < len(self._tokens):
            raise self._error("an operator")
        return node

    def _tokenize(self) -> list[tuple[str, str, int]]:
        """(kind, text, position) of every token."""
        tokens = []
        position = 0
        text = self._expression.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                rest = text[position:].strip()
                raise MetricMathError(
                    f"expression {self._expression!r} cannot be read: {rest[:10]!r} is no part of "
                    "metric math; use numbers, ids, operators, functions and brackets"
                )
            word = match.group(match.lastgroup)
            tokens.append((match.lastgroup, _SPELLINGS.get(word, word), match.start()))
            position = match.end()
        return tokens

    def _error(self, wanted: str) -> MetricMathError:
        found = "the end"
        if self._at < len(self._tokens):
            _, word, position = self._tokens[self._at]
            found = f"{word!r} after {self._expression[:position]!r}"
        return MetricMathError(
            f"expression {self._expression!r} cannot be read: {wanted} was expected, found "
            f"{found}; correct the expression"
        )

    def _peek(self) -> str:
        """The text of the next token, "" at the end and for quoted text."""
        if self._at < len(self._tokens) and self._tokens[self._at][0] != "text":
            return self._tokens[self._at][1]
        return ""

    def _expect(self, word: str) -> None:
        if self._peek() != word:
            raise self._error(repr(word))
        self._at += 1

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (operator := self._peek()) in _LEVELS[level]:
            self._at += 1
            left = Operation(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise MetricMathError(
                f"expression refused: it nests deeper than {_MAX_DEPTH} levels; "
                "split it into several expressions"
            )
        if self._peek() == "-":
            self._at += 1
            node: Node = Negation(self._unary())
        else:
            node = self._primary()
            if self._peek() == "^":
                self._at += 1
                node = Operation("^", node, self._unary())
        self._depth -= 1
        return node

    def _primary(self) -> Node:
        if self._at >= len(self._tokens):
            raise self._error("a value")
        kind, word, _ = self._tokens[self._at]
        self._at += 1
        if kind == "number" and math.isfinite(float(word)):
            return Number(float(word))
        if kind == "text":
            return Text(word[1:-1])
        if kind == "name" and word not in ("AND", "OR"):
            return self._word(word)
        if word == "[":
            return Array(self._list("]"))
        if word != "(":
            self._at -= 1
            raise self._error("a value")
        node = self._binary(0)
        self._expect(")")
        return node

    def _word(self, word: str) -> Node:
        """What a name is: a function call, a keyword or an id."""
        if self._peek() == "(":
            self._at += 1
            return Call(word, self._list(")"))
        if word in ("REPEAT", "LINEAR"):
            return Keyword(word)
        if not word[0].islower():
            self._at -= 1
            raise self._error("an id that starts with a lowercase letter, or a function")
        return Name(word)

    def _list(self, end: str) -> tuple[Node, ...]:
        """The nodes up to ``end``, separated by commas; may be empty."""
        items: list[Node] = []
        while self._peek() != end:
            if items:
                self._expect(",")
            items.append(self._binary(0))
        self._at += 1
        return tuple(items)
