"""Every limit that a detector declares, exactly reached and just missed. A new setting needs an example here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.config.schema import KEYS
from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Kind, are_met
from fleet_health.model.coverage import Coverage
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response, UnitState, Unstamped, Upload
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _pytest.mark.structures import ParameterSet

    from fleet_health.detectors.spec import Detector, Setting
    from fleet_health.model.instant import Instant

NOW = 1_795_460_100_000_000
SECOND, MINUTE = 1_000_000, 60_000_000
SLACK_US = 2 * MINUTE
SETTINGS = load(
    None,
    {
        "detectors.degraded.enabled": ("", True),
        "detectors.slow.enabled": ("", True),
        "hosts.expected": ("", ["expected"]),
    },
)
DETECTOR: dict[str, Detector] = {detector.symptom: detector for detector in SETTINGS.detectors()}

ELSEWHERE = {
    "detectors.fatal-only.ratio": "test_fatal_only.py: without an accepted upload the share is always the whole",
    "detectors.silent.after_max": "test_silent.py: the longest limit that is learned",
    "detectors.slow.ratio": "test_slow.py: a limit of learned rhythms",
    "detectors.slow.min_count": "test_slow.py: a limit of learned rhythms",
}
"""The settings that need a learned rhythm: which file of tests has their limits."""


def fleet_of(*observations: Upload | Response | Unstamped | UnitState, known_since: Instant = 0) -> Fleet:
    """Make a fleet of what it has seen."""
    fleet = Fleet()
    fleet.known_since = known_since
    fleet.uploads.record([one for one in observations if isinstance(one, Upload)])
    fleet.traffic.record([one for one in observations if not isinstance(one, Upload)])
    return fleet


def unreadable(since: Instant) -> Fleet:
    """Make a fleet whose index cannot be read."""
    fleet = Fleet()
    fleet.coverage = (Coverage("index", unseen_since=since),)
    return fleet


def responses(count: int, status: int, at: Instant = NOW, host: str = "a") -> list[Response]:
    """Make responses to a host, one a second, the last of them at an instant."""
    return [Response(host, at - number * SECOND, status) for number in range(count)]


def hosts(count: int, status: int, each: int = 1, name: str = "host") -> list[Response]:
    """Make responses to several hosts."""
    return [one for number in range(count) for one in responses(each, status, host=f"{name}-{number}")]


def uploads(count: int, ago: int = 0) -> list[Upload]:
    """Make an upload of each of several hosts."""
    return [Upload(f"host-{number}", NOW - ago) for number in range(count)]


def mixed(refused: int, count: int) -> list[Response]:
    """Make up to 20 responses at ten instants of six hours; as many as ten of them are refusals, one at an instant."""
    return [Response("a", NOW - number % 10 * 35 * MINUTE, 412 if number < refused else 201) for number in range(count)]


def starts(count: int) -> list[UnitState]:
    """Make starts of the unit, the last one now."""
    return [
        UnitState(NOW - 2 * number * SECOND - (not is_running) * SECOND, is_running)
        for number in reversed(range(count))
        for is_running in (False, True)
    ]


# A verdict lasts until exactly so long after one of the instants.
DURATIONS: dict[str, tuple[Fleet, Sequence[Instant]]] = {
    "detectors.silent.after": (fleet_of(Upload("a", NOW)), [NOW]),
    "detectors.silent.lookback": (fleet_of(Upload("a", NOW)), [NOW]),
    "detectors.fatal-only.window": (fleet_of(*(Response("a", NOW, 412) for _ in range(10))), [NOW]),
    "detectors.unstamped.window": (fleet_of(*(Unstamped("a", NOW) for _ in range(10))), [NOW]),
    "detectors.degraded.window": (fleet_of(*mixed(10, 20)), [one.at for one in mixed(10, 20)]),
    "detectors.never-seen.grace": (fleet_of(known_since=NOW), [NOW]),
    "blind_after": (unreadable(NOW), [NOW]),
    "receiver.failing.window": (fleet_of(*hosts(3, 500)), [NOW]),
    "receiver.down.after": (fleet_of(UnitState(NOW, is_running=False)), [NOW]),
    "receiver.down.window": (fleet_of(*starts(5)), [one.at for one in starts(5)]),
    "detectors.index-stalled.window": (fleet_of(Upload("other", NOW), *responses(3, 201)), [NOW]),
    "detectors.journal-lossy.window": (fleet_of(*uploads(3)), [NOW - SLACK_US]),
    # When the slack is over, an upload is compared.
    "detectors.index-stalled.slack": (fleet_of(*responses(3, 201)), [NOW - 1]),
    "detectors.journal-lossy.slack": (fleet_of(*uploads(3)), [NOW - 1]),
}
COUNTS: dict[str, Callable[[int], Fleet]] = {
    "detectors.fatal-only.min_count": lambda count: fleet_of(*responses(count, 412)),
    "detectors.unstamped.min_count": lambda count: fleet_of(*(Unstamped("a", NOW) for _ in range(count))),
    "detectors.degraded.min_count": lambda count: fleet_of(*mixed(count // 2, count)),
    "detectors.unknown-hosts.min_hosts": lambda count: fleet_of(*hosts(count, 412, each=10)),
    "receiver.failing.min_hosts": lambda count: fleet_of(*hosts(count, 500)),
    "receiver.down.starts": lambda count: fleet_of(*starts(count)),
    "receiver.down.min_hosts": lambda count: fleet_of(*uploads(count, 31 * MINUTE)),
    "detectors.index-stalled.min_count": lambda count: fleet_of(*responses(count, 201, NOW - 5 * MINUTE)),
    "detectors.index-stalled.min_hosts": lambda count: fleet_of(
        *(Response(one.host, NOW - 5 * MINUTE, 201) for one in hosts(count, 201, each=3))
    ),
    "detectors.journal-lossy.min_hosts": lambda count: fleet_of(*uploads(count, 5 * MINUTE)),
}
# Of so many, a part is exactly the share that is asked for by default.
RATIOS: dict[str, tuple[int, Callable[[int, int], Fleet]]] = {
    "detectors.degraded.ratio": (20, lambda part, count: fleet_of(*mixed(part, count))),
    "receiver.failing.ratio": (6, lambda part, count: fleet_of(*hosts(part, 500), *hosts(count - part, 201, name="b"))),
    "receiver.down.ratio": (
        10,
        lambda part, count: fleet_of(
            *(Upload(f"host-{number}", NOW - 31 * MINUTE) for number in range(count)),
            *(Response(f"host-{number}", NOW - MINUTE, 412) for number in range(part, count)),
        ),
    ),
}


def declared(kind: Kind) -> list[ParameterSet]:
    """Return every setting of a kind with the symptom of its detector."""
    return [
        pytest.param(spec.symptom, one, id=one.key)
        for spec in DETECTORS
        for one in spec.settings
        if one.kind is kind and one.key not in ELSEWHERE
    ]


def is_found(symptom: str, fleet: Fleet, at: Instant) -> bool:
    """Return whether a detector finds anything."""
    return any(True for _ in DETECTOR[symptom].find(fleet, at))


@pytest.mark.parametrize(("symptom", "setting"), declared(Kind.DURATION))
def test_a_verdict_changes_a_microsecond_after_the_time_is_up(symptom: str, setting: Setting) -> None:
    """Exactly at the limit is still within it, for every detector alike."""
    fleet, events = DURATIONS[setting.key]
    limit_us = KEYS[setting.key].read(setting.default)
    around = [[is_found(symptom, fleet, at + limit_us + step) for step in (-1, 0, 1)] for at in events]

    assert all(before == at for before, at, _ in around)
    assert any(at != after for _, at, after in around)


@pytest.mark.parametrize(("symptom", "setting"), declared(Kind.COUNT))
def test_the_least_count_is_enough(symptom: str, setting: Setting) -> None:
    """One fewer is not."""
    least = KEYS[setting.key].read(setting.default)

    assert [is_found(symptom, COUNTS[setting.key](count), NOW) for count in (least - 1, least)] == [False, True]


@pytest.mark.parametrize(("symptom", "setting"), declared(Kind.RATIO))
def test_the_least_share_is_enough(symptom: str, setting: Setting) -> None:
    """One fewer of the same number is not."""
    (count, make), share = RATIOS[setting.key], KEYS[setting.key].read(setting.default)
    least = round(count * share)

    assert least / count == share
    assert [is_found(symptom, make(part, count), NOW) for part in (least - 1, least)] == [False, True]


def test_without_any_observation_only_what_is_expected_is_missed() -> None:
    """Nothing reaches a limit, and a share of nothing is none."""
    fleet = fleet_of(known_since=NOW)
    for symptom, detector in DETECTOR.items():
        for host in (EVERY_HOST, "a", "expected"):
            conditions = detector.conditions(fleet, host, NOW + 60 * MINUTE)
            shares = {one.value for one in conditions if one.key.endswith(".ratio")}

            assert not are_met(conditions), symptom
            assert shares <= {"0.0%", "unknown"}, symptom


def test_who_finds_that_something_is_missing_says_so() -> None:
    """It finds it as time passes, and nothing else happens. So it is not asked when the clock was set.

    But `blind` also says that the clock is wrong; and `slow` needs a rhythm, so it has no example here.
    """
    of_absence = {
        spec.symptom
        for spec in DETECTORS
        for one in spec.settings
        if one.key in DURATIONS
        for (fleet, events), limit_us in [(DURATIONS[one.key], KEYS[one.key].read(one.default))]
        for at in events
        if not is_found(spec.symptom, fleet, at) and is_found(spec.symptom, fleet, at + limit_us + 1)
    }

    assert of_absence ^ {spec.symptom for spec in DETECTORS if spec.is_of_absence} == {"blind", "slow"}
