"""What the journal shows about itself and the unit: gaps, and whether the receiver runs. From real journal files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from fleet_health.config.loading import load
from fleet_health.model.coverage import SUPPRESSED, Gap, latest_run
from fleet_health.model.observation import Response, UnitState
from fleet_health.sources.journal.once import read_journal
from fleet_health.sources.journal.source import JournalFollower
from fleet_health.sources.journal.system_messages import DROPPED_ID
from fleet_health.sources.state import SourceState
from tests.rig.site import now_us

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant
    from tests.conftest import Site

MINUTE = 60_000_000
REACH = 30 * MINUTE
UNIT = "cis490-receiver.service"
STARTED = {"MESSAGE_ID": "39f53479d3a045ac8e11786248231fbf"}
STOPPED = {"MESSAGE_ID": "9d1aaa27d60140bd96365438aad20286"}
FAILED = {"MESSAGE_ID": "be02cf6855d2428ba40df7e9d022f03d"}
DEACTIVATED = {"MESSAGE_ID": "7ad2d189f7e94e70a38c781354912448"}
RESULT = {"MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c"}
SKIPPED = {"MESSAGE_ID": "0e4284a0caca4bfc81c0bb6786972673"}


def systemd_says(site: Site, message: str, at: Instant, **fields: str) -> None:
    """Append a message of PID 1 about the receiver's unit."""
    site.journal.append(message, at_us=at, unit="init.scope", **{"_PID": "1", "UNIT": UNIT} | fields)


def journald_says(site: Site, message: str, at: Instant, **fields: str) -> None:
    """Append a message of journald about itself."""
    site.journal.append(
        message,
        at_us=at,
        unit="systemd-journald.service",
        **{"_TRANSPORT": "driver", "MESSAGE_ID": DROPPED_ID, "N_DROPPED": "5"} | fields,
    )


async def followed(site: Site, *, seen_until: Instant | None = None) -> tuple[list[Any], SourceState]:
    """Read the journal once; return what was delivered, and the state."""
    site.sync_journal()
    observations: list[Any] = []
    follower = JournalFollower(
        load(site.configure()).receivers[0].journal,
        lookback_us=REACH,
        deliver=observations.extend,
        clock=now_us,
        seen_until=seen_until,
    )
    await follower.poll()
    await follower.close()
    return observations, follower.state


@pytest.mark.parametrize(
    ("message", "fields", "is_running"),
    [
        ("Started Receiver.", STARTED, True),
        ("Stopped Receiver.", STOPPED, False),
        ("Failed to start Receiver.", FAILED, False),
        (f"{UNIT}: Deactivated successfully.", DEACTIVATED, False),
        (f"{UNIT}: Failed with result 'exit-code'.", RESULT, False),
        (f"{UNIT}: Skipped due to 'exec-condition'.", SKIPPED, False),
    ],
)
async def test_systemd_says_whether_the_receiver_runs(
    message: str, fields: dict[str, str], *, is_running: bool, site: Site
) -> None:
    """The service and `check` read the same state."""
    at = now_us() - MINUTE
    systemd_says(site, message, at, **fields)

    observations, _ = await followed(site)
    read: list[Any] = []
    read_journal(load(site.config).receivers[0].journal, at - MINUTE, now_us(), read.extend)

    assert observations == [UnitState(at, is_running)]
    assert read == [UnitState(at, is_running)]


async def test_what_only_looks_like_systemds_word_is_not(site: Site) -> None:
    """Neither the receiver's own line or field, nor a message about another unit or another matter."""
    at = now_us() - MINUTE
    site.journal.append("Stopped Receiver.", at_us=at, **STOPPED)
    site.journal.append("Stopped Receiver.", at_us=at, UNIT=UNIT, OBJECT_SYSTEMD_UNIT=UNIT, **STOPPED)
    systemd_says(site, "Stopped Other.", at, UNIT="other.service", **STOPPED)
    systemd_says(site, "Stopped target Receiver.", at)
    systemd_says(site, f"{UNIT}: Consumed 5s CPU time.", at, MESSAGE_ID="ae8f7b866b0347b9af31fe1c80b127c0")
    site.answer("a", 201, at_us=at)

    observations, state = await followed(site)

    assert observations == [Response("a", at, 201)]
    assert state.gaps == []


