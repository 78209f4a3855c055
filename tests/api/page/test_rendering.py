"""The page as HTML: what it says, and that nothing in a document can become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.api.page import drawing, rendering, view
from fleet_health.api.page.facts import INCIDENTS, open_incidents
from fleet_health.api.states import STATES
from tests.api.test_one_truth import NOW, known_of
from tests.rig.properties import tried

WALL = "2026-11-23T18:55:00+00:00"
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "`a` and `b",
    "javascript:alert(1)",
    "\u202egnp.exe\x00\x1b[31m\ud800",
    "2026-11-23T18:55:00+00:00</time>",
)


class Outline(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, except those that only divide text."""
        if tag not in {"code", "time"}:
            self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def incident(state: str = "firing", text: str = "text", **more: Any) -> dict[str, Any]:
    """Make an incident, with a given text in all places that others control."""
    return {
        "id": "1",
        "host": text,
        "symptom": "silent",
        "state": state,
        "action": "none",
        "reason": "repeat-not-due",
        "reason_detail": "",
        "opened_wall": WALL,
        "lasting_s": 1_860.0,
        "last_notified_wall": WALL,
        "detail": text,
        "suggested_fix": text,
        "why": text,
    } | more


def host(name: str = "pi-1", state: str = "well", **more: Any) -> dict[str, Any]:
    """Make a host."""
    return {
        "host": name,
        "state": state,
        "receiver": "",
        "incidents": [],
        "hidden": [],
        "last_upload_wall": WALL,
        "last_upload_age_s": 61.0,
        "window_s": 1_800.0,
        "responses": {"2xx": 12, "4xx": 0, "5xx": 3, "unstamped": 0},
        "strip": "ssss....    rrrrbbbbssss",
        "long_strip": "ssss....    rrrrbbbbssss",
        "silences": [],
    } | more


def document(*hosts: dict[str, Any], text: str = "text", **more: Any) -> dict[str, Any]:
    """Make the document of an overview."""
    by_state = {one["state"]: sum(one["state"] == each["state"] for each in hosts) for one in hosts}
    return {
        "version": 1,
        "at_wall": WALL,
        "is_evaluated": True,
        "is_blind": False,
        "health": "ok",
        "problems": [],
        "sources": [{"name": "index", "is_seeing": True, "summary": text}],
        "last_tick_wall": WALL,
        "next_tick_wall": WALL,
        "not_evaluated": [],
        "hidden_by_symptom": {},
        "hosts_by_state": by_state,
        "incidents_by_state": {},
        "fleet_incidents": [],
        "receivers": [],
        "strip_bin_s": 900,
        "hosts_matching": len(hosts),
        "hosts": list(hosts),
        "silences": [],
        "mute_windows": [],
        "open": [],
        "open_matching": 0,
    } | more


def with_everything(text: str) -> dict[str, Any]:
    """Make a document with a given text in all places that others control."""
    states = ["firing", "pending"] * view.WHOLE
    silence = {
        "id": text,
        "hosts": text,
        "symptom": None,
        "is_until_resolved": True,
        "ends_at_wall": WALL,
        "author": text,
        "reason": text,
    }
    return document(
        *(host(text, state, incidents=[incident(state, text)], receiver="eu") for state in STATES),
        text=text,
        problems=[text],
        sources=[{"name": "index", "is_seeing": False, "summary": text}],
        not_evaluated=["silent"],
        receivers=["eu"],
        silences=[silence],
        mute_windows=[{"hosts": [text], "until_wall": WALL}],
        open=[incident(state, text) for state in states],
        open_matching=len(states) + 1,
    )


def outline(shown: dict[str, Any], wanted: view.Filter | None = None) -> Outline:
    """Render an overview, and parse it."""
    return Outline(rendering.overview(shown, wanted or view.Filter()))


@tried(30)
@given(st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=30))
def test_no_text_becomes_markup(text: str) -> None:
    """The page has the same elements whatever the hosts and texts are."""
    harmless = outline(with_everything("x"), view.Filter(("x",)))
    page = outline(with_everything(text), view.Filter((text,)))

    assert page.elements == harmless.elements
    assert not any(link.lower().startswith(("javascript:", "data:", "//", "http")) for link in page.links)
    assert not re.search(r"[\x00\x1b\u202e]", page.text)


