"""The manual page of the configuration: the comments of the example, and of each key what it takes and its default.

In the example a blank line or `#` alone ends a paragraph, and a setting that is off stands right behind its `#`. A
comment is about the setting or the table that follows it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fleet_health.cli.docs import roff
from fleet_health.config.destinations.registry import TYPES
from fleet_health.config.destinations.shared import COMMON
from fleet_health.config.locations import DEFAULT_PATH
from fleet_health.config.schema import HOSTS_KEY, KEYS, OVERRIDABLE, QUIET_KEYS, RECEIVER_KEYS
from fleet_health.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from fleet_health.config.key import Key

NAME, SECTION = "fleet-health-config", 5
PAGE = f"{NAME}.{SECTION}"

_EXAMPLE_PATH = "/usr/local/share/doc/fleet-health/config.example.toml"

EXAMPLES = {
    "Watch a receiver with a unit and an index of its own": """\
[journal]
unit = "uploads.service"

[index]
path = "/srv/uploads/index.jsonl"
""",
    "Give hosts that upload rarely more time, and expect one that must be there": """\
[hosts]
expected = ["pi-07"]

[[overrides]]
hosts = ["bench-*"]
detectors.silent.after = "6h"
""",
    "Send notifications to a program of yours, and only what lasts to another one": """\
[[destinations]]
name = "tickets"
type = "webhook"
url = "https://tickets.example.org/hook"

[[destinations]]
name = "on-call"
type = "webhook"
url = "https://on-call.example.org/hook"
after = "30m"
send = ["opening", "lost", "resolution"]
""",
    "Mute alerts at night": """\
