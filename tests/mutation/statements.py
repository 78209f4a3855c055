"""Where a fault in a statement can matter: its own lines, and for one that is run at import those of what uses it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement; of a compound one, of a handler and of a case the head.

    Attributes:
        file: The file that it is in.
        lines: Its lines.
        owner: The lines of the definition that it is in, or its own.
        is_at_import: Whether it is run when the file is imported.
        defined: The names of the module that depend on it; empty for what is not run at import.
        assigned: The names that it gives a value.
        used: The names that occur in it, those of attributes among them.
        function: The first line of the function that it is in; 0 if it is in none.
        name: The name of this function.

    """

    file: str
    lines: range
    owner: range
    is_at_import: bool
    defined: frozenset[str]
    assigned: frozenset[str]
    used: frozenset[str]
    function: int
    name: str


class Statements:
    """The statements of some files."""

    def __init__(
        self, sources: Mapping[str, bytes], called_at_import: AbstractSet[tuple[str, int]] = frozenset()
    ) -> None:
        """Take the sources by their files, and the file and first line of each function that is called at import."""
        self._all = [
            replace(one, is_at_import=True, defined=frozenset({one.name}))
            if (file, one.function) in called_at_import
            else one
            for file, source in sources.items()
            for one in _statements(file, ast.parse(source).body)
        ]

    def lines_of(self, file: str, line: int) -> Iterator[tuple[str, int]]:
        """Yield each file and line where a fault in a line can matter."""
        mutated = [one for one in self._all if one.file == file and line in one.lines]
        at_import = [one for one in mutated if one.is_at_import]
        for one in mutated:
            yield from ((file, each) for each in (one.owner if one.is_at_import else one.lines))
        names = {name for one in at_import for name in one.defined}
        size = -1
        while size < len(names):  # what is made at import of what is made at import
            size = len(names)
            names.update(name for one in self._all if one.is_at_import and names & one.used for name in one.defined)
        names.update(name for one in at_import for name in one.assigned)
        for one in self._all:
            if names & one.used:
                yield from ((one.file, each) for each in one.lines)


def _statements(file: str, statements: Sequence[ast.AST], owner: ast.AST | None = None) -> Iterator[_Statement]:
    """Yield statements and those within them; `owner` is the class or function of the module that they are in."""
    for one in statements:
        inner = [child for name in _BODIES for child in getattr(one, name, [])]
        heads = [node for part in ast.iter_child_nodes(one) if part not in inner for node in ast.walk(part)]
        names = [node for node in heads if isinstance(node, ast.Name)]
        assigned = frozenset(node.id for node in names if isinstance(node.ctx, ast.Store))
        used = {node.attr for node in heads if isinstance(node, ast.Attribute)} | {node.id for node in names} - assigned
        top = owner or one
        at_import = not isinstance(owner, _FUNCTION)
        defined = frozenset({top.name}) if isinstance(top, (ast.ClassDef, *_FUNCTION)) else assigned
        lines = range(_first(one), min([*map(_first, inner), _last(one) + 1]))
        whole = range(_first(top), _last(top) + 1)
        yield _Statement(
            file,
            lines,
            whole,
            at_import,
            defined if at_import else frozenset(),
            assigned,
            frozenset(used),
            _first(owner) if isinstance(owner, _FUNCTION) else 0,
            top.name if isinstance(top, _FUNCTION) else "",
        )
        begins = isinstance(one, _FUNCTION) or (isinstance(one, ast.ClassDef) and owner is None)
        yield from _statements(file, inner, one if begins and at_import else owner)


def _first(node: Any) -> int:
    """Return the first line of a statement, of a handler, or of a case."""
    place = node.pattern if isinstance(node, ast.match_case) else node
    return min([place.lineno, *map(_first, getattr(node, "decorator_list", []))])


def _last(node: Any) -> int:
    return _last(node.body[-1]) if isinstance(node, ast.match_case) else int(node.end_lineno)