def test_nothing_is_loaded_from_elsewhere() -> None:
    """There are no scripts, styles or handlers within the page either: the policy forbids them."""
    page = outline(with_everything("x"))
    names = {name for _, attributes in page.elements for name in attributes}

    assert all(link.startswith(("./", "#", "?")) for link in page.links)
    assert not {name for name in names if name.startswith("on")} | names & {"style"}
    assert [attributes for tag, attributes in page.elements if tag in {"script", "style"}] == [("src", "defer")]


def test_each_incident_shows_what_to_do_and_why() -> None:
    """The finding, the suggested fix, the begin, and why it is notified or not."""
    one = incident(host="pi-7", detail="no upload", suggested_fix="run `reboot`", why="a silence suppresses it (6f2c)")

    text = outline(document(host("pi-7", "silenced"), open=[one], open_matching=1)).text

    for words in ("pi-7", "for 31m", "18:55:00", "no upload", "run reboot", "a silence suppresses it (6f2c)"):
        assert words in text


def test_an_incident_that_is_no_longer_found() -> None:
    """It has no finding and no suggested fix."""
    text = outline(document(open=[incident("unconfirmed", detail="", suggested_fix="")], open_matching=1)).text

    assert "no longer found, but no newer fact shows a recovery" in text
    assert "What to do" not in text


@pytest.mark.parametrize(
    ("changes", "mood", "words", "badge"),
    [
        pytest.param({}, "well", "All 2 hosts are well", "2 hosts", id="well"),
        pytest.param({"hosts_by_state": {"well": 1}}, "well", "The only host is well", "1 host", id="one host"),
        pytest.param({"hosts_by_state": {}}, "starting", "No host is known yet", "no hosts", id="empty"),
        pytest.param(
            {"hosts_by_state": {"well": 1, "silenced": 1}}, "well", "Nothing needs attention", "2 hosts", id="silenced"
        ),
        pytest.param(
            {"incidents_by_state": {"firing": 1}}, "firing", "1 incident firing", "1 firing", id="one incident"
        ),
        pytest.param(
            {"incidents_by_state": {"firing": 2}, "is_blind": True},
            "firing",
            "2 incidents firing; not every source can be read",
            "2 firing",
            id="blind and firing",
        ),
        pytest.param({"is_blind": True}, "blind", "Blind: not every source can be read", "blind", id="blind"),
        pytest.param(
            {"is_evaluated": False, "is_blind": True, "health": "starting"},
            "starting",
            "Starting: the sources are being read",
            "starting",
            id="just started",
        ),
        pytest.param({"health": "stuck"}, "firing", "Evaluation overdue", "stuck", id="stuck"),
        pytest.param(
            {"incidents_by_state": {"flapping": 1, "unconfirmed": 2}, "hidden_by_symptom": {"silent": 3}},
            "doubt",
            "In doubt: 2 unconfirmed; 1 flapping; cannot be ruled out: silent of 3 hosts",
            "in doubt",
            id="in doubt",
        ),
        pytest.param(
            {"problems": ["the disk is full"]}, "doubt", "The service itself has a problem", "in doubt", id="a problem"
        ),
    ],
)
def test_the_state_is_in_one_line(changes: dict[str, Any], mood: str, words: str, badge: str) -> None:
    """In the heading, the title, the favicon and the badge."""
    shown = document(host("a"), host("b")) | changes
    page = rendering.overview(shown, view.Filter()).decode()

    assert f"<h1>{words}</h1>" in page
    assert f"<title>{words} · " in page
    assert f'href="./icons/{mood}.svg"' in page
    assert view.badge_words(shown) == badge
    assert drawing.favicon(mood).startswith("<svg ")


def test_a_source_that_is_still_being_read_is_no_problem() -> None:
    """During the start it is shown as starting, later as blind."""
    unseen = {"name": "index", "is_seeing": False, "summary": "index catching up"}
    signs = [
        re.findall(r'<ul class="sources">\s*<li class="(\w+)">', rendering.overview(shown, view.Filter()).decode())
        for shown in (document(sources=[unseen]), document(sources=[unseen], is_evaluated=False))
    ]

    assert signs == [["bad"], ["calm"]]


