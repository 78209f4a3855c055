"""One engine: on whatever happens, the service, `check` on its state and `replay` come to the same decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleet_health.alerting.snapshot import Snapshot
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.engine import Engine
from fleet_health.model.coverage import Coverage
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Response, UnitState, Unstamped, Upload
from fleet_health.replay.replay import Replay, Watched, evaluated

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.config.schema import Settings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Observation

MINUTE_US = 60 * SECOND_US
NOON = 1_795_435_200_000_000
SEEN_WHOLE = (Coverage("index"), Coverage("journal"))
TICKS = 24
HOSTS = ("pi-1", "pi-2", "pi-3", "expected")
MINUTES = st.integers(-60, 5 * TICKS)

events = st.lists(
    st.one_of(
        st.builds(lambda host, minute: Upload(host, _at(minute)), st.sampled_from(HOSTS[:3]), MINUTES),
        st.builds(
            lambda host, minute, status: Response(host, _at(minute), status),
            st.sampled_from(HOSTS),
            MINUTES,
            st.sampled_from([201, 412, 503]),
        ),
        st.builds(lambda host, minute: Unstamped(host, _at(minute)), st.sampled_from(HOSTS), MINUTES),
        st.builds(lambda minute, is_running: UnitState(_at(minute), is_running), MINUTES, st.booleans()),
    ),
    max_size=60,
).map(lambda made: sorted(made, key=lambda one: one.at))


def _at(minute: int) -> Instant:
    return NOON + minute * MINUTE_US + 7 * SECOND_US


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Load settings in which a few events are enough for every symptom."""
    config: Path = tmp_path_factory.mktemp("engine") / "config.toml"
    config.write_text(
        'hosts.expected = ["expected"]\nalerts.repeat = ["1h"]\nalerts.flap_limit = 2\n'
        'detectors.silent.after = "10m"\ndetectors.silent.lookback = "1h"\ndetectors.never-seen.grace = "12m"\n'
        'detectors.fatal-only.min_count = 2\ndetectors.fatal-only.window = "15m"\n'
        'detectors.unstamped.min_count = 2\ndetectors.unstamped.window = "15m"\n'
        'receiver.failing.min_hosts = 1\nreceiver.failing.window = "15m"\n'
        'receiver.down.min_hosts = 1\nreceiver.down.after = "10m"\n'
        '[[quiet]]\nfrom = "12:30"\nto = "12:50"\nhosts = ["pi-3"]\n'
    )
    return load(config)


def in_words(decisions: list[Decision]) -> list[tuple[str, ...]]:
    """Return the decisions as a person reads them."""
    return [(*one.pair, one.state, one.action, one.reason, one.detail) for one in decisions]


def begun_at(events: list[Observation | UnitState], configured: Settings) -> list[Observation | UnitState]:
    """Return what all three read of the past at their begin: of the journal no more than its detectors go by."""
    since = NOON - lookback_of(configured.detectors()).traffic_us
    return [one for one in events if isinstance(one, Upload | UnitState) or one.at >= since]


def readable(seen: list[Observation | UnitState], configured: Settings, now: int) -> list[Observation | UnitState]:
    """Return what `check` reads of the sources: no row and no response that is too old for any detector."""
    rules = configured.rules()
    states = [one for one in seen if isinstance(one, UnitState)]
    rows_since, since = rules.reading_begins_at(states, now), now - lookback_of(rules.detectors).traffic_us
    return [
        one
        for one in seen
        if isinstance(one, UnitState) or one.at >= (rows_since if isinstance(one, Upload) else since)
    ]


class Service:
    """What the service does at a tick, on a fleet that it is fed."""

    def __init__(self, configured: Settings) -> None:
        self.engine = Engine(configured.rules())
        self.fleet = Fleet(configured.host_limit, configured.ignored, configured.expected)
        self.fleet.coverage = SEEN_WHOLE

    def feed(self, seen: list[Observation | UnitState]) -> None:
        """Take in what the sources showed."""
        self.fleet.uploads.record([one for one in seen if isinstance(one, Upload)])
        self.fleet.traffic.record([one for one in seen if not isinstance(one, Upload)])


STOPPED_IN_PART = [
    Upload("pi-2", _at(0)),
    UnitState(_at(0), is_running=False),
    Upload("pi-1", _at(12)),  # it was started otherwise
    UnitState(_at(71), is_running=True),
    Upload("pi-1", _at(116)),
]
"""A stop that an upload contradicts, whose host uploads again when another one is lost already."""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=events)
@example(events=STOPPED_IN_PART)
def test_the_service_check_and_replay_decide_alike(events: list[Observation | UnitState], configured: Settings) -> None:
    """At every tick: by state, by action and by reason, and whatever these refer to."""
    watched = Watched(configured.rules(), configured.mute_windows, configured.host_limit, configured.expected)
    replay, service = Replay(watched), Service(configured)
    events = begun_at(events, configured)
    suppressions_at = replay.suppressions
    observed = [(one.at, "", one) for one in events]
    span = (NOON - 1, NOON + TICKS * 5 * MINUTE_US)
    evaluating = evaluated(watched, SEEN_WHOLE, observed, span, lambda: (replay.open, replay.lost))
    fed = 0
    for evaluation in evaluating:
        now = evaluation.at
        replay.take(evaluation)
        of_replay = in_words(list(replay.decisions))
        due = sum(one.at <= now for one in events)
        saved_uploads: list[Observation | UnitState] = [Upload(host, at) for host, at in service.fleet.uploads.items()]
        saved_accepted = service.fleet.without_row()
        service.feed(events[fed:due])
        fed = due
        # `check` reads the state that the service saved at its latest tick, and everything that the sources hold.
        checked = Engine(configured.rules())
        saved = msgspec.json.decode(msgspec.json.encode(service.engine.incidents.snapshot()), type=Snapshot)
        checked.incidents.restore(saved)
        beside = Service(configured)
        beside.feed(saved_uploads)
        beside.fleet.record_accepted("", saved_accepted)
        beside.feed(readable(events[:due], configured, now))
        for engine, fleet in ((checked, beside.fleet), (service.engine, service.fleet)):
            fleet.lost = engine.incidents.once_uploaded
            fleet.protect(engine.incidents.anchored)

        of_check = in_words(checked.tick(beside.fleet, now, suppressions=suppressions_at(now)).decisions)
        of_service = in_words(service.engine.tick(service.fleet, now, suppressions=suppressions_at(now)).decisions)

        assert of_check == of_service
        assert of_replay == of_service