async def test_a_stop_of_long_ago_is_known_at_the_start(site: Site) -> None:
    """The latest message counts, however old; `check` takes the one before its instant."""
    now = now_us()
    systemd_says(site, "Started Receiver.", now - 9 * 60 * MINUTE, **STARTED)
    systemd_says(site, "Stopped Receiver.", now - 8 * 60 * MINUTE, **STOPPED)
    site.answer("a", 201, at_us=now - MINUTE)

    observations, _ = await followed(site)
    read: list[Any] = []
    read_journal(load(site.config).receivers[0].journal, now - 9 * 60 * MINUTE, now - 8 * 60 * MINUTE - 1, read.extend)

    assert observations == [UnitState(now - 8 * 60 * MINUTE, is_running=False), Response("a", now - MINUTE, 201)]
    assert read[0] == UnitState(now - 9 * 60 * MINUTE, is_running=True)


async def test_what_journald_suppressed_is_a_gap_since_the_last_that_got_through(site: Site) -> None:
    """For the receiver's unit only, and not for a line that only claims it."""
    now = now_us()
    site.answer("a", 201, at_us=now - 9 * MINUTE)
    journald_says(site, f"Suppressed 5 messages from {UNIT}", now - 8 * MINUTE)
    site.answer("a", 201, at_us=now - 7 * MINUTE)
    journald_says(site, "Suppressed 5 messages from other.service", now - 6 * MINUTE)
    site.journal.append(f"Suppressed 5 messages from {UNIT}", at_us=now - 5 * MINUTE, MESSAGE_ID=DROPPED_ID)

    _, state = await followed(site)
    past = read_journal(load(site.configure()).receivers[0].journal, now - REACH, now, lambda _: None)

    assert state.gaps == list(past.coverage.gaps) == [Gap(now - 9 * MINUTE, now - 8 * MINUTE, SUPPRESSED, 5)]
    assert "1 gap in the last 30 min (journald suppressed 5 messages, " in state.summary(now)
    assert state.coverage(now).is_whole(now - 8 * MINUTE + 1, now)
    assert not state.coverage(now).is_whole(now - 8 * MINUTE, now)
    assert state.coverage(now).is_whole(now - 30 * MINUTE, now - 9 * MINUTE - 1)


@pytest.mark.parametrize(("age", "is_gap"), [(20, True), (10, False), (5, False)])
async def test_a_journal_vacuumed_while_nobody_read_it_is_a_gap(*, age: int, is_gap: bool, site: Site) -> None:
    """From the last read entry to the first remaining one; a journal that merely begins late has no gap."""
    now = now_us()
    site.journal.append("of another unit", at_us=now - 10 * MINUTE, unit="other.service")
    site.answer("a", 201, at_us=now - MINUTE)

    _, state = await followed(site, seen_until=now - age * MINUTE)
    _, at_first_start = await followed(site)

    assert [(gap.since, gap.until) for gap in state.gaps] == [(now - age * MINUTE, now - 10 * MINUTE)] * is_gap
    assert at_first_start.gaps == []


def test_gaps_are_few_and_recent() -> None:
    """Gaps before the lookback are forgotten, and if there are many the oldest are merged."""
    state = SourceState("journal")
    for number in range(1_000):
        state.lack(Gap(10 * number, 10 * number + 1, "why"), 10 * (number - 500))

    coverage = state.coverage(10_000)

    assert len(state.gaps) == 100
    assert not any(coverage.is_whole(at, at) for at in range(5_000, 10_000, 10))
    assert coverage.is_whole(9_995, 9_995)
    assert coverage.is_whole(0, 4_000)


