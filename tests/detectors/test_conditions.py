"""The conditions that explain a verdict are those that decide it: all are met exactly where there is a finding."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fleet_health.config.loading import load
from fleet_health.config.schema import KEYS
from fleet_health.detectors.spec import are_met
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response, UnitState, Unstamped, Upload
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from fleet_health.config.schema import Settings

MINUTE = 60_000_000
NOW = 1_795_435_200_000_000
HOSTS = ("a", "b", "c", "pi-1")
_CONFIG = """
hosts.expected = ["pi-1", "pi-2", "x-*", "a*"]
hosts.limit = 3
blind_after = "10m"
[detectors.fatal-only]
min_count = 2
[detectors.unstamped]
min_count = 2
[detectors.degraded]
enabled = true
window = "1h"
min_count = 2
[detectors.index-stalled]
min_hosts = 1
min_count = 1
[detectors.journal-lossy]
min_hosts = 1
[receiver.failing]
min_hosts = 1
"""


def _settings() -> Settings:
    with NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(_CONFIG)
        file.flush()
        return load(Path(file.name))


SETTINGS = _settings()

minutes = st.sampled_from([0, 1, 5, 29, 30, 31, 60, 24 * 60, 24 * 60 + 1])
uploads = st.builds(lambda host, ago: Upload(host, NOW - ago * MINUTE), st.sampled_from(HOSTS), minutes)
responses = st.builds(
    lambda host, ago, status: Response(host, NOW - ago * MINUTE, status),
    st.sampled_from(HOSTS),
    minutes,
    st.sampled_from([201, 412, 500, 503]),
)
unstamped = st.builds(lambda host, ago: Unstamped(host, NOW - ago * MINUTE), st.sampled_from(HOSTS), minutes)
unit_states = st.builds(lambda ago, runs: UnitState(NOW - ago * MINUTE, runs), minutes, st.booleans())
coverages = st.builds(
    lambda source, away, gap: Coverage(
        source,
        unseen_since=None if away is None else NOW - away * MINUTE,
        gaps=() if gap is None else (Gap(NOW - gap * MINUTE, NOW - gap * MINUTE + 1, "a gap"),),
    ),
    st.sampled_from(["index", "journal"]),
    st.none() | minutes,
    st.none() | minutes,
)


@given(
    st.lists(uploads, max_size=8),
    st.lists(responses | unstamped | unit_states, max_size=16),
    st.lists(coverages, max_size=2),
    st.frozensets(st.sampled_from(["pi-2", "x-1"])),
)
def test_all_conditions_are_met_just_where_there_is_a_finding(
    uploaded: list[Upload],
    logged: list[Response | Unstamped | UnitState],
    coverage: list[Coverage],
    lost: frozenset[str],
) -> None:
    """For every detector and host, and for the fleet as a whole."""
    fleet = Fleet(SETTINGS.host_limit)
    fleet.uploads.record(uploaded)
    fleet.traffic.record(logged)
    fleet.coverage, fleet.lost = tuple(coverage), lost
    for detector in SETTINGS.detectors():
        found = {finding.host for finding in detector.find(fleet, NOW)}
        explained = set()
        for host in (EVERY_HOST, *HOSTS, "pi-2", "x-*", "a*"):
            conditions = detector.conditions(fleet, host, NOW)
            assert all(one.key in KEYS for one in conditions if one.key)
            if are_met(conditions):
                explained.add(host)
        assert explained == found, detector.symptom


def test_the_conditions_say_what_the_settings_say(tmp_path: Path) -> None:
    """Each limit shown is that of the setting named beside it."""
    config = tmp_path / "config.toml"
    config.write_text('[detectors.silent]\nafter = "42m"\n')
    silent = load(config).detectors()[0]
    fleet = Fleet()
    fleet.uploads.record([Upload("a", NOW - 43 * MINUTE)])

    after, lookback = silent.conditions(fleet, "a", NOW)

    assert (after.value, after.limit, after.key) == ("43 min ago", "longer ago than 42 min", "detectors.silent.after")
    assert (lookback.limit, lookback.key) == ("no longer ago than 1 d", "detectors.silent.lookback")
