"""`blind`: a source could not be read for longer than allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.blind import Blind
from fleet_health.detectors.spec import Lookback
from fleet_health.model.coverage import CLOCK_SET, REMOVED, SUPPRESSED, Coverage, Gap, Share

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE_US = 60_000_000
AFTER_US = 15 * MINUTE_US


@pytest.mark.parametrize(
    ("unseen", "details"),
    [
        pytest.param({}, [], id="without sources there is nothing to see"),
        pytest.param({"index": None, "journal": None}, [], id="both are seen"),
        pytest.param({"index": 0}, [], id="unseen from this instant on"),
        pytest.param({"index": AFTER_US}, [], id="unseen for exactly as long as allowed"),
        pytest.param(
            {"index": AFTER_US + 1, "journal": None},
            ["cannot read the index for 15 min (why index)"],
            id="a microsecond longer is a finding",
        ),
        pytest.param(
            {"index": AFTER_US + 1, "journal": AFTER_US},
            ["cannot read the index for 15 min (why index)"],
            id="each source by its own time",
        ),
        pytest.param(
            {"index": 16 * MINUTE_US, "journal": 17 * MINUTE_US},
            ["cannot read the index for 16 min (why index), nor the journal for 17 min (why journal)"],
            id="both sources together are one finding",
        ),
    ],
)
def test_a_source_unseen_for_too_long_is_a_finding(
    unseen: dict[str, int | None], details: list[str], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """It is about no single host, and states which source is away, for how long, and why."""
    fleet = fleet_of()
    fleet.coverage = tuple(
        Coverage(source) if age is None else Coverage(source, now - age, f"why {source}")
        for source, age in unseen.items()
    )

    found = list(Blind(AFTER_US).find(fleet, now))

    assert [(finding.host, finding.symptom, finding.detail) for finding in found] == [
        ("*", "blind", detail) for detail in details
    ]


RUN_LIMIT_US, UNIT = 30 * MINUTE_US, "receiver.service"


@pytest.mark.parametrize(
    ("gaps", "detail"),
    [
        pytest.param([], None, id="no gaps"),
        pytest.param([(1, 0, 40_000)], None, id="one short gap, however much is missing"),
        pytest.param([(15, 0, 9)], None, id="one gap of exactly as long as allowed"),
        pytest.param(
            [(20, 0, 9)], "20 min: 1 gap since 2026-11-23T18:35:00Z, journald suppressed 9 messages", id="one long gap"
        ),
        pytest.param([(20, 19, 9), (6, 5, 9)], None, id="gaps that have not been coming for long"),
        pytest.param(
            [(20, 19, 5), (1, 0, 7)],
            "20 min: 2 gaps since 2026-11-23T18:35:00Z, journald suppressed 12 messages",
            id="two short gaps with no whole window in between",
        ),
        pytest.param(
            [(80, 79, 1), (49, 48, 1), (19, 18, 1), (10, 9, 1)],
            "1 h 20 min: 4 gaps since 2026-11-23T17:35:00Z, journald suppressed 4 messages",
            id="each within a window of the one before, and the last within one of now",
        ),
        pytest.param([(80, 79, 1), (48, 47, 1)], None, id="long enough apart for a whole window"),
        pytest.param([(81, 80, 1), (61, 60, 1), (31, 30, 1)], "1 h 21 min: 3 gaps", id="a window ends in the last one"),
        pytest.param([(81, 80, 1), (61, 60, 1), (32, 31, 1)], None, id="a whole window has gone by since"),
        pytest.param([(500, 0, 0)], None, id="removed while nobody read, once"),
        pytest.param([(60, 40, 0), (20, 0, 0)], "1 h: 2 gaps since 2026-11-23T17:55:00Z, entries", id="removed again"),
    ],
)
def test_gaps_that_keep_coming_are_a_finding(
    gaps: list[tuple[int, int, int]], detail: str | None, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If they last for longer than allowed, from the first to the last; one whole window ends it."""
    fleet, blind = fleet_of(), Blind(AFTER_US, RUN_LIMIT_US, [UNIT])
    fleet.coverage = (
        Coverage(
            "journal",
            gaps=tuple(
                Gap(now - since * MINUTE_US, now - until * MINUTE_US, SUPPRESSED if count else REMOVED, count)
                for since, until, count in gaps
            ),
        ),
    )
    found = list(blind.find(fleet, now))
    last_at = now - min((until for _, until, _ in gaps), default=0) * MINUTE_US

    assert len(found) == (detail is not None)
    assert blind.is_over(fleet, "*", now) == (detail is None)
    if detail is not None:
        assert found[0].detail.startswith(f"the journal has kept having gaps for {detail}")
        assert f"/etc/systemd/system/{UNIT}.d/receiver-rate-limit.conf" in found[0].suggested_fix
        assert list(blind.find(fleet, last_at + RUN_LIMIT_US)) != []
        assert list(blind.find(fleet, last_at + RUN_LIMIT_US + 1)) == []
        assert blind.is_over(fleet, "*", last_at + RUN_LIMIT_US + 1)


