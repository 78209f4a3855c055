"""The figures as a page of Markdown, one chapter a benchmark.

A chapter carries the machine and the date of its own, so that one benchmark can be taken again without the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.measuring import times

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.measuring import Row, Section

_HEADER = ("what", "figure", "yardstick", "its figure", "ratio", "target", "reached")
_CHAPTER = "\n## "
_INTRODUCTION = """\
# Benchmarks

Written by `python tests/bench/run.py`; what is said by hand is in [NOTES.md](NOTES.md), and repeated at the end. Each
figure was taken beside its yardstick, alternating, in the same run: medians, the least and the greatest in brackets.
A ratio is the median of the ratios of all rounds, our figure divided by the yardstick's.
"""


def chapter(section: Section, machine: Mapping[str, str]) -> str:
    """Write what a benchmark gave."""
    parts = [
        f"## {section.title}",
        section.method,
        _table(_HEADER, [_cells(row) for row in section.rows]),
        *(_table(table.header, table.rows) for table in section.tables),
        "\n".join(f"- {name}: {text}" for name, text in machine.items()),
    ]
    return "\n\n".join(parts) + "\n"


def page(old: str, chapters: dict[str, str], order: Sequence[str], notes: str) -> str:
    """Put new chapters into a page, by title, in the place of old ones.

    Args:
        old: The page as it was; may be empty.
        chapters: The new chapters.
        order: All titles, in their order.
        notes: What is said by hand.

    """
    kept = {text.partition("\n")[0]: f"## {text}".rstrip() + "\n" for text in old.split(_CHAPTER)[1:]}
    known = kept | chapters
    parts = [_INTRODUCTION, *(known[title] for title in order if title in known), notes]
    return "\n".join(parts)


def summary(section: Section) -> str:
    """Return in a few lines what a benchmark gave, for the terminal."""
    lines = [section.title]
    for row in section.rows:
        ratio = "" if row.ratio is None else f"{times(row.ratio)} "
        versus = f" against {row.their_figure} of {row.yardstick}" if row.yardstick else ""
        lines.append(f"  {row.what}: {row.figure}{versus}  {ratio}{row.target}: {_verdict(row)}".rstrip(": "))
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else times(row.ratio)
    return row.what, row.figure, row.yardstick, row.their_figure, ratio, row.target, _verdict(row)


def _verdict(row: Row) -> str:
    return {True: "yes", False: "**no**", None: ""}[row.is_reached]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
