"""The mutants of a module: its source with one small fault each. Knows no test and runs nothing.

A mutant is a piece of text put in the place of another, so that all the rest of the file stays as it is.
"""

from __future__ import annotations

import ast
import copy
import difflib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUNDARY = "boundary"

_BOUNDARIES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_OPPOSITES = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_EXTREMES = {"min": "max", "max": "min"}
_LOGGERS = frozenset({"log", "_log", "logger", "_logger"})
_HINTS = frozenset({"annotation", "returns", "type_params", "decorator_list", "bases", "keywords"})
"""The fields of a definition that say of what kind it is."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        file: The path of the module, from the checkout.
        function: The function that it is in, with its class; `<module>` outside of any.
        kind: What kind of fault it is.
        before: The text that it replaces.
        after: The text that it puts there.
        start: The first byte of the text in the file.
        end: The byte after its last.
        line: The line where it begins, from 1.
        number: Which one of those that are alike in this function, from 1.

    """

    file: str
    function: str
    kind: str
    before: str
    after: str
    start: int
    end: int
    line: int
    number: int = 1

    @property
    def key(self) -> str:
        """What it is called in `equivalent.txt`: this stays when other lines of the file change."""
        again = f" #{self.number}" if self.number > 1 else ""
        return f"{self.file} {self.function}: {_on_one_line(self.before)} => {_on_one_line(self.after)}{again}"

    def apply(self, source: bytes) -> bytes:
        """Return the source with the fault."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    def diff(self, source: bytes) -> str:
        """Return what it changes, as a unified diff with one line around it."""
        lines = difflib.unified_diff(
            source.decode().splitlines(), self.apply(source).decode().splitlines(), self.file, self.file, "", "", 1, ""
        )
        return "\n".join(lines)


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """Return every mutant of a module, in the order of the file."""
    found = _Finder(file, source).found
    found.sort(key=lambda mutant: (mutant.start, mutant.end, mutant.after))
    seen = Counter[str]()
    numbered = []
    for mutant in dict.fromkeys(found):
        seen[mutant.key] += 1
        numbered.append(replace(mutant, number=seen[mutant.key]))
    return numbered


class _Finder:
    """Walks through a module and keeps its mutants.

    It leaves out docstrings and all other text, f-strings among it, hints of types, what is logged, and whatever only
    the type checker reads.
    """

    def __init__(self, file: str, source: bytes) -> None:
        self.found: list[Mutant] = []
        self._file = file
        self._source = source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._walk(ast.parse(source), (), gives_bool=False)

    def _walk(self, node: ast.AST, within: tuple[str, ...], *, gives_bool: bool) -> None:
        if _is_left_out(node):
            return
        skipped: frozenset[str] = frozenset()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            within = (*within, node.name)
            gives_bool = not isinstance(node, ast.ClassDef) and ast.unparse(node.returns or ast.Pass()) == "bool"
            skipped = _HINTS
        elif isinstance(node, ast.AnnAssign | ast.arg):
            skipped = _HINTS
        for kind, after in _faults(node, gives_bool=gives_bool):
            self._keep(node, within, kind, after)
        for name, value in ast.iter_fields(node):
            if name not in skipped:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self._walk(child, within, gives_bool=gives_bool)

    def _keep(self, node: ast.AST, within: tuple[str, ...], kind: str, after: str) -> None:
        assert isinstance(node, ast.expr | ast.stmt)  # nothing else is mutated
        start = self._lines[node.lineno - 1] + node.col_offset
        end = self._lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        before = self._source[start:end].decode()
        self.found.append(
            Mutant(self._file, ".".join(within) or "<module>", kind, before, after, start, end, node.lineno)
        )


def _is_left_out(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr() | ast.Assert():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name))):
            return name in _LOGGERS
        case ast.keyword(arg="strict"):  # of zip: it is an assertion
            return True
        case _:
            return False


def _faults(node: ast.AST, *, gives_bool: bool) -> Iterator[tuple[str, str]]:  # noqa: C901, PLR0912 - a table
    """Yield the kind and the text of each fault that a node can have."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for kind, others in ((BOUNDARY, _BOUNDARIES), ("comparison", _OPPOSITES)):
                    if other := others.get(type(operator)):
                        altered = copy.copy(node)
                        altered.ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                        yield kind, _text(altered)
        case ast.BoolOp():
            other_op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
            yield "boolean", _text(ast.BoolOp(other_op, node.values))
        case ast.UnaryOp(op=ast.Not()):
            yield "boolean", _text(node.operand)
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield "arithmetic", _text(node.operand)
        case ast.BinOp() if _is_arithmetic(node):
            if operator_type := _ARITHMETIC.get(type(node.op)):
                yield "arithmetic", _text(ast.BinOp(node.left, operator_type(), node.right))
        case ast.IfExp():
            yield "boolean", _text(ast.IfExp(node.test, node.orelse, node.body))
        case ast.Constant():
            yield from _of_constant(node)
        case ast.Call(func=ast.Name(id=name)) if name in _EXTREMES:
            yield "extreme", _text(ast.Call(ast.Name(_EXTREMES[name]), node.args, node.keywords))
        case ast.stmt():
            yield from _of_statement(node, gives_bool=gives_bool)


def _of_constant(node: ast.Constant) -> Iterator[tuple[str, str]]:
    if isinstance(node.value, bool):
        yield "constant", repr(not node.value)
    elif isinstance(node.value, int | float):
        yield "constant", repr(node.value + 1)
        yield "constant", f"({node.value - 1!r})"


def _of_statement(node: ast.stmt, *, gives_bool: bool) -> Iterator[tuple[str, str]]:  # noqa: C901 - as above
    match node:
        case ast.Return(value=ast.expr() as value):
            if gives_bool:
                yield from (
                    ("return", f"return {answer}") for answer in (True, False) if ast.unparse(value) != repr(answer)
                )
            elif ast.unparse(value) != "None":
                yield "return", "return None"
        case ast.Break():
            yield "loop", "continue"
        case ast.Continue():
            yield "loop", "break"
        case ast.AugAssign():
            if other := _ARITHMETIC.get(type(node.op)):
                yield "arithmetic", ast.unparse(ast.AugAssign(node.target, other(), node.value))
            yield "removed", "pass"
        case ast.Expr(value=ast.Call() | ast.Await() as value):
            called = value.value if isinstance(value, ast.Await) else value
            if not _is_left_out(called):
                yield "removed", "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]) | ast.Raise() | ast.Delete():
            yield "removed", "pass"


def _is_arithmetic(node: ast.BinOp) -> bool:
    """Return whether it is no text that is put together, nor a union of types."""
    return not any(
        isinstance(side, ast.JoinedStr | ast.Tuple | ast.List)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes | None))
        for side in (node.left, node.right)
    )


def _text(node: ast.expr) -> str:
    return f"({ast.unparse(ast.fix_missing_locations(node))})"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
