"""The picture of a timeline: what stands in it, and that it can be read."""

from __future__ import annotations

import argparse
import re
import struct
import xml.etree.ElementTree as ET
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest

from fleet_health.cli.plot import PlotError, draw, plot_path
from fleet_health.domain.coverage import Gap
from fleet_health.domain.timeline import KINDS, Episode, Timeline

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunCommand, Site

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""


def month(hosts: list[str], seed: int = 1) -> Timeline:
    """Make thirty days in which every fifth host has an incident, and the fleet has one too."""
    random = Random(seed)  # noqa: S311 - nothing is secret here
    timeline = Timeline(NOON - 30 * DAY, NOON, 600)
    for number, host in enumerate(hosts):
        begin = NOON - random.randint(2, 28) * DAY
        for hour in range(0, 30 * 24, 3):
            at = NOON - 30 * DAY + hour * HOUR
            is_bad = number % 5 == 0 and begin <= at < begin + DAY
            timeline.add(host, KINDS.index("client_errors") if is_bad else KINDS.index("ships"), at)
        if number % 5 == 0:
            timeline.episodes.append(Episode(host, "fatal-only", begin, begin + DAY, 3, "refused"))
    timeline.episodes.append(Episode("*", "receiver-down", NOON - DAY, None, 1, "gone"))
    timeline.gaps = {"journal": (Gap(NOON - 20 * DAY, NOON - 19 * DAY, "suppressed"),)}
    return timeline


def texts(path: Path) -> dict[str, float]:
    """Give the texts of an SVG, each with how far down it stands; of several alike the last."""
    found = {}
    for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314
        place = re.search(r"translate\(\S+ ([\d.]+)\)", element.get("transform", "")) or [None, element.get("y", "0")]
        found["".join(element.itertext())] = float(place[1] or 0)
    return found


def test_a_picture_says_who_what_and_when(tmp_path: Path) -> None:
    """Each host by name, the incidents and gaps in the legend, the stretch in the title."""
    draw(month([f"pi-{number:02}" for number in range(5)]), tmp_path / "p.svg")
    shown = texts(tmp_path / "p.svg")

    assert {f"pi-{number:02}" for number in range(5)} < shown.keys()
    assert {"(all)", "shipped", "4xx", "fatal-only", "receiver-down", "journal not whole"} < shown.keys()
    assert "5xx" not in shown
    assert "2026-10-24 12:00 to 2026-11-23 12:00 UTC, 2 incidents" in shown
    # Those in trouble come first.
    assert shown["(all)"] < shown["pi-00"] < shown["pi-01"] < shown["pi-04"]


@pytest.mark.parametrize("count", [5, 60, 300])
def test_no_name_covers_another(count: int, tmp_path: Path) -> None:
    """The picture grows with the hosts, up to as many as can be looked through; the others are counted."""
    hosts = [f"bench-rpi-{number:03}" for number in range(count)]
    draw(month(hosts), tmp_path / "p.svg")
    shown = texts(tmp_path / "p.svg")
    places = sorted(place for name, place in shown.items() if name in hosts)

    assert len(places) == min(count, 80)
    assert all(below - above >= 12 for above, below in pairwise(places))
    assert any("220 more hosts, with fewer incidents, are not shown" in text for text in shown) == (count == 300)


def test_names_are_no_formulas_and_no_markup(tmp_path: Path) -> None:
    """Whatever somebody calls a host; a long one is cut."""
    names = ["$x_1$", "<script>&", "\x1b[31m", "n" * 200]
    draw(month(names), tmp_path / "p.svg")
    draw(month(names), tmp_path / "p.png")

    assert {"$x_1$", "<script>&", "\\x1b[31m", "n" * 27 + "…"} < texts(tmp_path / "p.svg").keys()


def test_a_png_has_its_size_and_the_same_past_the_same_picture(tmp_path: Path) -> None:
    """Byte by byte, and nothing else is left in the directory."""
    timeline = month(["a", "b"])
    for name in ("1.png", "2.png", "1.svg", "2.svg"):
        draw(timeline, tmp_path / name)
    width, height = struct.unpack(">II", (tmp_path / "1.png").read_bytes()[16:24])

    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()
    assert width == 1_320
    assert height > 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "1.svg", "2.png", "2.svg"]


def test_an_empty_past_is_a_picture_too(tmp_path: Path) -> None:
    """Of nothing."""
    draw(Timeline(NOON - DAY, NOON, 600), tmp_path / "p.svg")

    assert "2026-11-22 12:00 to 2026-11-23 12:00 UTC, 0 incidents" in texts(tmp_path / "p.svg")


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    """And nothing half done is left; nor is another kind of file promised."""
    with pytest.raises(PlotError, match=r"nowhere/p\.svg: No such file or directory"):
        draw(month(["a"]), tmp_path / "nowhere" / "p.svg")
    with pytest.raises(argparse.ArgumentTypeError, match=r"ends in \.svg or \.png, found 'p\.pdf'"):
        plot_path("p.pdf")


def test_a_replay_is_drawn(site: Site, run_command: RunCommand) -> None:
    """What is printed stands in the picture as well."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    picture = site.directory / "p.svg"
    done = run_command("replay", "--config", site.config, "--since", "2h", "--plot", picture)

    assert (done.status, done.stderr) == (0, "")
    assert {"well", "quiet", "refused", "unstamped", "shipped", "4xx", "silent"} < texts(picture).keys()
