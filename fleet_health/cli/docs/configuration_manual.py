"""Make the manual page of the configuration: the comments of the example, and for each key its kind and default.

In the example, a blank line or a lone `#` ends a paragraph, and a setting that is off directly follows its `#`. A
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
    "Watch a receiver with another unit and index": """\
[journal]
unit = "uploads.service"

[index]
path = "/srv/uploads/index.jsonl"
""",
    "Give hosts that upload rarely more time, and expect a host that must upload": """\
[hosts]
expected = ["pi-07"]

[[overrides]]
hosts = ["bench-*"]
detectors.silent.after = "6h"
""",
    "Send notifications to your own program, and only lasting incidents to another one": """\
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
"""Purpose of an example -> its text."""

# The keys of tables that may occur several times. An override has no defaults.
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
    """Return the page, made from the text of the example. `program` is its name with the version.

    Raises:
        ValueError: The example has a line that is neither a comment nor a setting, or lacks a key.

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
        roff.prose(f"This page contains the comments of the example, {_EXAMPLE_PATH}, and refers to that file."),
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
    """Converts the lines of the example to roff, one by one."""

    roff: list[str] = field(default_factory=list)
    comment: list[str] = field(default_factory=list)
    table: str = ""
    example: list[str] = field(default_factory=list)
    listed: str = ""
    missing: set[str] = field(default_factory=lambda: set(KEYS))

    def take(self, line: str) -> None:
        """Read a line."""
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
        """Add a section for each detector that the example does not mention, from its declaration."""
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
    """Return the paragraphs of a comment, without `#`."""
    text = "\n".join(line.removeprefix("#").strip() for line in lines)
    return [" ".join(part.split()) for part in re.split(r"\n{2,}", text) if part.strip()]


def _takes(entry: Key, example: str) -> str:
    """Return the kind of a key, in the words of its errors, and its default."""
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
    raise TypeError("a key of any kind has no description of its kind")


def _written(value: Any) -> str:
    """Return a value as TOML; a text with backslashes in single quotes, which reads best."""
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)
