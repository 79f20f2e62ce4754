"""Formula text to syntax tree."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MAX_LENGTH = 5_000
MAX_DEPTH = 60
TOKEN = re.compile(
    r"""\s*(?:
      (?P<comment>/\*.*?\*/)
    | (?P<number>\d+(?:\.\d+)?|\.\d+)
    | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<name>\$?[A-Za-z_]\w*(?::[A-Za-z_]\w*)?(?:\.[A-Za-z_]\w*(?::[A-Za-z_]\w*)?)*)
    | (?P<sign>&&|\|\||==|!=|<>|<=|>=|[-+*/^&=<>!(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
# Weakest first; the operators of one level bind alike and to the left.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("=", "==", "!=", "<>"),
    ("<", "<=", ">", ">="),
    ("&",),
    ("+", "-"),
    ("*", "/"),
    ("^",),
)
SAME = {"==": "=", "!=": "<>", "&&": "and", "||": "or"}
CONSTANTS: dict[str, Any] = {"null": None, "true": True, "false": False}


class FormulaError(Exception):
    """A formula that cannot be understood or has no value."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    """A field, a path to one, or a global such as `$User.Id`."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; operators are functions named by their sign."""

    function: str
    arguments: tuple["Node", ...]


Node = Literal | Name | Call


def parse(text: str) -> Node:
    """Return the tree of a formula.

    Raises:
        FormulaError: The text is no formula.
    """
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"longer than {MAX_LENGTH} characters")
    parser = _Parser(_tokens(text))
    node = parser.level(0, 0)
    if parser.kind != "end":
        raise FormulaError(f"{parser.text!r} was not expected")
    return node


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise FormulaError(f"{text[at : at + 20]!r} is not understood")
        if match.lastgroup != "comment":
            found.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    return [*found, ("end", "")]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def text(self) -> str:
        return self._tokens[self._at][1]

    def _take(self, *signs: str) -> str | None:
        if self.kind == "sign" and self.text in signs:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise FormulaError(f"{sign!r} is missing before {self.text!r}")

    def level(self, number: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise FormulaError("nested too deeply")
        if number == len(LEVELS):
            return self._unary(depth)
        left = self.level(number + 1, depth)
        while (sign := self._take(*LEVELS[number])) is not None:
            right = self.level(number + 1, depth)
            left = Call(SAME.get(sign, sign), (left, right))
        return left

    def _unary(self, depth: int) -> Node:
        sign = self._take("-", "+", "!")
        if sign is None:
            return self._primary(depth)
        operand = self.level(len(LEVELS), depth + 1)
        if sign == "!":
            return Call("not", (operand,))
        return Call("-", (Literal(Decimal(0)), operand)) if sign == "-" else operand

    def _primary(self, depth: int) -> Node:
        if self._take("(") is not None:
            inner = self.level(0, depth + 1)
            self._expect(")")
            return inner
        kind, text = self._tokens[self._at]
        self._at += kind != "end"
        if kind == "number":
            return Literal(Decimal(text))
        if kind == "text":
            return Literal(_unescaped(text[1:-1]))
        if kind == "name":
            return self._named(text, depth)
        raise FormulaError(f"{text!r} was not expected" if text else "the formula ends too early")

    def _named(self, text: str, depth: int) -> Node:
        if self._take("(") is not None:
            arguments = []
            if self._take(")") is None:
                arguments.append(self.level(0, depth + 1))
                while self._take(","):
                    arguments.append(self.level(0, depth + 1))
                self._expect(")")
            return Call(text.lower(), tuple(arguments))
        if text.lower() in CONSTANTS:
            return Literal(CONSTANTS[text.lower()])
        return Name(tuple(part.partition(":")[0] for part in text.split(".")))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: ESCAPES.get(m.group(1), m.group(1)), text, flags=re.DOTALL)
