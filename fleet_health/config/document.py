"""Read a TOML file by its known keys, and collect all problems instead of stopping at the first."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from fleet_health.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fleet_health.config.key import Key

LISTS = ("receivers", "overrides", "quiet", "destinations")
"""The tables that may occur several times, which are not settings themselves."""

_FOUND_LENGTH = 60
_IN_QUOTES = 'write texts and durations in straight quotes, such as "5m"'
# Message of the parser -> the most likely mistake.
_LIKELY = {
    "Cannot overwrite a value": "it is set twice",
    "Invalid value": _IN_QUOTES,
    "Expected newline or end of document after a statement": _IN_QUOTES,
}


class UnreadableConfigError(ConfigError):
    """The file cannot be read or is not TOML, so none of its settings is known."""


def read_document(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        UnreadableConfigError: The file cannot be read, or is not TOML.

    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        problem = Problem("file", "a readable file", error.strerror or str(error), "use another one with --config")
    except UnicodeDecodeError as error:
        problem = Problem(f"byte {error.start}", "UTF-8", f"0x{error.object[error.start]:02x}")
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        likely = f": {_LIKELY[message]}" if message in _LIKELY else ""
        problem = Problem(place.rstrip(")") or "file", "TOML", "a syntax error", f"{message}{likely}")
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        problem = Problem("file", "TOML of a reasonable size", str(error))
    raise UnreadableConfigError(path, [problem]) from None


class TableReader:
    """Reads a table by its known keys, and collects problems."""

    def __init__(self, problems: list[Problem], keys: Mapping[str, Key], place: str) -> None:
        self._problems = problems
        self._keys = keys
        self._tables = {key.rpartition(".")[0] for key in keys} | {""}
        self._tables |= {table.rpartition(".")[0] for table in self._tables}
        self._place = place

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return key -> value for each key that is set and valid."""
        return dict(self._read_table("", document))

    def _read_table(self, table: str, document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, raw in document.items():
            key = f"{table}.{name}" if table else name
            if not name or "." in name:  # a quoted name, which is not a path through tables
                self._report_unknown(table, f'{table}."{name}"' if table else f'"{name}"', name)
            elif key in self._keys:
                try:
                    yield key, self._keys[key].read(raw)
                except ValueError as error:
                    self._report(key, str(error), shown(raw) if self._keys[key].is_shown else "another value")
            elif key not in self._tables:
                self._report_unknown(table, key, name)
            elif isinstance(raw, dict):
                yield from self._read_table(key, raw)
            else:
                self._report(key, f"a table, [{key}]", shown(raw))

    def _report(self, key: str, expected: str, found: str, hint: str = "") -> None:
        self._problems.append(Problem(self._place + key, expected, found, hint))

    def _report_unknown(self, table: str, key: str, name: str) -> None:
        prefix = f"{table}." if table else ""
        known = sorted(
            {
                other.removeprefix(prefix).split(".")[0]
                for other in (*self._keys, *self._tables)
                if other and other.startswith(prefix)
            }
            | (set(LISTS) if not table and not self._place else set())
        )
        from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and seldom needed

        elsewhere = [other for other in self._keys if other.rpartition(".")[2] == name]
        close = [prefix + other for other in get_close_matches(name, known, n=1)]
        hint = f"did you mean {(elsewhere or close)[0]}?" if elsewhere or close else ""
        self._report(key, "one of " + ", ".join(known), "an unknown key", hint)


def shown(raw: Any) -> str:
    """Return a value in short, as written in TOML."""
    if isinstance(raw, str):
        text = f'"{raw}"'
    elif isinstance(raw, dict):
        text = "a table"
    elif isinstance(raw, bool):
        text = str(raw).lower()
    else:
        try:
            text = str(raw)
        except ValueError:
            text = "a number of thousands of digits"
    return text if len(text) <= _FOUND_LENGTH else text[:_FOUND_LENGTH] + "…"
