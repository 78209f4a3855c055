"""The status line, and the log, which agrees with it on the sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.incident import Incident
from fleet_health.alerting.lifecycle import Action, Decision, Reason, State
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.model.coverage import Gap
from fleet_health.parsing.rejection import Rejection
from fleet_health.service.status import starting_line, status_line
from fleet_health.sources.state import Phase, SourceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Service, Site, StartService

NOW = 1_795_000_000_000_000  # 2026-11-18T11:06:40Z

READ_SLOWLY = """
import time
from fleet_health.sources.index.tail import Tail

read = Tail.read

def read_slowly(self):
    time.sleep(1.2)
    return read(self)

Tail.read = read_slowly
"""

FAIL_TO_READ = """
import os
from fleet_health.sources.index import open_file

class Broken:
    def __getattr__(self, name):
        return getattr(os, name)
    def pread(self, *_):
        raise OSError(5, "Input/output error")

open_file.os = Broken()
"""


def source(**rejected: int) -> SourceState:
    """Make the state of an index that is followed, with so many rejections for each reason."""
    state = SourceState("index", phase=Phase.FOLLOWING, seen_until=NOW - 3_000_000)
    for reason, count in rejected.items():
        state.rejections.add([Rejection(reason.replace("_", " "), "x")] * count)
    return state


def test_everything_is_in_one_line() -> None:
    """Problems come first, because the end may be cut off."""
    decisions = [
        Decision(Incident(host, symptom, NOW), state, Action.NONE, Reason.NOTIFIED_THIS_HOUR)
        for host, symptom, state in (
            ("a", "silent", State.FIRING),
            ("b", "silent", State.FIRING),
            ("c", "x", State.FIRING),
            ("d", "silent", State.PENDING),
            ("e", "silent", State.RESOLVED),
        )
    ]
    line = status_line(
        hosts_by_state={"firing": 3, "pending": 1, "well": 3},
        sources=[source(not_JSON=2), SourceState("journal", phase=Phase.WAITING, reason="there is none")],
        last=Evaluation(NOW - 2_000_000, (), not_evaluated=("unstamped",)),
        next_at=NOW + 5_000_000,
        decisions=decisions,
        problems=["reload refused: tick"],
        now=NOW,
    )

    assert line == (
        "reload refused: tick; Watching 7 hosts: 3 firing, 1 pending, 3 well;"
        " index following, 3 s behind, 2 rejected (2 not JSON);"
        " journal waiting (there is none); incidents: 3 firing (2 silent, 1 x), 1 pending; not evaluated: unstamped;"
        " last tick 11:06:38; next 11:06:45 UTC"
    )


def test_before_the_first_tick_the_line_has_no_incidents() -> None:
    """It shows neither firing incidents nor the last tick."""
    line = status_line(
        hosts_by_state={"well": 1}, sources=[], last=None, next_at=None, decisions=[], problems=[], now=NOW
    )

    assert line == "Watching 1 host"


def test_while_starting_the_progress_is_shown() -> None:
    """How much of each source was read."""
    state = SourceState("journal", read=12_345)

    assert starting_line([state], NOW) == "Starting: journal catching up, 12345 read"


@pytest.mark.parametrize(
    ("rejected", "words"),
    [
        pytest.param({}, "", id="none are not mentioned"),
        pytest.param({"time_without_offset": 2, "not_JSON": 3}, ", 5 rejected (3 not JSON, 2 time without offset)"),
        pytest.param(
            {"a": 1, "b": 4, "c": 2, "d": 3}, ", 10 rejected (4 b, 3 d, 2 c, 1 for 1 other reason)", id="one too many"
        ),
        pytest.param(
            {"a": 5, "b": 5, "c": 6, "d": 4, "e": 1},
            ", 21 rejected (6 c, 5 a, 5 b, 5 for 2 other reasons)",
            id="no more than three reasons are named",
        ),
    ],
)
def test_rejections_are_shown_by_reason(rejected: dict[str, int], words: str) -> None:
    """The three most common reasons first; the others are counted together."""
    assert source(**rejected).summary(NOW) == f"index following, 3 s behind{words}"


@pytest.mark.parametrize("starting", [True, False])
def test_a_path_cannot_break_the_line(starting: bool) -> None:  # noqa: FBT001 - the case
    """Newlines in a path are escaped: systemd would end the status there."""
    states = [SourceState("index", phase=Phase.WAITING, reason="/srv/\n\x1b[31m\u202e: none")]
    line = (
        starting_line(states, NOW)
        if starting
        else status_line(
            hosts_by_state={},
            sources=states,
            last=None,
            next_at=None,
            decisions=[],
            problems=["\n"],
            now=NOW,
        )
    )

    assert line.endswith(r"index waiting (/srv/\n\x1b[31m\u202e: none)")
    assert "\n" not in line


def follow(site: Site) -> str:
    """Make an index that is read without problems."""
    site.upload("pi-01")
    return ""


def fall_behind(site: Site) -> str:
    """Make an index on a slow disk, with more than one read returns."""
    site.upload(*(f"host-{number}" for number in range(9000)))
    return READ_SLOWLY


def wait(_site: Site) -> str:
    """Remove the index."""
    return ""


def be_refused(site: Site) -> str:
    """Replace the index by a directory."""
    site.index.mkdir()
    return ""


def fail(site: Site) -> str:
    """Put the index on a disk with errors."""
    site.upload("pi-01")
    return FAIL_TO_READ


@pytest.mark.parametrize(
    ("bring_about", "state"),
    [
        (follow, "following, "),
        (fall_behind, "catching up, "),
        (wait, "waiting ("),
        (be_refused, "refused ("),
        (fail, "failing ("),
    ],
)
def test_each_state_of_a_source_is_in_the_status(
    bring_about: Callable[[Site], str], state: str, site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """All five states are shown."""
    with start_altered_service(site, bring_about(site)) as service:
        service.until(lambda: f"index {state}" in service.notify.status, f"the status: {state}")


@pytest.mark.parametrize(
    ("bring_about", "state"),
    [(follow, "following, "), (wait, "waiting ("), (be_refused, "refused ("), (fail, "failing (")],
)
def test_each_state_of_a_source_is_in_the_log(
    bring_about: Callable[[Site], str], state: str, site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """With the reason, when it changes, and when the service is ready."""
    with start_altered_service(site, bring_about(site)) as service:
        service.until_ready()
        service.until(lambda: service.events("ready"), "the log")
        (ready,) = service.events("ready")
        lost = [line["state"] for line in service.events("source not available") if line["source"] == "index"]
        found = [line for line in service.events("source caught up") if line["source"] == "index"]

    assert ready["sources"][0].startswith(f"index {state}")
    assert (lost, len(found)) == (([], 1) if state.startswith("following") else ([state.removesuffix(" (")], 0))


def test_rejections_are_in_the_log_by_reason_and_at_a_bounded_rate(site: Site, start_service: StartService) -> None:
    """Each reason has a line with its count and latest example, once a minute. The status keeps counting."""
    garbage = b'not JSON\n{"host_id": "pi-01", "received_at_wall": "2026-11-23T00:00:00"}\nneither\x1b\n'
    site.index.write_bytes(garbage)
    with start_service(site) as service:
        service.until(lambda: service.events("lines rejected"), "the rejections")
        with site.index.open("ab") as index:
            index.write(garbage * 100)
        words = "303 rejected (202 not JSON, 101 time without offset)"
        service.until(lambda: words in service.notify.status, "the status")
        service.until_evaluated_anew()
        said = [(line["source"], line["reason"], line["count"]) for line in service.events("lines rejected")]
        latest = service.events("lines rejected")[0]["latest"]

    assert said == [("index", "not JSON", 2), ("index", "time without offset", 1)]
    assert latest == r"neither\x1b"


@pytest.mark.usefixtures("in_berlin")
def test_times_are_local() -> None:
    """Those of ticks, gaps and problems, as in `fleet-health status`."""
    journal = SourceState("journal", phase=Phase.FOLLOWING, seen_until=NOW)
    journal.gaps = [Gap(NOW - 60_000_000, NOW, "suppressed")]
    line = status_line(
        hosts_by_state={"well": 1},
        sources=[journal],
        last=Evaluation(NOW, ()),
        next_at=NOW + 5_000_000,
        decisions=[],
        problems=["the clock is behind the state, which goes up to 2026-07-01T00:00:00Z"],
        now=NOW,
    )

    assert line == (
        "the clock is behind the state, which goes up to 2026-07-01 02:00:00+02:00; Watching 1 host: 1 well;"
        " journal following, 0 s behind, 1 gap (suppressed, from 2026-11-18 12:05:40+01:00 to"
        " 2026-11-18 12:06:40+01:00); incidents: 0 firing; last tick 12:06:40; next 12:06:45 +01:00"
    )
