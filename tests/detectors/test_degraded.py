"""`degraded`: uploads get through, but a share of the responses are refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.detectors.degraded import Degraded, DegradedLimits
from fleet_health.detectors.evaluation import evaluate
from fleet_health.detectors.fatal_only import FatalOnlyLimits
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import UnstampedLimits
from fleet_health.model.coverage import REMOVED, SUPPRESSED, Coverage, Gap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE = 60_000_000
HOUR = 60 * MINUTE
FIX, STAMP = SuggestedFix("Mend $host."), SuggestedFix("Stamp $host.")
LIMITS = DegradedLimits(6 * HOUR, 10, 0.3, FIX)
FATAL, STAMPS = FatalOnlyLimits(30 * MINUTE, 10, 0.95, FIX, FIX, FIX), UnstampedLimits(30 * MINUTE, 10, STAMP)

Answers = list[tuple[int, int]]
"""Age and status of each answer."""


def detector(limits: DegradedLimits = LIMITS, *overrides: Override, is_unstamped_reported: bool = True) -> Degraded:
    """Make the detector."""
    others = HostLimits(FATAL), HostLimits(STAMPS)
    return Degraded(HostLimits(limits, overrides), *others, is_unstamped_reported=is_unstamped_reported)


def mixed(accepted: int, refused: int, status: int = 422, age: int = 1) -> Answers:
    """Answer some uploads at one age; if there are enough, two of each kind in other parts of the window."""
    pairs = [(at, one) for at in (90 * MINUTE, 3 * HOUR) for one in (201, status)] if min(accepted, refused) > 2 else []
    return pairs + [(age, 201)] * (accepted - len(pairs) // 2) + [(age, status)] * (refused - len(pairs) // 2)


def every(minutes: int, since: int, until: int, *statuses: int) -> Answers:
    """Answer an upload every so many minutes, between two ages in minutes, with each of the statuses in turn."""
    ages = range(since, until, -minutes)
    return [(age * MINUTE, statuses[number % len(statuses)]) for number, age in enumerate(ages)]


@pytest.mark.parametrize(
    ("answers", "is_found"),
    [
        pytest.param([], False, id="no answer at all says nothing"),
        pytest.param(mixed(7, 3), True, id="exactly the ratio, of exactly min_count"),
        pytest.param(mixed(6, 3), False, id="one answer fewer than min_count"),
        pytest.param(mixed(8, 3), False, id="a lower share"),
        pytest.param(mixed(3, 99), True, id="as good as all, but a few got through"),
        pytest.param(mixed(0, 9, age=HOUR), False, id="nothing got through"),
        pytest.param(mixed(10, 0), False, id="nothing was refused"),
        pytest.param(
            [*every(5, 360, 91, 201, 422), (90 * MINUTE, 422), *every(5, 89, 0, 201)],
            True,
            id="one in the last quarter",
        ),
        pytest.param(
            every(5, 360, 91, 201, 422) + every(5, 90, 0, 201), False, id="mended in the last quarter of the window"
        ),
        pytest.param(mixed(7, 3, 599), True, id="5xx that no other host got are this one's"),
        pytest.param(mixed(7, 3, age=6 * HOUR), True, id="exactly at the window's beginning"),
        pytest.param(mixed(7, 3, age=6 * HOUR + 1), False, id="a microsecond before the window"),
        pytest.param(mixed(7, 3, age=0), True, id="exactly at now"),
        pytest.param(mixed(7, 3, age=-1), False, id="a microsecond after now has not happened yet"),
        pytest.param([*mixed(8, 3)[:-1], (6 * HOUR + 1, 422)], False, id="one refusal just before the window"),
        pytest.param(mixed(2, 20) + mixed(2, 20, age=HOUR), False, id="both kinds in two parts only"),
        pytest.param(every(5, 360, 0, 201, 422), True, id="half of them for the whole window"),
        pytest.param(every(5, 360, 180, 422) + every(5, 180, 0, 201), False, id="refused every time, then mended"),
        pytest.param(every(5, 360, 180, 201) + every(15, 180, 0, 422), False, id="nothing gets through any more"),
        pytest.param(
            every(5, 360, 240, 201) + every(5, 240, 120, 422) + every(5, 120, 0, 201),
            False,
            id="refused every time for two hours in between",
        ),
        pytest.param(
            every(2, 360, 30, 201, 422) + every(2, 30, 0, 422), False, id="degraded, and now fatal-only, which says it"
        ),
    ],
)
def test_a_share_of_refusals_beside_accepted_uploads_is_a_finding(
    answers: Answers, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """To the microsecond, and to the single response."""
    fleet = fleet_of(responses=[("pi-1", age, status) for age, status in answers])

    assert [finding.host for finding in detector().find(fleet, now)] == ["pi-1"] * is_found


@pytest.mark.parametrize(("others", "is_found"), [(0, True), (1, True), (2, False), (5, False)])
def test_errors_of_the_receiver_are_not_counted(
    others: int, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If three or more hosts got a 5xx in the window, no host is degraded, not even afterwards."""
    responses = [("pi-1", age, status) for age, status in mixed(7, 7, 503)]
    fleet = fleet_of(responses=responses + [(f"other-{number}", 5 * HOUR, 503) for number in range(others)])

    assert [finding.host for finding in detector().find(fleet, now)] == ["pi-1"] * is_found


