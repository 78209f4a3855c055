"""`slow`: over a day, far fewer uploads than usual for the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.silent import SilentLimits
from fleet_health.detectors.slow import Slow, SlowLimits
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.model.cadence import Cadence
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Response, Upload
from fleet_health.model.rhythm import BIN_US, KEPT_US, Rhythm
from fleet_health.model.usual_uploads import NOT_COMPARED, ComparedDay

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.model.instant import Instant

DAY_US, MINUTE_US = 24 * HOUR_US, HOUR_US // 60
NOW = 1_795_392_000_000_000
"""2026-11-23T00:00:00Z, where a bin and a part of two hours end."""
FIX = SuggestedFix("Help $host.")
LIMITS = SlowLimits(0.5, 24, FIX)


def silent(*, is_learned: bool = True) -> SilentLimits:
    """Make limits of a host with or without a rhythm."""
    return SilentLimits(HOUR_US // 2, DAY_US, FIX, is_learned=is_learned)


def detector(*overrides: Override, limits: SlowLimits = LIMITS, is_learned: bool = True) -> Slow:
    """Make the detector."""
    return Slow(HostLimits(limits, overrides), HostLimits(silent(is_learned=is_learned)))


def every(bins: int, since_days: float, until_days: float = 0) -> list[Instant]:
    """Upload once in so many bins, between two ages in days, in the middle of a bin."""
    begin, end = NOW - int(since_days * DAY_US), NOW - int(until_days * DAY_US)
    return [at + BIN_US // 2 for at in range(begin, end, bins * BIN_US)]


def by_day(days: int, hours: range, bins: int) -> list[Instant]:
    """Upload once in so many bins in some hours of so many days before the last one."""
    instants = every(bins, days + 1, 1)
    return [at for at in instants if (at - NOW) % DAY_US // HOUR_US in hours]


def fleet_of(*instants: Instant, host: str = "pi-1") -> Fleet:
    """Make a fleet of one host with a rhythm."""
    fleet = Fleet()
    fleet.cadence = Cadence(10)
    uploads = [*(Upload(host, at) for at in instants), *(Upload("other", at) for at in every(1, 28))]
    fleet.cadence.record(uploads)
    fleet.uploads.record(uploads)
    return fleet


STEADY = every(1, 8, 1)
ALL_DAY = range(24)


@pytest.mark.parametrize(
    ("instants", "is_found"),
    [
        pytest.param([], False, id="nothing is known"),
        pytest.param(every(1, 8), False, id="it uploads as always"),
        pytest.param(STEADY + every(2, 1), True, id="exactly the ratio of what is usual"),
        pytest.param([*STEADY, *every(2, 1), NOW - BIN_US // 2], False, id="one upload more"),
        pytest.param([*STEADY, *every(2, 1), NOW + 1], True, id="what is uploaded in the present bin does not count"),
        pytest.param(every(1, 6, 1) + every(2, 1), True, id="on five days before"),
        pytest.param(every(1, 5, 1) + every(2, 1), False, id="on four days before: that is not usual yet"),
        pytest.param(STEADY + every(1, 0.4), False, id="it was away, and is back as always"),
        pytest.param(STEADY + every(2, 1, 0.25) + every(1, 0.25), False, id="for six hours it uploads as always again"),
        pytest.param(STEADY + every(2, 0.5), True, id="it is compared in half of the day"),
        pytest.param(STEADY + every(2, 10 / 24), False, id="in less than half of it"),
        pytest.param(
            by_day(7, range(12), 6) + every(12, 1), False, id="a host that usually uploads less than min_count"
        ),
        pytest.param(every(2, 28, 14) + every(4, 14), True, id="it has changed its rhythm two weeks ago"),
        pytest.param(every(1, 28, 0.6) + every(8, 0.6), False, id="it has changed to long intervals for good"),
        pytest.param(every(1, 28, 13) + every(8, 13), False, id="nearly two weeks ago"),
        pytest.param(
            every(1, 28, 0.9) + every(8, 0.9, 0.4) + every(2, 0.4), True, id="it had long intervals for some hours"
        ),
        pytest.param(every(6, 28, 1) + every(16, 1), True, id="it always had long intervals"),
        pytest.param(every(2, 28, 15) + every(4, 15), False, id="that is its rhythm now"),
        pytest.param(every(1, 8, 2), False, id="it has not uploaded for a day, which silent says"),
    ],
)
def test_a_day_with_far_fewer_uploads_than_usual_is_a_finding(instants: list[Instant], *, is_found: bool) -> None:
    """To the single upload."""
    fleet = fleet_of(*instants)

    assert [finding.host for finding in detector().find(fleet, NOW)] == ["pi-1"] * is_found
    assert detector().is_over(fleet, "pi-1", NOW) <= (not is_found)


def test_a_finding_carries_the_figures() -> None:
    """It states how much the host uploaded, and how much is usual."""
    assert list(detector().find(fleet_of(*STEADY, *every(4, 1)), NOW)) == [
        Finding(
            "pi-1",
            "slow",
            "48 uploads in the last 24 h, where 192 are usual: compared are 1 d in which it uploaded, and those within"
            " 7.5 min count once",
            "Help pi-1.",
        )
    ]


def test_time_in_which_nobody_could_upload_is_not_compared() -> None:
    """Neither on this day nor on the days before."""
    cadence = Cadence(10)
    cadence.record(Upload("pi-1", at) for at in [*STEADY, *every(1, 1)])
    newest = NOW // BIN_US - 1
    present, before = (1 << 17) - 1, (1 << 16) - 1 << 192

    assert cadence.compared_day("pi-1", Rhythm(newest, 0), NOW) == ComparedDay(12, 192, 192, 48, 48)
    assert cadence.compared_day("pi-1", Rhythm(newest, present), NOW) == ComparedDay(10, 160, 160, 16, 16)
    assert cadence.compared_day("pi-1", Rhythm(newest, before), NOW) == ComparedDay(12, 192, 192, 48, 48)
    assert cadence.compared_day("pi-9", Rhythm(newest, 0), NOW) == NOT_COMPARED


@pytest.mark.parametrize(
    ("instants", "is_over"),
    [
        pytest.param(STEADY + every(1, 1), True, id="as always"),
        pytest.param(STEADY + every(2, 1), False, id="exactly the ratio"),
        pytest.param(STEADY + every(1, 10 / 24), False, id="too little of the day to compare"),
    ],
)
def test_it_is_over_when_it_uploads_enough(instants: list[Instant], *, is_over: bool) -> None:
    """The sign is its latest upload."""
    fleet = fleet_of(*instants)

    assert detector().is_over(fleet, "pi-1", NOW) == is_over
    assert detector().sign_at(fleet, "pi-1") == max(instants)


@pytest.mark.parametrize(
    ("instants", "proof_us"),
    [
        pytest.param(STEADY + every(1, 1), 0, id="as always"),
        pytest.param(STEADY + every(2, 1, 0.25) + every(1, 0.25)[5:], DAY_US, id="43 of 48 in the last six hours"),
        pytest.param(STEADY + every(2, 1, 0.25) + every(1, 0.25)[4:], 0, id="44 of them"),
        pytest.param(every(8, 8, 0.25) + every(8, 0.25), 0, id="a few in these hours, and as always over the day"),
        pytest.param(every(8, 8, 1) + every(16, 1, 0.25) + every(8, 0.25), DAY_US, id="and less over the day"),
    ],
)
def test_it_has_recovered_when_it_uploads_nearly_as_much_as_usual(instants: list[Instant], proof_us: int) -> None:
    """With more uploads than a finding allows but fewer than that, the state must last for a day."""
    assert detector().proof_us(fleet_of(*instants), "pi-1", NOW) == proof_us


@pytest.mark.parametrize(("refused", "age", "is_found"), [(2, 6, False), (1, 6, True), (2, 7, True)])
def test_a_host_that_is_refused_is_for_other_symptoms(refused: int, age: int, *, is_found: bool) -> None:
    """If more than a tenth of the responses in the last six hours were refusals."""
    fleet = fleet_of(*STEADY, *every(2, 1))
    fleet.traffic.record([Response("pi-1", NOW - age * HOUR_US, 422)] * refused + [Response("pi-1", NOW, 201)] * 9)

    assert [finding.host for finding in detector().find(fleet, NOW)] == ["pi-1"] * is_found


@pytest.mark.parametrize(("ago", "is_found"), [(DAY_US, False), (DAY_US + 1, True)])
def test_a_gap_in_the_index_may_hide_uploads(ago: int, *, is_found: bool) -> None:
    """If it is in the last day."""
    fleet = fleet_of(*STEADY, *every(2, 1))
    fleet.coverage = (Coverage("index", gaps=(Gap(NOW - ago - 1, NOW - ago, "cut off"),)),)

    assert [finding.host for finding in detector().find(fleet, NOW)] == ["pi-1"] * is_found
    assert list(detector().hidden(fleet, ["pi-1", "other"], NOW)) == ["pi-1"] * (not is_found)
    assert list(detector(is_learned=False).hidden(fleet, ["pi-1"], NOW)) == []


def test_a_day_is_compared_every_half_hour() -> None:
    """An upload counts from the end of its half hour on."""
    fleet = fleet_of(*STEADY, *every(2, 1), NOW - BIN_US // 2)
    days = [fleet.compared_day("pi-1", NOW + minutes * MINUTE_US) for minutes in (-1, 0, 29, 30)]

    assert [day.bins for day in days] == [98, 97, 97, 95]
    assert days[1] is days[2]


def test_only_a_learned_rhythm_is_compared() -> None:
    """Without one, nothing needs to be known."""
    fleet = fleet_of(*STEADY, *every(2, 1))
    fixed = detector(is_learned=False)

    assert (list(fixed.find(fleet, NOW)), fixed.conditions(fleet, "pi-1", NOW), fixed.lookback) == ([], (), Lookback())
    assert detector().conditions(fleet, "*", NOW) == ()
    assert detector().lookback == Lookback(DAY_US, 6 * HOUR_US, KEPT_US)


def test_each_host_goes_by_its_own_limits() -> None:
    """The conditions show the same limits."""
    one = detector(Override("pi-*", {"ratio": 0.4, "min_count": 10}))
    fleet = fleet_of(*STEADY, *every(2, 1))

    assert list(one.find(fleet, NOW)) == []
    assert [(each.value, each.limit, each.is_met) for each in one.conditions(fleet, "pi-1", NOW)] == [
        ("1 d", "at least 12 h", True),
        ("192", "at least 10", True),
        ("50.0%", "at most 40.0%", False),
        ("50.0%", "at most 40.0%", False),
        ("0.0%", "at most 10.0%", True),
        ("complete", "complete", True),
    ]
    assert one.conditions(fleet, "pi-9", NOW)[2].value == "unknown"
    assert (one.limits_of("pi-1"), one.limits_of("x")) == ("0.4 10 True", "0.5 24 True")


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        pytest.param("", False, id="off by default"),
        pytest.param("slow.enabled = true", False, id="without a learned rhythm"),
        pytest.param('slow.enabled = true\nsilent.cadence = "learned"', True, id="with one"),
    ],
)
def test_it_is_looked_for_where_it_is_switched_on(text: str, *, is_found: bool, tmp_path: Path) -> None:
    """Together with all other detectors."""
    config = tmp_path / "config.toml"
    config.write_text(f"[detectors]\n{text}\n")
    fleet = fleet_of(*STEADY, *every(2, 1))

    found = {finding.symptom for finding in evaluate(fleet, load(config).detectors(), NOW).findings}

    assert ("slow" in found) == is_found