@pytest.mark.parametrize(
    ("words", "messages"),
    [("5", 5), ("123456789012345678", 123456789012345678), ("1234567890123456789", 0), ("many", 0), ("-1", 0)],
)
async def test_how_many_were_suppressed(words: str, messages: int, site: Site) -> None:
    """As journald states; an impossible number counts as unknown."""
    journald_says(site, f"Suppressed {words} messages from {UNIT}", now_us() - MINUTE)

    _, state = await followed(site)

    assert [gap.messages for gap in state.gaps] == [messages]


def test_since_when_gaps_keep_coming_is_not_forgotten() -> None:
    """For as long as they come, at whatever rate."""
    state = SourceState("journal", window_us=1_000)
    for at in range(0, 50_000, 3):
        state.lack(Gap(at, at + 1, SUPPRESSED, 2), at + 1 - 1_000)
    run = latest_run(state.gaps, 1_000)
    coverage = state.coverage(50_000)

    assert run == Gap(0, 49_999, SUPPRESSED, 2 * 16_667, 16_667)
    assert len(state.gaps) <= 102
    assert not any(coverage.is_whole(at, at) for at in range(49_002, 50_000, 3))

    state.lack(Gap(90_000, 90_001, SUPPRESSED, 2), 89_001)

    assert state.gaps == [Gap(90_000, 90_001, SUPPRESSED, 2)]


def test_a_gap_that_is_part_of_a_known_one_is_known() -> None:
    """It is found again when the journal is read again, and is not counted twice."""
    state = SourceState("journal", window_us=1_000)
    for gap in (Gap(10, 20, SUPPRESSED, 2), Gap(10, 20, SUPPRESSED, 2), Gap(12, 20, SUPPRESSED, 2)):
        state.lack(gap, 0)

    assert state.gaps == [Gap(10, 20, SUPPRESSED, 2)]


async def test_what_may_be_missing_behind_a_broken_line_is_a_gap(site: Site) -> None:
    """The rest of a split line looks like a line of its own, and may be one."""
    at = now_us() - MINUTE
    site.journal.append(3_000 * "a", at_us=at, unit=UNIT, _STREAM_ID="1", _LINE_BREAK="line-max")
    site.journal.append('10.0.0.7:1 - "PUT /v1/episodes/a/e1 HTTP/1.1" 201', at_us=at + 1, unit=UNIT, _STREAM_ID="1")

    observations, state = await followed(site)

    assert observations == []
    assert [(gap.since, gap.until, gap.messages) for gap in state.gaps] == [(at + 1, at + 1, 1)]


async def test_the_gap_behind_broken_lines_reaches_from_the_first_to_the_last(site: Site) -> None:
    """At most as many lines are missing as follow a split one."""
    at = now_us() - MINUTE
    for number in (0, 10):
        site.journal.append(3_000 * "a", at_us=at + number, unit=UNIT, _STREAM_ID="1", _LINE_BREAK="line-max")
        line = '10.0.0.7:1 - "PUT /v1/episodes/a/e1 HTTP/1.1" 201'
        site.journal.append(line, at_us=at + number + 1, unit=UNIT, _STREAM_ID="1")

    _, state = await followed(site)

    assert [(gap.since, gap.until, gap.messages) for gap in state.gaps] == [(at + 1, at + 11, 2)]


async def test_what_is_not_found_is_logged_once_and_so_is_the_end_of_the_backlog(site: Site) -> None:
    """A unit without an entry is looked for again, but not logged again."""
    site.journal.append("a line of another", at_us=now_us() - MINUTE, unit="other.service")
    site.sync_journal()
    settings = load(site.configure()).receivers[0].journal
    follower = JournalFollower(settings, lookback_us=REACH, deliver=lambda _: None, clock=now_us)
    with capture_logs() as logs:
        for _ in range(3):
            await follower.poll()
    await follower.close()

    assert follower.state.unheard
    assert [one["event"] for one in logs] == [
        *("receiver not found in the journal" for _ in follower.state.unheard),
        "source caught up",
    ]