def test_states_are_shapes_and_words() -> None:
    """Each state has an icon of its own and its word."""
    page = rendering.overview(document(*(host(state, state) for state in STATES)), view.Filter()).decode()
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0]

    assert re.findall(r'href="#i-([\w-]+)"', rows) == list(STATES)
    assert re.findall(r"<b>([\w-]+)</b>", rows) == list(STATES)
    assert set(re.findall(r'<symbol id="i-([\w-]+)"', page)) >= {*STATES, *drawing.MOODS}


@pytest.mark.parametrize(
    ("bins", "paths", "words"),
    [
        ("ss..", '<path class="u" d="M0 4h2"/><path class="n" d="M2 7.5h2"/>', "uploads in 2 of 4 quarter-hours"),
        ("s s ", '<path class="u" d="M0 4h1M2 4h1"/>', "uploads in 2 of 2 quarter-hours"),
        (
            "rbb",
            '<path class="r" d="M0 6.5h1M1 6.5h2"/><path class="t" d="M1 2h2"/>',
            "uploads in 2 of 3 quarter-hours, refusals in 3",
        ),
        ("   ", "", "not watched"),
    ],
)
def test_a_strip_is_drawn_and_described(bins: str, paths: str, words: str) -> None:
    """One bar for each run, and the same in words."""
    drawn = str(drawing.strip(bins))

    assert re.sub(r"^<svg[^>]*>|</svg>$", "", drawn) == paths
    assert f'aria-label="{words}"' in drawn
    assert f'viewBox="0 0 {len(bins)} 8"' in drawn


def test_the_badge_has_a_text() -> None:
    """For browsers that show no images."""
    drawn = drawing.badge("firing", "2 <firing>")

    assert "<title>fleet: 2 &lt;firing&gt;</title>" in drawn


def test_filters_are_links() -> None:
    """Each state links to its hosts, within the same globs. Links to other pages keep both."""
    wanted = view.Filter(("pi-*", "a&b"), ("firing",), 2)
    shown = document(*[host()] * 3, hosts_by_state={"firing": 600, "well": 1}, hosts_matching=600)
    links = {chip.state: chip.href for chip in view.chips(shown, wanted)}
    pager = view.pager(shown, wanted)

    assert links == {
        "": "?host=pi-%2A&host=a%26b",
        "firing": "?host=pi-%2A&host=a%26b&state=firing",
        "well": "?host=pi-%2A&host=a%26b&state=well",
    }
    assert pager.earlier == links["firing"]
    assert pager.later == f"{links['firing']}&page=3"
    assert (pager.first, pager.last, pager.total) == (view.PAGE + 1, view.PAGE + 3, 600)
    assert view.Filter().query() == "./"


def test_the_first_and_the_last_page_lead_no_further() -> None:
    """There is no link before the first page, and none after the last."""
    first = view.pager(document(*[host()] * 3), view.Filter())
    beyond = view.pager(document(hosts_matching=3), view.Filter(number=9))

    assert (first.earlier, first.later) == ("", "")
    assert beyond.later == ""


def test_open_incidents_are_sorted_and_limited() -> None:
    """Worst state first, without incidents of hosts that are not selected."""
    known, *_ = known_of([], lambda *_: None)
    all_of_them = open_incidents(known, lambda _: True, frozenset())
    none = open_incidents(known, lambda _: False, frozenset())

    assert [(one["host"], one["symptom"]) for one in all_of_them["open"]] == [
        ("a", "never-seen"),
        ("absent", "never-seen"),
    ]
    assert all(one["why"] and one["suggested_fix"] for one in all_of_them["open"])
    assert none == {"open_matching": 0, "open": []}
    assert all_of_them["open_matching"] <= INCIDENTS
    assert NOW


def test_files_only_link_to_each_other() -> None:
    """They have no form and no pages of hosts."""
    files = rendering.files(document(host(), hosts_matching=1_200, open=[incident(host="pi-1")], open_matching=1))
    pages = {name: Outline(page) for name, page in files.items() if name.endswith(".html")}
    there = {f"./{name}" for name in files} | {"./page.css", "./page.js"}

    assert pages.keys() == {"index.html", "silences.html", "wall.html"}
    for page in pages.values():
        assert "form" not in {tag for tag, _ in page.elements}
        assert {link for link in page.links if not link.startswith("#")} <= there
    assert "1 to 1 of 1200, worst state first" in pages["index.html"].text
    assert files["badge.svg"].startswith(b"<svg ")


