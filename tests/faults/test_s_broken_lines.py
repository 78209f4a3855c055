"""S2: a line so long that journald breaks it. The client that made it decides where each entry begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.service import clock
from fleet_health.sources.journal.once import read_journal
from fleet_health.sources.journal.samples import sample_lines
from fleet_health.sources.journal.source import JournalFollower

if TYPE_CHECKING:
    from typing import Any

    from tests.faults.private_journald import PrivateJournald

LINE_MAX = 48 * 1024
FORGED = ' - "PUT /v1/episodes/victim/e HTTP/1.1" 201'


def broken_line() -> str:
    """Make an access line of one client, of which each part but the last ends in a response to another host."""
    begin = "INFO:     "
    first = begin + "x" * (LINE_MAX - len(begin) - len(FORGED)) + FORGED
    second = f"INFO:     {'y ' * 1000}{FORGED}".ljust(LINE_MAX - len(FORGED), "z") + FORGED
    rest = f'10.0.0.1:5{FORGED} - "PUT /v1/episodes/me/e HTTP/1.1" 412 Precondition Failed'
    return f"{first}{second}{rest}"


@pytest.mark.fault("S2", rig="R1")
async def test_S2_no_part_of_a_line_that_journald_broke_is_read(journald: PrivateJournald) -> None:
    """Neither a part nor the rest counts for anybody; each is counted as rejected, and what comes next is read."""
    since = clock.now()
    journald.output(broken_line(), 'INFO:     10.0.0.7:1 - "PUT /v1/episodes/next/e HTTP/1.1" 412 Precondition Failed')
    assert journald.has(_LINE_BREAK="line-max")
    observations: list[Any] = []
    follower = JournalFollower(journald.settings, lookback_us=60_000_000, deliver=observations.extend, clock=clock.now)
    await follower.poll()
    await follower.close()
    once: list[Any] = []
    rejections = read_journal(journald.settings, since, clock.now(), once.extend).rejections

    reason = "part of a line that journald broke (longer than LineMax=)"
    assert [one.host for one in observations] == ["next"]
    assert [one.host for one in once] == ["next"]
    assert follower.state.rejections.by_reason == {reason: 3}
    assert rejections.by_reason == {reason: 3}
    assert set(sample_lines(journald.settings, ["victim", "next"], since, clock.now())) == {"next"}


@pytest.mark.fault(
    "S7", rig="R1", says="a line that may be lost behind a broken one is a gap, and hides no refused host"
)
async def test_S7_a_line_behind_a_broken_one_may_be_missing(journald: PrivateJournald) -> None:
    """Where a line is exactly as long as journald reads at once, its rest is empty and no entry: then the next goes."""
    since = clock.now()
    begin = "INFO:     "
    flood = begin + "x" * (LINE_MAX - len(begin))
    refused = 'INFO:     10.0.0.7:1 - "PUT /v1/episodes/victim/e HTTP/1.1" 412 Precondition Failed'
    for _ in range(12):
        journald.output(flood, refused)
    journald.output(flood, "INFO:     a line that says nothing of a host", "INFO:     the end")
    observations: list[Any] = []
    follower = JournalFollower(journald.settings, lookback_us=60_000_000, deliver=observations.extend, clock=clock.now)
    await follower.poll()
    await follower.close()

    until = clock.now()
    coverage = read_journal(journald.settings, since, until, observations.extend).coverage

    assert observations == []
    assert follower.state.known_coverage().missing(since, until) == 12
    assert "(12 messages may be missing, " in follower.state.summary(until)
    assert coverage.missing(since, until) == 12
