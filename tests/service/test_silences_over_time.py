"""Silences in the service over hours and days: its parts as they are, on a clock that is set by hand."""

from __future__ import annotations

import json
import os
import pwd
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import msgspec
import pytest
from structlog.testing import capture_logs

from fleet_health.alerting.silences import SilenceRecord, SilenceWatch
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.api.requests import RequestError
from fleet_health.api.silence_requests import SilenceRequests
from fleet_health.service import clock
from tests.oracle.assembled_service import AssembledService, Clock
from tests.rig.site import index_row, iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.oracle.limits import Limits

MINUTE, HOUR = 60_000_000, 3_600_000_000
TICK = 5 * MINUTE
NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
ME = pwd.getpwuid(os.geteuid()).pw_name
WELL, DEAD, DIES = "well", "dead", "dies"


class _AsConfigured:
    """Limits that are all as configured."""

    def applied_to(self, base: Any) -> Any:
        return base


class Life(AssembledService):
    """Several runs of the service, each restored from the saved state of the one before."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock(NOON)
        self.state = directory / "silences.json"
        self._incidents, self._silences = b"", b""
        super().__init__(directory, [], self.clock)
        self.begin()

    def begin(self) -> None:
        """Begin a run, from the saved state of the one before."""
        self.start(cast("Limits", _AsConfigured()))
        self._evaluator.switch(are_notices_recorded=True)
        if self._incidents:
            self._engine.incidents.restore(msgspec.json.decode(self._incidents, type=Snapshot))
            records = msgspec.json.decode(self._silences, type=dict[str, SilenceRecord])
            self._evaluator._silencing.watch = SilenceWatch(records)

    def restart(self) -> None:
        """End this run, and begin another one."""
        self._incidents = msgspec.json.encode(self._engine.incidents.snapshot())
        self._silences = msgspec.json.encode(self._evaluator._silencing.watch.records)
        self.die()
        self.begin()

    def upload(self, *hosts: str, minutes_ago: int = 0) -> None:
        """Let hosts upload once."""
        at = self.clock.wall - minutes_ago * MINUTE
        with self.index.open("ab") as index:
            index.write(b"".join(index_row(host, at) for host in hosts))

    def tick(self, count: int = 1, *, uploads: tuple[str, ...] = ()) -> None:
        """Let ticks pass. A well host and those in `uploads` upload before each."""
        for _ in range(count):
            self.clock.wall += TICK
            self.clock.monotonic += TICK
            self.upload(WELL, *uploads)
            self.evaluate()
        self.write_alerts()

    def silence(self, hosts: str, **request: Any) -> dict[str, Any]:
        """Request a silence, and return the reply."""
        asked = {"hosts": hosts, "symptom": None, "reason": "being mended", **request}
        return self._ask("add", asked)

    def end(self, what: str) -> list[dict[str, Any]]:
        """Request the end of silences, and return them."""
        silences: list[dict[str, Any]] = self._ask("end", {"id": what})["silences"]
        return silences

    def told(self) -> list[tuple[str, str]]:
        """Return the notifications of silent hosts so far, in order, with their status, which is empty for an alert."""
        rows = map(json.loads, self.alerts.read_text().splitlines()) if self.alerts.exists() else ()
        return [(row["host"], row.get("status", "")) for row in rows if row["symptom"] == "silent"]

    def in_file(self) -> list[dict[str, Any]]:
        """Return the silences in the file."""
        silences: list[dict[str, Any]] = json.loads(self.state.read_text())["silences"]
        return silences

    def _ask(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        async def known_hosts() -> list[str]:
            return [WELL, DEAD, DIES]

        requests = SilenceRequests(self._evaluator._silencing, known_hosts, lambda: self._engine.incidents, tuple)
        with patch.object(clock, "now", lambda: self.clock.wall):
            answer = self._loop.run_until_complete(getattr(requests, what)(request, os.geteuid()))
        return cast("dict[str, Any]", answer)


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    """Return a running service."""
    life = Life(tmp_path)
    yield life
    life.close()


@pytest.fixture
def log() -> Iterator[list[Any]]:
    """Return the events that are logged during the test."""
    with capture_logs() as events:
        yield events


def events_of(log: list[Any]) -> list[tuple[str, str | None]]:
    """Return the logged events of silences, each with the user who ended it, if any."""
    return [(one["event"], one.get("by")) for one in log if one["event"].startswith("silence")]


def test_what_is_acknowledged_stays_quiet_for_days_and_over_a_restart_until_it_is_resolved(
    life: Life, log: list[Any]
) -> None:
    """Meanwhile its host is lost, another host falls silent, and the service restarts: only the other is notified."""
    life.upload(DEAD, DIES, minutes_ago=20)
    life.tick(6, uploads=(DIES,))
    made = life.silence("d*", is_until_resolved=True)
    life.tick(5 * 12)
    life.restart()
    life.tick(48 * 12)
    state = next(one for one in life._engine.decisions if one.incident.host == DEAD)
    before = life.told()
    life.tick(2, uploads=(DEAD,))
    resolved = life.told()[len(before) :]
    life.tick(8)

    assert made["incidents"] == [(DEAD, "silent")]
    assert (state.state, state.reason) == ("silenced", "acknowledged")
    assert [status for host, status in before if host == DEAD] == [""]
    assert before.count((DIES, "")) > 20
    assert resolved == [(DEAD, "resolved")]
    assert [status for host, status in life.told() if host == DEAD] == ["", "resolved", ""]
    assert [(one["is_until_resolved"], one["is_resolved"], one["ended_by"]) for one in life.in_file()] == [
        (True, True, None)
    ]
    assert events_of(log) == [("silence made", None), ("silence ended, incidents resolved", None)]


def test_an_acknowledgement_that_nobody_resolves_ends_in_a_notification(life: Life, log: list[Any]) -> None:
    """It ends at the requested time, although its host is older than every lookback by then."""
    life.upload(DEAD, minutes_ago=30)
    life.tick(2)
    life.silence(DEAD, is_until_resolved=True, for_s=30 * 3600)
    life.tick(30 * 12 - 1)
    quiet = life.told()
    life.tick(2)

    assert quiet == [(DEAD, "")]
    assert life.told() == [(DEAD, ""), (DEAD, "lost")]
    assert events_of(log) == [("silence made", None), ("silence expired, incidents still open", None)]


def test_what_is_well_cannot_be_acknowledged(life: Life) -> None:
    """The error says what to do instead, and nothing is written."""
    life.tick()
    with pytest.raises(RequestError, match=r"well has no open incident that could be ack.*; use --for to silence"):
        life.silence(WELL, is_until_resolved=True)

    assert not life.state.exists()


def test_a_planned_silence_begins_at_its_time_and_is_ended_by_its_hosts(life: Life, log: list[Any]) -> None:
    """This holds over a restart. Each step is logged once with its user. An early end notifies again."""
    life.upload(DEAD, minutes_ago=30)
    starts_at = NOON + 2 * HOUR
    life.silence(DEAD, starts_at_wall=iso(starts_at), for_s=10 * 3600)
    life.silence("bench-*", starts_at_wall=iso(starts_at), ends_at_wall=iso(starts_at + MINUTE))
    life.tick(23)
    before = life.told()
    life.restart()
    life.tick(3 * 12)
    during = life.told()
    ended = life.end("d*")
    life.tick()

    assert (before, during) == ([(DEAD, "")] * 2, [(DEAD, "")] * 2)
    assert life.told() == [(DEAD, "")] * 3
    assert [(one["hosts"], one["ended_by"]) for one in ended] == [(DEAD, ME)]
    assert events_of(log) == [
        ("silence made", None),
        ("silence made", None),
        ("silence begun", None),
        ("silence begun", None),
        ("silence expired, never matched an incident", None),
        ("silence ended early", ME),
        ("silence expired, incidents still open", None),
    ]


def test_a_planned_silence_that_is_ended_before_its_begin_never_holds(life: Life, log: list[Any]) -> None:
    """It is not logged as a silence without effect."""
    life.silence(DEAD, starts_at_wall=iso(NOON + 2 * HOUR), for_s=3600)
    life.tick()
    life.end(DEAD)
    life.tick(30)

    assert events_of(log) == [("silence made", None), ("silence ended early", ME)]


def test_the_end_of_an_acknowledgement_waits_for_a_disk_that_takes_it(life: Life, log: list[Any]) -> None:
    """The failure is logged once. Nothing is suppressed meanwhile, and the end is written once that succeeds."""
    life.upload(DEAD, minutes_ago=30)
    life.tick(2)
    life.silence(DEAD, is_until_resolved=True)
    lock = life.state.with_name("silences.lock")
    lock.unlink()
    lock.mkdir()
    life.tick(2, uploads=(DEAD,))
    life.tick(7)
    waiting, alerted = life.in_file(), life.told()
    lock.rmdir()
    life.tick()

    assert [one["is_resolved"] for one in waiting] == [False]
    assert alerted == [(DEAD, ""), (DEAD, "resolved"), (DEAD, "")]
    assert [one["is_resolved"] for one in life.in_file()] == [True]
    assert events_of(log) == [
        ("silence made", None),
        ("silences resolved, their end not written", None),
        ("silence ended, incidents resolved", None),
    ]


def test_a_restart_before_the_next_evaluation_logs_nothing_twice(life: Life, log: list[Any]) -> None:
    """The next service knows that the silence was logged, even if it has not begun."""
    life.tick()
    life.silence(DEAD, for_s=3600)
    life.silence(DIES, starts_at_wall=iso(life.clock.wall + HOUR), for_s=3600)
    life.restart()
    life.tick(14)

    assert [one for one in events_of(log) if "expired" not in one[0]] == [
        ("silence made", None),
        ("silence made", None),
        ("silence begun", None),
    ]


def test_while_the_saved_incidents_are_not_known_no_acknowledgement_ends(life: Life) -> None:
    """The incidents may be open: their disk hangs, and they are restored once it responds."""
    life.upload(DEAD, minutes_ago=30)
    life.tick(2)
    life.silence(DEAD, is_until_resolved=True)
    life.die()
    life.begin()
    life._engine.incidents.restore(Snapshot())
    life._evaluator._silencing.are_incidents_known = False
    life.tick(2, uploads=(DEAD,))

    assert [one["is_resolved"] for one in life.in_file()] == [False]
