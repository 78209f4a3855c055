"""The picture of a timeline: what stands in it, that it can be read, and how the file comes to be."""

from __future__ import annotations

import argparse
import itertools
import math
import operator
import os
import random
import re
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fleet_health.cli.plot import style
from fleet_health.cli.plot.dates import ticks
from fleet_health.cli.plot.plot import PlotError, draw, plot_format
from fleet_health.cli.plot.rows import MOST_HOSTS, arrange, responses_of, uploads_of
from fleet_health.model.coverage import Gap
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.replay.timeline import KINDS, Episode, Timeline

SINCE = 1_792_540_800 * SECOND_US  # 2026-10-21T00:00Z
DAYS = 30
UNTIL = SINCE + DAYS * 24 * HOUR_US
PER_HOST = ("silent", "fatal-only", "unstamped", "flapping", "never-seen", "degraded", "slow")
SVG = "{http://www.w3.org/2000/svg}"

# What is left of the linear primaries to those who lack one kind of cones (Machado, Oliveira and Fernandes, 2009).
SEEN_WITHOUT = {
    "red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "nothing": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}

DRAW_SOME = f"""
import sys
from pathlib import Path
from fleet_health.cli.plot.plot import draw
from fleet_health.model.coverage import Gap
from fleet_health.replay.timeline import Episode, Timeline

timeline = Timeline({SINCE}, {UNTIL}, bins=10)
for host in "abc":
    timeline.add(host, 0, {SINCE})
    timeline.episodes.append(Episode(host, host * 2, {SINCE}, None, 1, ""))
timeline.gaps = {{"journal": (Gap({SINCE}, {SINCE + HOUR_US}, "why"),)}}
for path in sys.argv[1:]:
    draw([timeline], Path(path))
"""


def empty() -> Timeline:
    """Make a timeline of a month, in bins of an hour, without anything in it."""
    return Timeline(SINCE, UNTIL, bins=DAYS * 24)


def month(hosts: int) -> Timeline:
    """Make a month of a fleet in which every third host has incidents for a while."""
    chance, timeline = random.Random(hosts), empty()  # noqa: S311 - it is to be the same each time
    for number in range(hosts):
        host = f"pi-{number:03d}"
        trouble = PER_HOST[number // 3 % len(PER_HOST)] if number % 3 == 0 else ""
        begin, end = sorted(chance.randrange(SINCE, UNTIL) for _ in range(2))
        for at in range(SINCE, UNTIL, HOUR_US):
            kinds = ["uploads", "accepted"]
            if trouble and begin <= at < end:
                kinds = {"fatal-only": ["server_errors"], "unstamped": ["client_errors", "unstamped"]}.get(trouble, [])
            for kind in kinds:
                timeline.add(host, KINDS.index(kind), at)
        if trouble:
            ended_at = end if number % 2 else None
            timeline.episodes.append(Episode(host, trouble, begin, ended_at, 1, "detail"))
    timeline.episodes.append(Episode("*", "receiver-down", SINCE + 9 * HOUR_US, SINCE + 20 * HOUR_US, 1, "detail"))
    timeline.gaps = {
        "journal": (Gap(SINCE - HOUR_US, SINCE + 30 * HOUR_US, "vacuumed away"),),
        "index": (Gap(UNTIL - 9 * HOUR_US, UNTIL - 3 * HOUR_US, "a part was cut off"),),
    }
    return timeline


def drawn(timeline: Timeline, directory: Path) -> ET.Element:
    """Draw as SVG, and parse it."""
    draw([timeline], directory / "plot.svg")
    return ET.fromstring((directory / "plot.svg").read_bytes())  # noqa: S314 - it is our own


def texts(svg: ET.Element) -> list[str]:
    """Return all texts of an SVG."""
    return ["".join(element.itertext()) for element in svg.iter(f"{SVG}text")]


def places(svg: ET.Element, names: set[str]) -> list[tuple[float, float]]:
    """Return the baseline and the font size of each of these texts, from the top."""
    found: list[tuple[float, float]] = []
    for element in svg.iter(f"{SVG}text"):
        if "".join(element.itertext()) in names:
            size = re.search(r"([\d.]+)px", element.attrib["style"])
            moved = re.search(r"translate\(\S+ ([\d.]+)\)", element.attrib.get("transform", ""))
            assert size
            found.append((float(moved[1] if moved else element.attrib["y"]), float(size[1])))
    return sorted(found)


@pytest.mark.parametrize("hosts", [5, 60, 300])
def test_every_host_shown_has_its_name_apart_from_the_others(hosts: int, tmp_path: Path) -> None:
    """Names, symptoms and gaps are text, and no name overlaps the next."""
    timeline = month(hosts)
    svg = drawn(timeline, tmp_path)
    shown = {row.name for row in arrange(timeline).hosts}
    found = places(svg, shown)

    assert len(found) == len(shown) == min(hosts, MOST_HOSTS)
    assert all(lower - upper >= size for (upper, _), (lower, size) in itertools.pairwise(found))
    assert min(size for _, size in found) >= 8
    assert {"journal gaps", "vacuumed away (1 d 6 h)", "index gaps", "a part was cut off (6 h)"} <= set(texts(svg))
    assert "* receiver-down" in texts(svg)


@pytest.mark.parametrize("hosts", [5, 60])
def test_the_legend_has_the_symptoms_that_occur_and_no_others(hosts: int, tmp_path: Path) -> None:
    """Each has the number of its incidents."""
    timeline = month(hosts)
    occurring = [episode.symptom for episode in timeline.episodes]

    legend = [text for text in texts(drawn(timeline, tmp_path)) if text.partition(" (")[0] in style.SYMPTOMS]

    assert sorted(legend) == sorted(f"{symptom} ({occurring.count(symptom)})" for symptom in set(occurring))


def test_of_too_many_hosts_those_in_most_trouble_are_shown(tmp_path: Path) -> None:
    """They are ordered by the time in incidents, then by refusals. The title has the number of hosts left out."""
    timeline = month(300)
    for _ in range(3):
        timeline.add("refused-now-and-then", KINDS.index("client_errors"), SINCE)
    rows = arrange(timeline)
    shown = [row.name for row in rows.hosts]
    lengths = {
        episode.host: (episode.ended_at or UNTIL) - episode.opened_at
        for episode in timeline.episodes
        if episode.host != "*"
    }

    assert rows.left_out == 301 - MOST_HOSTS
    assert set(shown) == set(sorted(lengths, key=lambda host: -lengths[host])[:MOST_HOSTS])
    assert shown == sorted(shown)
    assert texts(drawn(timeline, tmp_path)).count(
        "2026-10-21 00:00 to 2026-11-20 00:00 UTC: 301 hosts, 100 with incidents;"
        " the 80 in most trouble are shown, 221 are left out"
    )


def test_hosts_with_incidents_come_first() -> None:
    """The others follow by name. An expected host without uploads has a row, and `*` has none."""
    timeline = empty()
    for host in ("a", "c", "b"):
        timeline.add(host, 0, SINCE)
    timeline.episodes = [Episode(host, "silent", SINCE, None, 1, "") for host in ("c", "b", "rack-*", "*")]

    rows = arrange(timeline)

    assert [row.name for row in rows.hosts] == ["b", "c", "rack-*", "a"]
    assert [row.name for row in rows.band] == ["silent"]


def test_a_host_that_flaps_is_drawn_at_once(tmp_path: Path) -> None:
    """All of its incidents are one artist: several thousand would take minutes."""
    artists = []
    for incidents in (1, 200):
        timeline = empty()
        timeline.episodes = [
            Episode("pi", "silent", SINCE + n * HOUR_US, SINCE + (n + 1) * HOUR_US, 1, "") for n in range(incidents)
        ]
        svg = drawn(timeline, tmp_path)
        artists.append(sum("patch" in group.get("id", "") for group in svg.iter(f"{SVG}g")))

    assert artists[0] == artists[1]


def test_incidents_that_overlap_do_not_cover_each_other() -> None:
    """Each gets a lane, which is free again after its end. Anything outside the span is cut off or left out."""
    timeline = empty()
    hours = [(-9, 5), (2, 9), (5, 7), (-9, -5)]
    timeline.episodes = [Episode("a", "x", SINCE + a * HOUR_US, SINCE + b * HOUR_US, 1, "") for a, b in hours]

    (row,) = arrange(timeline).hosts

    found = sorted(((bar.since - SINCE) // HOUR_US, (bar.until - SINCE) // HOUR_US, bar.lane) for bar in row.bars)
    assert (row.lanes, found) == (2, [(0, 5, 0), (2, 9, 1), (5, 7, 0)])


def test_gaps_that_overlap_are_one() -> None:
    """The merged gap has each reason once. Anything outside the span is cut off or left out."""
    timeline = empty()
    hours = [(-9, 2, "a"), (1, 3, "b"), (2, 4, "a"), (6, 7, "c"), (-9, -5, "d")]
    timeline.gaps = {"journal": tuple(Gap(SINCE + a * HOUR_US, SINCE + b * HOUR_US, why) for a, b, why in hours)}

    assert arrange(timeline).gaps["journal"] == [
        Gap(SINCE, SINCE + 4 * HOUR_US, "a; b"),
        Gap(SINCE + 6 * HOUR_US, SINCE + 7 * HOUR_US, "c"),
    ]


def test_traffic_is_outlined_where_it_was() -> None:
    """Each run of columns is a shape. Unstamped uploads are not other 4xx, and a small share is visible."""
    timeline = Timeline(0, 10 * HOUR_US, bins=10)
    for at, kinds in ((1, "uploads accepted"), (2, "accepted"), (5, "client_errors unstamped"), (8, "server_errors")):
        for kind in kinds.split():
            timeline.add("a", KINDS.index(kind), at * HOUR_US)
    for _ in range(1000):
        timeline.add("a", KINDS.index("accepted"), 8 * HOUR_US)

    responses = responses_of(timeline, "a")
    spans = {name: [(shape[0][0], max(x for x, _ in shape)) for shape in shapes] for name, shapes in responses.items()}
    (failed,) = responses["server_errors"]

    assert uploads_of(timeline, "a") == [[(1, 0.0), (2, 0.0), (2, 1.0), (1, 1.0)]]
    assert spans == {
        "accepted": [(1, 3), (8, 9)],
        "client_errors": [],
        "unstamped": [(5, 6)],
        "server_errors": [(8, 9)],
    }
    assert max(y for _, y in failed) - min(y for _, y in failed) > 0.3


def test_bins_too_narrow_to_be_seen_share_a_column() -> None:
    """All of their values are in the column."""
    timeline = Timeline(0, 100_000 * SECOND_US, bins=100_000)
    timeline.add("a", 0, 99_999 * SECOND_US)

    ((*_, corner),) = uploads_of(timeline, "a")

    assert corner[0] == 999


def test_a_png_is_as_large_as_its_rows_need(tmp_path: Path) -> None:
    """The width is fixed, and the height grows with the number of hosts."""
    sizes = {}
    for hosts in (5, 60):
        path = tmp_path / f"{hosts}.png"
        draw([month(hosts)], path)
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        sizes[hosts] = struct.unpack(">II", content[16:24])

    assert [width for width, _ in sizes.values()] == [style.WIDTH * style.DPI] * 2
    assert sizes[5][1] < 1100 < 60 * style.LOWEST_ROW * style.DPI < sizes[60][1]


def test_the_same_timeline_gives_the_same_bytes(tmp_path: Path) -> None:
    """The bytes depend on no process, hash seed or setting of matplotlib."""
    settings = tmp_path / "matplotlibrc"
    settings.write_text("font.size: 30\naxes.facecolor: black\n")
    pictures = []
    for seed, rc in (("1", {}), ("2", {"MATPLOTLIBRC": str(settings)})):
        paths = [tmp_path / f"{seed}.{suffix}" for suffix in ("png", "svg")]
        environment = os.environ | rc | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", DRAW_SOME, *paths], env=environment, check=True)
        pictures.append([path.read_bytes() for path in paths])

    assert pictures[0] == pictures[1]


def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    """They are no formula, markup or control characters. Long ones are cut; glyphs that the font lacks are escaped."""
    timeline = empty()
    for host in ("$x_1$", "$unbalanced", "<script>alert(1)</script>", "a\x1b[31mb", "W" * 200, "\u6f22"):
        timeline.add(host, 0, SINCE)
        timeline.episodes.append(Episode(host, "<b>&$y$", SINCE, None, 1, ""))
    timeline.gaps = {"journal": (Gap(SINCE, SINCE + HOUR_US, "$z$ \x1b <i>"),)}

    svg = drawn(timeline, tmp_path)
    draw([timeline], tmp_path / "plot.png")
    written = texts(svg)

    assert {"$x_1$", "$unbalanced", "<script>alert(1)</script>", "a\\x1b[31mb", "\\u6f22"} <= set(written)
    assert "W" * (style.LONGEST_NAME - 1) + "…" in written
    assert "<b>&$y$ (6)" in written
    assert "$z$ \\x1b <i> (1 h)" in written
    assert list(svg.iter(f"{SVG}script")) == []
    assert not re.search("[\x00-\x08\x0b-\x1f]", (tmp_path / "plot.svg").read_text())


@pytest.mark.parametrize(
    "timeline",
    [
        pytest.param(empty(), id="nothing at all"),
        pytest.param(Timeline(SINCE, SINCE, bins=1), id="no time"),
        pytest.param(Timeline(SINCE, SINCE + 1, bins=1), id="hardly any time"),
        pytest.param(Timeline(SINCE, SINCE + 40 * 365 * 24 * HOUR_US, bins=9), id="a life"),
    ],
)
def test_a_stretch_in_which_nothing_happened_can_be_drawn(timeline: Timeline, tmp_path: Path) -> None:
    """The picture says that there is nothing."""
    assert {"no host was seen", "no incidents"} <= set(texts(drawn(timeline, tmp_path)))


@pytest.mark.parametrize(
    ("minutes", "labels"),
    [
        (0.1, ["10-21", "00:00:01", "00:00:02"]),
        (60, ["10-21", "00:05", "00:10"]),
        (36 * 60, ["10-21", "03:00", "06:00"]),
        (30 * 24 * 60, ["10-21", "10-24", "10-27"]),
        (500 * 24 * 60, ["2026-10-21", "2026-12-16", "2027-02-10"]),
    ],
)
def test_ticks_are_round_and_few(minutes: float, labels: list[str]) -> None:
    """They are evenly spaced, count from midnight, and are labelled with the part that changes."""
    until = SINCE + int(minutes * 60 * SECOND_US)
    found = ticks(SINCE, until)
    apart = {later - at for (at, _), (later, _) in itertools.pairwise(found)}

    assert [label for _, label in found[:3]] == labels
    assert len(apart) == 1
    assert 5 <= len(found) <= 13
    assert all(at <= until for at, _ in found)


def test_ticks_count_from_midnight_wherever_the_stretch_begins() -> None:
    """This also holds before the first midnight."""
    found = ticks(SINCE - 5 * HOUR_US - 1, SINCE + 17 * HOUR_US)

    assert [label for _, label in found[:5]] == ["20:00", "22:00", "10-21", "02:00", "04:00"]


@pytest.mark.usefixtures("in_berlin")
def test_ticks_are_round_in_the_local_zone() -> None:
    """This also holds after the clocks were set back: on 2026-10-25 at 01:00 UTC in Berlin."""
    since = SINCE + 3 * 24 * HOUR_US + 19 * HOUR_US
    found = ticks(since, since + 34 * HOUR_US)

    assert [(label, (at - since) // HOUR_US) for at, label in found[:5]] == [
        ("21:00", 0),
        ("10-25", 3),
        ("03:00", 7),
        ("06:00", 10),
        ("09:00", 13),
    ]


@pytest.mark.parametrize("lacking", SEEN_WITHOUT)
def test_the_colours_of_a_row_are_told_apart_by_everyone(lacking: str) -> None:
    """Colours of traffic, and of the incidents of one host, differ plainly with any kind of colour blindness."""
    for colors in ([color for color, _ in style.TRAFFIC.values()], [style.SYMPTOMS[symptom] for symptom in PER_HOST]):
        for one, other in itertools.combinations(colors, 2):
            assert math.dist(as_seen(one, lacking), as_seen(other, lacking)) > 15, (one, other)


def as_seen(color: str, lacking: str) -> tuple[float, float, float]:
    """Return a colour in CIE Lab, as it is seen if these cones are missing."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    seen = [min(1, max(0, sum(map(operator.mul, row, linear)))) for row in SEEN_WITHOUT[lacking]]
    x, y, z = (
        value ** (1 / 3) if (value := sum(map(operator.mul, row, seen))) > 0.008856 else 7.787 * value + 16 / 116
        for row in ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0178, 0.1095, 0.8727))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_an_old_picture_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    """The new file has the mode of newly created files."""
    path = tmp_path / "plot.svg"
    path.write_text("old")
    umask = os.umask(0o027)
    try:
        draw([empty()], path)
    finally:
        os.umask(umask)

    assert path.read_bytes().startswith(b"<?xml")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["plot.svg"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The file or directory at that path does not change."""
    (tmp_path / "directory.svg").mkdir()

    with pytest.raises(PlotError, match=r"missing/plot\.svg: No such file or directory"):
        draw([empty()], tmp_path / "missing" / "plot.svg")
    with pytest.raises(PlotError, match=r"directory\.svg: Is a directory"):
        draw([empty()], tmp_path / "directory.svg")
    assert [entry.name for entry in tmp_path.iterdir()] == ["directory.svg"]


@pytest.mark.parametrize("name", ["plot", "plot.pdf", "svg", ".svg", "plot.svg.gz", ""])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    """The error lists the accepted suffixes, on the command line and in the call."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a name that ends in \.svg or \.png"):
        plot_format(name)
    with pytest.raises(PlotError, match=r"expected a name that ends in \.svg or \.png"):
        draw([empty()], tmp_path / "a" / name)


@pytest.mark.parametrize("name", ["plot.svg", "plot.PNG", "a/b.svg"])
def test_a_known_suffix_is_taken(name: str) -> None:
    """Upper case is accepted too."""
    assert plot_format(name) == Path(name)


def test_a_matplotlib_that_is_not_whole_is_named(tmp_path: Path) -> None:
    """An upgrade of one of its dependencies can break its import."""
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ImportError('no numpy of that kind')")
    done = subprocess.run(
        [sys.executable, "-c", DRAW_SOME, tmp_path / "plot.svg"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr.splitlines()[-1].endswith(
        "PlotError: matplotlib is installed, but cannot be imported: no numpy of that kind"
    )


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file is written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(PlotError, match=r"packaging/install\.sh --with-plot"):
        draw([empty()], tmp_path / "plot.svg")
    assert list(tmp_path.iterdir()) == []