[[quiet]]
from = "22:00"
to = "06:00"
zone = "Europe/Berlin"
""",
}
"""What each configuration is for, and its text."""

# What is listed for a table that may occur several times; an override has no defaults.
_LISTS = {
    "overrides": {"hosts": HOSTS_KEY, **{key: replace(entry, default=None) for key, entry in OVERRIDABLE.items()}},
    "quiet": QUIET_KEYS,
    "receivers": {key: replace(entry, default=None) for key, entry in RECEIVER_KEYS.items()},
    "destinations": COMMON,
}

_HELP = {one.key: one.help for spec in DETECTORS for one in spec.settings}

_prose = re.compile(r"#(?: (?P<text>.*))?").fullmatch
_table = re.compile(r"#?\[(?P<name>[\w.-]+)\]").fullmatch
_list = re.compile(r"#?\[\[(?P<name>\w+)\]\]").fullmatch
_setting = re.compile(r"(?P<off>#?)(?P<name>[\w.-]+) = (?P<value>.+)").fullmatch


def configuration_page(example: str, program: str) -> str:
    """Make the page from the text of the example; the program is named with its version.

    Raises:
        ValueError: The example has a line that is none of the above, or lacks a key.

    """
    reader = _Reader()
    head, _, rest = example.partition("\n\n")
    title, *description = _paragraphs(head.splitlines())
    for line in rest.splitlines():
        reader.take(line)
    reader.finish()
    body = [
        roff.section("NAME"),
        f"{roff.escape(NAME)} \\- {roff.prose(title.partition(': ')[2].removesuffix('.'))}",
        roff.section("DESCRIPTION"),
        roff.prose(f"What follows are the comments of the example, {_EXAMPLE_PATH}, so it speaks of that file."),
    ]
    for text in description:
        body += roff.paragraph(text)
    body += [roff.section("SETTINGS"), *reader.roff]
    body += roff.examples({purpose: text.splitlines() for purpose, text in EXAMPLES.items()})
    body += [roff.section("FILES")]
    body += [*roff.item(roff.bold(str(DEFAULT_PATH)), "The configuration.")]
    body += [*roff.item(roff.bold(_EXAMPLE_PATH), "The example.")]
    body += [roff.section("SEE ALSO"), roff.reference("fleet-health", 1)]
    return roff.page(NAME, SECTION, program, body)


@dataclass
class _Reader:
    """Turns the lines of the example into roff, one by one."""

    roff: list[str] = field(default_factory=list)
    comment: list[str] = field(default_factory=list)
    table: str = ""
    example: list[str] = field(default_factory=list)
    listed: str = ""
    missing: set[str] = field(default_factory=lambda: set(KEYS))

    def take(self, line: str) -> None:
        """Read one more line."""
        if prose := _prose(line):
            target = self.example if self.listed and not prose["text"] else self.comment
            target.append(line)
        elif not line:
            self._end_list()
            self.comment.append("#")
        elif found := _list(line):
            self._begin_list(found["name"], line)
        elif self.listed:
            self.example.append(line)
        elif found := _table(line):
            self.table = f"{found['name']}."
            self._head(line)
        elif found := _setting(line):
            self._setting(self.table + found["name"], found["value"], is_off=bool(found["off"]))
        else:
            raise ValueError(f"neither a comment nor a setting: {line}")

    def finish(self) -> None:
        """Finish: detectors that the example does not mention get a section from what they declare."""
        self._end_list()
        for spec in DETECTORS:
            keys = (*spec.switches, *(one.key for one in spec.settings))
            if self.missing.issuperset(keys):
                self.roff.append(roff.subsection(spec.symptom))
                for key in keys:
                    self._setting(key, "", is_off=False)
        if self.missing:
            raise ValueError(f"the example lacks {', '.join(sorted(self.missing))}")

    def _head(self, title: str) -> None:
        self.roff.append(roff.subsection(title))
        for number, text in enumerate(self._comment()):
            self.roff += roff.paragraph(text) if number else [roff.prose(text)]

    def _setting(self, key: str, value: str, *, is_off: bool) -> None:
        keys = [key] if key in KEYS else [one for one in KEYS if one.startswith(f"{key}.")]
        for number, one in enumerate(keys):
            self.missing.remove(one)
            texts = [] if number else [roff.prose(text) for text in self._comment()]
            texts = texts or [roff.prose(text) for text in [_HELP.get(one, "")] if text]
            self.roff += roff.item(roff.bold(one), *texts, _takes(KEYS[one], value if is_off else ""))

    def _begin_list(self, name: str, line: str) -> None:
        if name != self.listed:
            self.listed = name
            self._head(f"[[{name}]]")
        self.example.append(line)

    def _end_list(self) -> None:
        if not self.listed:
            return
        self.roff += roff.example(line.removeprefix("#") for line in self.example)
        for key, entry in _LISTS[self.listed].items():
            self._item(key, entry)
        if self.listed == "destinations":
            self._types()
        self.listed = ""
        self.example.clear()

    def _types(self) -> None:
        for name, spec in TYPES.items():
            self.roff += [roff.subsection(f'[[destinations]], type = "{name}"'), roff.prose(spec.about)]
            for key, entry in spec.keys.items():
                self._item(key, entry)

    def _item(self, key: str, entry: Key) -> None:
        helps = [roff.prose(entry.help)] if entry.help else []
        self.roff += roff.item(roff.bold(key), *helps, _takes(entry, ""))

    def _comment(self) -> list[str]:
        texts = _paragraphs(self.comment)
        self.comment.clear()
        return texts


def _paragraphs(lines: list[str]) -> list[str]:
    """Return the paragraphs of a comment, without its signs."""
    text = "\n".join(line.removeprefix("#").strip() for line in lines)
    return [" ".join(part.split()) for part in re.split(r"\n{2,}", text) if part.strip()]


def _takes(entry: Key, example: str) -> str:
    """Return what a key takes, in the words with which it refuses another thing, and what it is by default."""
    kind = _kind(entry)
    said = roff.escape(f"{kind[:1].upper()}{kind[1:]}.")
    if entry.default is not None:
        said += f" Default: {roff.bold(_written(entry.default))}"
    if example:
        said += f" Off by default; for example {roff.bold(example)}"
    return said


def _kind(entry: Key) -> str:
    try:
        entry.read(object())
    except ValueError as error:
        return str(error)
    raise TypeError("a key that takes anything does not say what it takes")


def _written(value: Any) -> str:
    """Write a value as TOML; one with backslashes as it is easiest to read."""
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)
