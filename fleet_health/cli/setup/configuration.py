"""Write the configuration for the found receivers: the settings that differ from the defaults, with comments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_health.cli.setup.index_search import DEFAULT_PATH
from fleet_health.config.schema import KEYS
from fleet_health.errors import printable
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fleet_health.cli.setup.candidates import Candidate
    from fleet_health.cli.setup.index_search import FoundIndex

_HEAD = """\
# Written by `fleet-health setup`. It contains the settings that differ from the defaults;
# /usr/local/share/doc/fleet-health/config.example.toml explains every key.
# After a change, run `fleet-health reload`.
"""
_not_in_names = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Choice:
    """A receiver to watch.

    Attributes:
        candidate: The log source.
        index: The index; None if none was found.
        directory: A directory of journal files, instead of this machine's journal.

    """

    candidate: Candidate
    index: FoundIndex | None
    directory: Path | None = None


def configuration(choices: Sequence[Choice]) -> str:
    """Return the text of the file, in TOML."""
    lines = [_HEAD]
    if len(choices) == 1:
        lines += ["[journal]", *_journal(choices[0], ""), "", "[index]", *_index(choices[0], "")]
    for choice, name in zip(choices, receiver_names(choices), strict=True) if len(choices) > 1 else ():
        lines += ["[[receivers]]", f"name = {_written(name)}"]
        lines += [*_journal(choice, "journal."), *_index(choice, "index."), ""]
    return "\n".join(lines).rstrip() + "\n"


def receiver_names(choices: Sequence[Choice]) -> list[str]:
    """Return a unique short name for each of several receivers, made from its unit or container."""
    names: list[str] = []
    for choice in choices:
        origin = choice.candidate.origin
        text = origin.unit or origin.match[0].partition("=")[2]
        if origin.name.startswith("container "):
            text = origin.name.removeprefix("container ")
        text = text.rpartition(".")[0] if text.endswith(".service") else text
        name = _not_in_names.sub("-", text).strip("-")[:30] or "receiver"
        number = 2
        unique = name
        while unique in names:
            unique, number = f"{name}-{number}", number + 1
        names.append(unique)
    return names


def _journal(choice: Choice, prefix: str) -> Iterator[str]:
    candidate = choice.candidate
    origin = candidate.origin
    yield (
        f"# Of its latest {plural(candidate.lines, 'line')}, {candidate.matches} are responses to uploads of"
        f" {plural(len(candidate.hosts), 'host')}."
    )
    # With `match` alone, the unit has no default.
    if origin.unit and (origin.unit != KEYS["journal.unit"].default or origin.match or prefix):
        yield f"{prefix}unit = {_written(origin.unit)}"
    if origin.match:
        yield f"{prefix}match = {_written(list(origin.match))}"
    if origin.namespace:
        yield f"{prefix}namespace = {_written(origin.namespace)}"
    if choice.directory is not None:
        yield f"{prefix}directory = {_written(str(choice.directory))}"
    if not candidate.is_default:
        method, path = candidate.words
        yield f"# The access lines of {candidate.known.format}, for uploads by {method} {printable(path)}HOST/…"
        if candidate.known.note:
            yield f"# {candidate.known.note}"
        yield f"{prefix}response = {_written(candidate.known.pattern)}"


def _index(choice: Choice, prefix: str) -> Iterator[str]:
    index = choice.index
    if index is None:
        yield "# No index was found. It is the file to which the receiver appends a row of JSON for each upload."
        yield "# Set its path, and the keys of a row that contain the host and the time."
        yield from (f"#{prefix}{key} = {_written(KEYS[f'index.{key}'].default)}" for key in _INDEX_KEYS)
        return
    hosts = choice.candidate.hosts
    yield f"# Of the {plural(len(hosts), 'host')} in the journal, {index.shared(hosts)} have rows here lately."
    values = {"path": str(index.path), "host_field": index.host_field, "time_field": index.time_field}
    for key in _INDEX_KEYS:
        if values[key] != KEYS[f"index.{key}"].default or (key == "path" and prefix):
            yield f"{prefix}{key} = {_written(values[key])}"
        elif key == "path":
            yield f"# It is in the default place: {DEFAULT_PATH}"


_INDEX_KEYS = ("path", "host_field", "time_field")


def _written(value: Any) -> str:
    """Return a value as TOML; a pattern in single quotes, which reads best."""
    if isinstance(value, str) and "\\" in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    # In JSON, a string or a list of strings is valid TOML too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007F")
