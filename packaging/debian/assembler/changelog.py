"""Which version a checkout is, of which date, and Debian's changelog, all from CHANGELOG.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADING = re.compile(r"(?m)^## (?:\[)?(?P<version>[^\]\s]+)\]?(?: - (?P<date>\d{4}-\d{2}-\d{2}))?$")
_UNRELEASED = "Unreleased"
_WIDTH = 76


@dataclass(frozen=True)
class Release:
    """What is built.

    Attributes:
        version: Debian's version of it.
        epoch: When it was made, in seconds since 1970; what is built bears no other time.
        entries: Each version and its date in the changelog, with what it changed in Markdown; the newest first.

    """

    version: str
    epoch: int
    entries: tuple[tuple[str, datetime, str], ...]


def read_release(checkout: Path) -> Release:
    """Return what a checkout is.

    It is the version of pyproject.toml if CHANGELOG.md has a date for that, and something before it otherwise:
    `0.1.0~git20261127103000.9013641`, or without git `0.1.0~dev20261127103000`.
    """
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    parts = list(_sections((checkout / "CHANGELOG.md").read_text("utf-8")))
    dates = {version: date for version, date, _ in parts if date}
    if project in dates:
        version, when = project, dates[project]
    else:
        when, commit = _made(checkout)
        version = f"{project}~{'git' if commit else 'dev'}{when:%Y%m%d%H%M%S}{commit and f'.{commit}'}"
    entries = tuple(
        (version if name == _UNRELEASED else name, date or when, text)
        for name, date, text in parts
        if name != _UNRELEASED or project not in dates
    )
    return Release(version, int(when.timestamp()), entries)


def _sections(text: str) -> Iterator[tuple[str, datetime | None, str]]:
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=True):
        date = heading["date"] and datetime.fromisoformat(heading["date"]).replace(tzinfo=UTC)
        yield heading["version"], date or None, text[heading.end() : end].strip()


def _made(checkout: Path) -> tuple[datetime, str]:
    """Return when a checkout was made, and its commit in short; without git, when its newest file was written."""
    command = ["git", "-C", checkout, "log", "-1", "--abbrev=7", "--format=%ct %h"]
    found = ""
    if (checkout / ".git").exists() and shutil.which("git"):
        found = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    newest = max(path.stat().st_mtime for path in (checkout / "fleet_health").rglob("*.py"))
    epoch, _, commit = found.strip().partition(" ") if found else (str(int(newest)), "", "")
    return datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", epoch)), UTC), commit


def debian(release: Release, maintainer: str) -> str:
    """Make Debian's changelog."""
    return "\n".join(
        f"fleet-health ({version}) stable; urgency=medium\n\n{_items(text)}\n"
        f" -- {maintainer}  {format_datetime(date)}\n"
        for version, date, text in release.entries
    )


def _items(markdown: str) -> str:
    lines: list[str] = []
    for block in re.split(r"\n\n+|\n(?=- )", markdown):
        text = " ".join(re.sub(r"\[([^]]+)\]\([^)]*\)|\*\*", r"\1", block).split())
        if text.startswith("### "):
            lines += ["", f"  [ {text.removeprefix('### ')} ]"]
        elif text:
            bullet = textwrap.wrap(text.removeprefix("- "), _WIDTH - 4, break_on_hyphens=False)
            lines += [f"  {'*' if number == 0 else ' '} {line}" for number, line in enumerate(bullet)]
    return "\n".join(lines).lstrip("\n") + "\n"