def explained(text: str = "text", **more: Any) -> dict[str, Any]:
    """Make the document of a host, with a given text in all places that others control."""
    figure = {"name": "uploads", "value": text, "limit": text, "is_met": True, "key": "a.b", "setting": text}
    verdict = {
        "symptom": "silent",
        "is_evaluated": True,
        "is_found": True,
        "holds_now": True,
        "is_hidden": False,
        "figures": [{**figure, "origin": text}, {**figure, "origin": text, "is_met": False}],
        "incident": incident(text=text),
        "why": text,
        "next_alert_wall": WALL,
        "would_fire_wall": None,
        "no_input": text,
    }
    over = {"symptom": "unstamped", "state": "resolved", "opened_wall": "2026-11-22T10:00:00+00:00"}
    return {
        **host(text, "firing"),
        "at_wall": WALL,
        "last_tick_wall": WALL,
        "next_tick_wall": WALL,
        "strip_bin_s": 900,
        "clock": text,
        "counted_since_wall": None,
        "counted_in_steps_of_s": None,
        "detectors": [verdict, {**verdict, "incident": None, "is_found": False}],
        "evidence": {"samples": [text], "command": text, "reason": text},
        "silences": [text],
        "open": [incident(text=text)],
        "ended": [{**over, "ended_wall": "2026-11-22T11:30:00+00:00"}],
    } | more


@tried(30)
@given(st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=30))
def test_no_text_of_a_host_becomes_markup(text: str) -> None:
    """Neither on the pages of a host and of the silences, nor on the wall and in the badge."""
    for render in (rendering.silences, rendering.wall):
        assert Outline(render(with_everything(text))).elements == Outline(render(with_everything("x"))).elements
    page, harmless = Outline(rendering.host(explained(f"a{text}"))), Outline(rendering.host(explained("x")))

    assert page.elements == harmless.elements
    assert all(link.startswith(("../", "#")) for link in page.links)
    assert not re.search(r"[\x00\x1b\u202e]", page.text)


def test_the_page_of_a_host() -> None:
    """Figures with settings, incidents with durations, sample lines, and commands to copy."""
    page = rendering.host(explained("pi 7", host="pi-7", evidence={"samples": ["PUT 412"], "command": "journalctl -x"}))
    text = Outline(page).text

    for words in ("a.b = pi 7", "1h30m", "PUT 412", "journalctl -x", "fleet-health explain pi-7", "silent", "resolved"):
        assert words in text
    assert b"<title>pi-7: firing \xc2\xb7 fleet-health</title>" in page
    assert b'href="../icons/firing.svg"' in page


def test_a_command_quotes_a_name() -> None:
    """A copied command runs nothing that is in a name."""
    (command, *_) = [words for _, words in view.commands(explained("x", host="*@eu;reboot", evidence={}))]

    assert command == "fleet-health explain '*@eu;reboot'"


def test_the_page_of_the_fleet_has_no_strip() -> None:
    """The fleet as a whole uploads nothing."""
    page = rendering.host(explained(host="*", evidence={}, open=[], ended=[])).decode()

    assert "the fleet as a whole" in page
    assert 'class="strip"' not in page


def test_a_timeline_keeps_within_its_bounds() -> None:
    """Earlier begins are cut off, open incidents end at its end, and short ones stay visible."""
    shown = explained(
        open=[incident(opened_wall="2026-01-01T00:00:00+00:00")],
        ended=[{"symptom": "x", "state": "resolved", "opened_wall": WALL, "ended_wall": WALL}],
    )

    drawn = str(view.timeline_of(shown, view.bars(shown)))

    bars = [
        (int(x), int(width)) for x, width in re.findall(r'class="bar [\w-]+" x="(\d+)" y="\d+" width="(\d+)"', drawn)
    ]
    assert bars == [(0, drawing.WIDTH), (drawing.WIDTH - 4, 4)]
    assert re.findall(r'class="axis"[^>]*>([\d-]+)<', drawn) == [f"11-{day}" for day in range(17, 24)]