def test_refusals_of_the_host_are_counted_beside_errors_of_the_receiver(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Only these refusals are listed."""
    responses = [("pi-1", age, status) for age, status in mixed(6, 5) + mixed(0, 9, 503)]
    fleet = fleet_of(responses=responses + [(f"other-{number}", HOUR, 503) for number in range(3)])

    (finding,) = detector().find(fleet, now)

    assert finding.detail == "5 of 11 uploads in the last 6 h were refused while others were accepted: 5 x 422"


def test_a_finding_carries_the_figures(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """It states how many, over which time, and with which statuses in ascending order."""
    answers = mixed(6, 4) + mixed(1, 1, 500, age=HOUR)
    fleet = fleet_of(responses=[("pi-1", age, status) for age, status in answers])

    assert list(detector().find(fleet, now)) == [
        Finding(
            host="pi-1",
            symptom="degraded",
            detail="5 of 12 uploads in the last 6 h were refused while others were accepted: 4 x 422, 1 x 500",
            suggested_fix="Mend pi-1.",
            since=now - 3 * HOUR,
        )
    ]


@pytest.mark.parametrize(
    ("unstamped", "is_reported", "fixes"),
    [
        pytest.param(2, True, ["Mend pi-1."], id="too few to be the cause"),
        pytest.param(9, True, ["Stamp pi-1."], id="most, and too few for unstamped to be found"),
        pytest.param(10, True, [], id="unstamped is found, which says it"),
        pytest.param(10, False, ["Stamp pi-1."], id="unstamped is switched off"),
    ],
)
def test_a_missing_stamp_is_for_unstamped(
    unstamped: int, *, is_reported: bool, fixes: list[str], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If `unstamped` does not report it, its fix is suggested, and the finding states how many lack a stamp."""
    fleet = fleet_of(
        responses=[("pi-1", age, status) for age, status in mixed(10, 10, 412)], unstamped=[("pi-1", 1)] * unstamped
    )

    found = list(detector(is_unstamped_reported=is_reported).find(fleet, now))

    assert [finding.suggested_fix for finding in found] == fixes
    assert all(finding.detail.endswith(f"10 x 412; {unstamped} of them carry no code stamp") for finding in found)


def test_each_host_is_evaluated_by_its_own_limits(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Hosts that an override names have its limits, the others the default ones."""
    overrides = [
        Override("long-*", {"window_us": 24 * HOUR}),
        Override("strict-*", {"ratio": 0.1, "min_count": 2}),
        Override("lax-*", {"ratio": 0.9}),
    ]
    answers = {
        "pi-1": mixed(7, 3, age=7 * HOUR),
        "long-1": mixed(7, 3, age=7 * HOUR),
        "strict-1": mixed(20, 3),
        "lax-1": mixed(7, 3),
    }
    fleet = fleet_of(responses=[(host, *one) for host, some in answers.items() for one in some])
    one = detector(LIMITS, *overrides)

    assert sorted(finding.host for finding in one.find(fleet, now)) == ["long-1", "strict-1"]
    assert one.lookback == Lookback(traffic_us=24 * HOUR)
    assert (one.limits_of("long-1"), one.limits_of("pi-1")) == (f"{24 * HOUR} 10 0.3", f"{6 * HOUR} 10 0.3")


@pytest.mark.parametrize(
    ("gap", "is_seen"),
    [
        pytest.param((6 * HOUR + 2, 6 * HOUR + 1), True, id="a gap before the window"),
        pytest.param((6 * HOUR + 2, 6 * HOUR), False, id="a gap up to the window's beginning"),
        pytest.param((5, 4), False, id="a gap within"),
    ],
)
def test_what_was_not_seen_whole_is_neither_found_nor_over(
    gap: tuple[int, int], *, is_seen: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The missing responses may have been of either kind."""
    sick, well = (
        fleet_of(responses=[("pi-1", *one) for one in mixed(accepted, 10 - accepted)]) for accepted in (5, 10)
    )
    sick.coverage = well.coverage = (Coverage("journal", gaps=(Gap(now - gap[0], now - gap[1], "lost"),)),)

    assert [finding.host for finding in detector().find(sick, now)] == ["pi-1"] * is_seen
    assert detector().is_over(well, "pi-1", now) == is_seen


@pytest.mark.parametrize(
    ("gap", "answers", "is_hidden"),
    [
        pytest.param(None, mixed(5, 5), False, id="all was seen"),
        pytest.param((2, 1, 10), [], True, id="nothing was seen, and enough is missing"),
        pytest.param((2, 1, 9), [], False, id="less is missing than a finding takes"),
        pytest.param((2, 1, 3), mixed(7, 0), True, id="what is missing would just be the share"),
        pytest.param((2, 1, 3), mixed(8, 0), False, id="it would be less"),
        pytest.param((2, 1, 0), mixed(99, 0), True, id="nobody knows how much is missing"),
        pytest.param((6 * HOUR + 9, 6 * HOUR + 1, 99), [], False, id="before the window"),
    ],
)
def test_a_gap_hides_what_it_may_hold(
    gap: tuple[int, int, int] | None,
    answers: Answers,
    *,
    is_hidden: bool,
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """The symptom cannot be ruled out if enough of the missing lines may be refusals."""
    fleet = fleet_of(responses=[("pi-1", *one) for one in answers])
    gaps = () if gap is None else (Gap(now - gap[0], now - gap[1], SUPPRESSED if gap[2] else REMOVED, gap[2]),)
    fleet.coverage = (Coverage("journal", gaps=gaps),)

    assert list(detector().hidden(fleet, ["pi-1"], now)) == ["pi-1"] * is_hidden


def test_a_journal_that_begins_within_the_window_hides_what_was_before(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """For every host: how many responses there were is not known."""
    fleet = fleet_of(responses=[("pi-1", *one) for one in mixed(99, 0)])
    fleet.coverage = (Coverage("journal", begins_at=now - 6 * HOUR + 1),)

    assert list(detector().hidden(fleet, ["pi-1"], now)) == ["pi-1"]


def test_a_journal_that_begins_within_the_window_is_not_whole(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Responses from before its begin are not known."""
    fleet = fleet_of(responses=[("pi-1", *one) for one in mixed(5, 5)])
    fleet.coverage = (Coverage("journal", begins_at=now - 6 * HOUR + 1),)

    assert list(detector().find(fleet, now)) == []


@pytest.mark.parametrize(
    ("answers", "is_over"),
    [
        pytest.param([], False, id="nothing is answered any more"),
        pytest.param(mixed(8, 3), True, id="the share is below the limit"),
        pytest.param(mixed(7, 3), False, id="it is exactly the limit"),
        pytest.param(mixed(1, 0), True, id="one accepted upload is few, and it is enough"),
        pytest.param(mixed(0, 1), False, id="nothing is accepted"),
        pytest.param(mixed(1, 0) + mixed(0, 9, age=HOUR), False, id="refusals while nothing was accepted count here"),
    ],
)
def test_it_is_over_when_uploads_are_accepted_and_few_refused(
    answers: Answers, *, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Too few refusals for a finding are not enough; the sign is the latest accepted upload."""
    fleet = fleet_of(responses=[("pi-1", *one) for one in answers])
    accepted = [now - age for age, status in answers if status == 201]

    assert detector().is_over(fleet, "pi-1", now) == is_over
    assert detector().sign_at(fleet, "pi-1") == max(accepted, default=None)


def test_the_conditions_name_what_is_lacking(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """For a host, but not for the fleet."""
    fleet = fleet_of(responses=[("pi-1", *one) for one in every(1, 12, 0, 422)], unstamped=[("pi-1", 1)] * 10)

    conditions = detector().conditions(fleet, "pi-1", now)

    assert [(one.value, one.limit, one.is_met) for one in conditions] == [
        ("0", "at least 10", False),
        ("0.0%", "at least 30.0%", False),
        ("0", "at least 3", False),
        ("12", "at least 1", True),
        ("fatal-only, unstamped", "none", False),
        ("complete", "complete", True),
    ]
    assert detector().conditions(fleet, "pi-9", now)[0].value == "0"
    assert detector().conditions(fleet, "*", now) == ()


def test_it_is_off_by_default_and_then_costs_nothing(
    tmp_path: Path, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Responses are kept for its window only if it is on."""
    config = tmp_path / "config.toml"
    config.write_text("[detectors.degraded]\nenabled = true\n")
    fleet = fleet_of(responses=[("pi-1", *one) for one in every(5, 355, 0, 201, 422)])
    kept = {}
    for path in (None, config):
        detectors = load(path).detectors()
        found = {finding.symptom for finding in evaluate(fleet, detectors, now).findings}
        kept[path] = max(one.lookback.traffic_us for one in detectors), "degraded" in found

    assert kept == {None: (30 * MINUTE, False), config: (6 * HOUR, True)}


def test_many_events_are_counted_in_steps(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """The detail says so."""
    fleet = fleet_of(responses=[("pi-1", age * 1_000_000, (201, 422)[age % 2]) for age in range(20_000)])

    (finding,) = detector(replace(LIMITS, ratio=0.4)).find(fleet, now)

    assert "counted in steps" in finding.detail


def test_a_failing_receiver_inhibits_it(tmp_path: Path, fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """For hosts that got mostly 5xx and also some 4xx."""
    config = tmp_path / "config.toml"
    config.write_text("[detectors.degraded]\nenabled = true\n[receiver.failing]\nmin_hosts = 1\n")
    answers = every(5, 355, 30, 201, 422) + every(2, 30, 0, 201, 503, 503)
    fleet = fleet_of(responses=[("pi-1", *one) for one in answers])

    found = {finding.symptom: finding for finding in evaluate(fleet, load(config).detectors(), now).findings}

    assert set(found) >= {"degraded", "receiver-failing"}
    assert ("pi-1", "degraded") in found["receiver-failing"].inhibits