def test_a_clock_that_was_set_is_no_loss(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Neither is a night in which the machine was suspended."""
    fleet = fleet_of()
    fleet.coverage = (Coverage("journal", gaps=(Gap(now - 600 * MINUTE_US, now, CLOCK_SET),) * 2),)

    assert list(Blind(AFTER_US, RUN_LIMIT_US, [UNIT]).find(fleet, now)) == []


def test_both_ways_to_be_blind_are_one_finding(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Its fix covers both."""
    fleet = fleet_of()
    gap = Gap(now - 20 * MINUTE_US, now, SUPPRESSED, 3)
    fleet.coverage = (Coverage("index", now - 16 * MINUTE_US, "why"), Coverage("journal", gaps=(gap,)))
    (finding,) = Blind(AFTER_US, RUN_LIMIT_US, [UNIT]).find(fleet, now)

    assert finding.detail.startswith(
        "cannot read the index for 16 min (why); the journal has kept having gaps for 20 min"
    )
    assert "systemctl status fleet-health" in finding.suggested_fix
    assert "rate limit" in finding.suggested_fix


def test_it_looks_at_no_observation() -> None:
    """So it can be evaluated whatever else cannot be seen."""
    assert Blind(AFTER_US).lookback == Lookback()


@pytest.mark.parametrize(
    ("source", "share", "detail"),
    [
        ("index", Share(4, 0, 4), None),
        ("index", Share(5, 0, 5), "not one of 5 rows of the index was understood"),
        ("journal", Share(7, 0, 7), "not one of 7 upload lines of the journal was understood"),
        ("index", Share(30, 20, 10, -AFTER_US), None),
        (
            "index",
            Share(30, 20, 10, -AFTER_US - 1),
            "the last 10 rows of the index were not understood, the one before them is of 2026-11-23T18:39:59.999999",
        ),
        ("index", Share(30, 21, 9, -2 * AFTER_US), None),
        ("index", Share(99, 1, 0, -2 * AFTER_US), None),
    ],
)
def test_what_is_read_and_not_understood_is_a_finding(
    source: str, share: Share, detail: str | None, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """At once if no line ever was; otherwise when the last one is too long ago. One understood line ends it."""
    fleet, blind = fleet_of(), Blind(AFTER_US, RUN_LIMIT_US, [UNIT])
    if share.last_at is not None:
        share = replace(share, last_at=now + share.last_at)
    fleet.coverage = (Coverage(source, share=share), Coverage("clock", share=Share()))

    found = [finding.detail for finding in blind.find(fleet, now)]

    assert [one[: len(detail or "")] for one in found] == ([] if detail is None else [detail])
    assert blind.is_over(fleet, "*", now) == share.is_understood
    fleet.coverage = (Coverage(source, share=share.followed_by(Share(1, 1, 0, now))),)
    assert list(blind.find(fleet, now + 2 * AFTER_US)) == []
    assert blind.is_over(fleet, "*", now)


SLACK_US = 5 * MINUTE_US


@pytest.mark.parametrize(
    ("ages", "is_found"),
    [
        pytest.param((None, 60 * MINUTE_US, MINUTE_US), False, id="the unit has entries"),
        pytest.param((0, 60 * MINUTE_US, None), False, id="nobody has uploaded, and we look for the first time"),
        pytest.param((AFTER_US, 60 * MINUTE_US, None), False, id="for exactly as long as allowed"),
        pytest.param((AFTER_US + 1, 60 * MINUTE_US, None), True, id="for longer"),
        pytest.param((0, 60 * MINUTE_US, 60 * MINUTE_US - SLACK_US - 1), True, id="an upload since the begin"),
        pytest.param((0, 60 * MINUTE_US, 60 * MINUTE_US - SLACK_US), False, id="one about when it began"),
        pytest.param((0, MINUTE_US, 20 * MINUTE_US), False, id="one from before the begin"),
    ],
)
def test_a_journal_without_an_entry_of_the_unit_is_a_finding(
    ages: tuple[int | None, int, int | None],
    is_found: bool,  # noqa: FBT001
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """At once after one upload that must have left an entry; without uploads it takes longer."""
    void_age, begin_age, upload_age = ages
    fleet = fleet_of(uploads=[] if upload_age is None else [("a", upload_age)])
    blind = Blind(AFTER_US, RUN_LIMIT_US, [UNIT])
    void_since = None if void_age is None else now - void_age
    fleet.coverage = (Coverage("journal", begins_at=now - begin_age, void_since=void_since),)

    found = [finding.detail for finding in blind.find(fleet, now)]

    assert found == [f"the journal has not one entry of {UNIT}"] * is_found
    assert blind.is_over(fleet, "*", now) != is_found


@pytest.mark.parametrize(
    ("ages", "is_found"),
    [
        pytest.param(
            (31 * MINUTE_US, None, 20 * MINUTE_US),
            True,
            id="none for so long, and an upload",
        ),
        pytest.param((31 * MINUTE_US, None, 25 * MINUTE_US), False, id="at about its begin: the clocks may differ"),
        pytest.param((31 * MINUTE_US, None, 10_000_000), False, id="just now: the line may be on its way"),
        pytest.param((31 * MINUTE_US, None, 40 * MINUTE_US), False, id="longer ago than the window"),
        pytest.param((None, None, 20 * MINUTE_US), False, id="that is not known"),
        pytest.param((30 * MINUTE_US, None, 20 * MINUTE_US), True, id="as old as the window"),
        pytest.param((30 * MINUTE_US - 1, None, 20 * MINUTE_US), False, id="in the window"),
        pytest.param((31 * MINUTE_US, 20 * MINUTE_US, 10 * MINUTE_US), True, id="it begins before that"),
        pytest.param((31 * MINUTE_US, 12 * MINUTE_US, 10 * MINUTE_US), False, id="it begins about then"),
        pytest.param((31 * MINUTE_US, None, None), False, id="nobody uploads in the night"),
    ],
)
def test_uploads_of_which_the_unit_writes_nothing_are_a_finding(
    ages: tuple[int | None, int | None, int | None],
    is_found: bool,  # noqa: FBT001
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """The unit has only old entries: another unit took the upload, or this is another machine's journal."""
    quiet_age, begin_age, upload_age = ages
    fleet = fleet_of(uploads=[] if upload_age is None else [("a", upload_age)])
    quiet_since, begins_at = (None if age is None else now - age for age in (quiet_age, begin_age))
    fleet.coverage = (Coverage("index"), Coverage("journal", begins_at=begins_at, quiet_since=quiet_since))

    found = [finding.detail for finding in Blind(AFTER_US, RUN_LIMIT_US, [UNIT]).find(fleet, now)]

    assert [one.partition(" since ")[0] for one in found] == [f"the journal has no entry of {UNIT}"] * is_found
    fleet.coverage = (replace(fleet.coverage[-1], unseen_since=now - 1, reason="it cannot be read at present"),)
    assert list(Blind(AFTER_US, RUN_LIMIT_US, [UNIT]).find(fleet, now)) == []


@pytest.mark.parametrize(
    ("quiet_age", "detail"),
    [
        pytest.param(31 * MINUTE_US, f"the journal has no entry of {UNIT}", id="no entry of the unit"),
        pytest.param(0, "the index has uploads, and the journal of", id="no line matches"),
    ],
)
def test_the_earlier_uploads_of_a_busy_host_are_a_finding(
    quiet_age: int, detail: str, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Its last one is always too new: the line may be on its way."""
    fleet = fleet_of(uploads=[("a", age * 5_000_000) for age in range(60, -1, -1)])
    journal = Coverage("journal", quiet_since=now - quiet_age, read_since=now - 31 * MINUTE_US)
    fleet.coverage = (Coverage("index"), journal)

    found = [finding.detail for finding in Blind(AFTER_US, RUN_LIMIT_US, [UNIT]).find(fleet, now)]

    assert [one.startswith(detail) for one in found] == [True]


@pytest.mark.parametrize(
    ("units", "named", "places"),
    [
        pytest.param((), "the receiver", ["receiver-rate-limit.conf as its drop-in"], id="no unit is configured"),
        pytest.param(
            ("r.service",),
            "r.service",
            ["/etc/systemd/system/r.service.d/", "systemctl restart r.service"],
            id="a unit",
        ),
        pytest.param(
            ("r@7.service",),
            "r@7.service",
            ["/etc/systemd/system/r@.service.d/", "systemctl restart r@7.service", "-u r@7.service "],
            id="an instance: the drop-in of its template",
        ),
        pytest.param(
            ("r.socket", "r.service"),
            "r.socket, r.service",
            ["/etc/systemd/system/r.service.d/"],
            id="of several a service",
        ),
        pytest.param(("r.socket",), "r.socket", ["receiver-rate-limit.conf as its drop-in"], id="none is a service"),
    ],
)
def test_what_is_suggested_names_the_receiver_s_units(
    units: tuple[str, ...], named: str, places: list[str], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """A drop-in is suggested only if there is a service for it."""
    fleet, blind = fleet_of(), Blind(AFTER_US, RUN_LIMIT_US, units)
    gap = Gap(now - 20 * MINUTE_US, now, SUPPRESSED, 3)
    fleet.coverage = (Coverage("journal", gaps=(gap,), void_since=now - 20 * MINUTE_US),)

    (finding,) = blind.find(fleet, now)

    assert f"the journal has not one entry of {named}" in finding.detail
    assert f"Does {named} log to this journal?" in finding.suggested_fix
    assert [place for place in places if place not in finding.suggested_fix] == []


def test_a_journal_whose_lines_match_nothing_while_rows_come_is_a_finding(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The fix points to the patterns."""
    fleet, blind = fleet_of(uploads=[("a", 10 * MINUTE_US)]), Blind(AFTER_US, RUN_LIMIT_US, [UNIT])
    fleet.coverage = (Coverage("journal", read_since=now - 60 * MINUTE_US, quiet_since=now - MINUTE_US),)

    (finding,) = blind.find(fleet, now)

    assert finding.detail == (
        f"the index has uploads, and the journal of {UNIT} has no line that `journal.response` matches"
    )
    assert "fleet-health patterns" in finding.suggested_fix


def test_its_limits_are_both_figures() -> None:
    """A change of either may be the reason that it is no longer found."""
    figures = {Blind(after_us, window_us).limits_of("*") for after_us in (1, 2) for window_us in (3, 4)}

    assert figures == {"1,3", "1,4", "2,3", "2,4"}


def test_lines_that_are_not_understood_are_reported_once(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """That no line is a response follows from that, so it is not reported as well."""
    fleet = fleet_of(uploads=[("a", 10 * MINUTE_US)])
    fleet.coverage = (Coverage("journal", share=Share(20, 0, 20), read_since=now - 60 * MINUTE_US),)

    (finding,) = Blind(AFTER_US, RUN_LIMIT_US, [UNIT]).find(fleet, now)

    assert finding.detail == "not one of 20 upload lines of the journal was understood"
    assert finding.suggested_fix.count("fleet-health patterns") == 1
