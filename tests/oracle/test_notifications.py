"""Whatever suppresses alerts, and however that overlaps: each incident is notified once, and its end once.

In each course hosts fail and recover, the receiver stops, a source is hidden, silences and acknowledgements are made,
other rules are reloaded, and the service is restarted, at random. `Notified` checks each notification against what was
sent before, and the status must agree with it. When nothing suppresses any more, somebody was notified of each host
that is away; when all hosts are well, nothing is left.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.silences import Silence, Silences
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.api.overview import status_document
from fleet_health.cli.commands.status import exit_status
from fleet_health.config.loading import load
from fleet_health.engine import Circumstances, Engine
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response, UnitState, Upload
from fleet_health.records.silence_file import SilenceFile
from fleet_health.service.silencing import Silencing
from tests.api.test_one_truth import knowledge_of
from tests.oracle.notified import Notified
from tests.rig.properties import times

if TYPE_CHECKING:
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.config.schema import Settings

MINUTE = 60_000_000
TICK, AFTER = 5 * MINUTE, 15 * MINUTE
NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
HOSTS = ("a", "b", "c", "d")
WELL = "up"
BEHAVIOURS: dict[str, tuple[int, ...]] = {WELL: (201,), "away": (), "refused": (412,), "failing": (503,)}
"""What a host is answered at each tick; a row of the index follows each 201."""
BASE = """
alerts.flap_quiet = "40m"
detectors.silent.after = "15m"
detectors.silent.lookback = "1h"
detectors.fatal-only.window = "15m"
detectors.fatal-only.min_count = 2
receiver.failing.window = "15m"
detectors.index-stalled.enabled = false
detectors.journal-lossy.enabled = false
"""
VARIANTS = (
    "alerts.flap_limit = 100",
    "alerts.flap_limit = 1",
    'alerts.flap_limit = 3\nalerts.repeat = ["1h", "2h"]',
    'alerts.flap_limit = 100\n[[quiet]]\nfrom = "13:00"\nto = "14:30"\nhosts = ["a", "b"]',
    'alerts.flap_limit = 100\n[[quiet]]\nfrom = "12:30"\nto = "15:00"',
    "alerts.flap_limit = 100\ndetectors.silent.enabled = false",
    "alerts.flap_limit = 100\ndetectors.fatal-only.enabled = false\nreceiver.down.enabled = false",
    'alerts.flap_limit = 100\nhosts.ignore = ["a"]',
)


@cache
def settings_of(variant: str) -> Settings:
    """Return the settings of a variant."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "config.toml"
        config.write_text(BASE + variant)
        return load(config)


class Course:
    """A fleet, the engine that watches it, and what was sent, in a course of events that a seed determines.

    Attributes:
        chance: Decides what happens.
        unwatched: The hosts that were out of scope since they were last accepted: nobody looked when they fell silent.

    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.now = NOON
        self.fleet = Fleet()
        self.notified = Notified()
        self.silencing = Silencing(SilenceFile(Path("/nowhere")))
        self.silences: list[Silence] = []
        self.hosts = dict.fromkeys(HOSTS, WELL)
        self.accepted_at = dict.fromkeys(HOSTS, NOON)
        self.unwatched: set[str] = set()
        self.is_running = True
        self.hidden: frozenset[str] = frozenset()
        self.index: list[Upload] = []
        self.journal: list[Response | UnitState] = []
        self.saved = b""
        self.settings = settings_of(VARIANTS[0])
        self.engine = Engine(self.settings.rules())
        self.fleet.record_traffic("", [UnitState(NOON - 30 * 60 * MINUTE, is_running=True)])
        self.fleet.record_uploads("", [Upload(host, NOON) for host in HOSTS])
        self._evaluate()

    def run(self, events: int) -> None:
        """Let events happen, with some ticks after each."""
        happens = (
            *[self._behave] * 8, self._behave_alike, self._toggle_receiver, self._hide, *[self._silence] * 4,
            self._expire, self._reload, self._reload, self._restart,
        )  # fmt: skip
        for _ in range(events):
            self.chance.choice(happens)()
            self._watch(self.chance.choice([1, 2, 3, 4, 6, 10]))

    def end(self, *, is_well: bool) -> None:
        """Let nothing suppress any alert any more, for long enough, and let all hosts be well if that is wanted."""
        self.silences.clear()
        self.hidden = frozenset()
        self._adopt(VARIANTS[0])
        if not self.is_running:
            self._switch_receiver(is_running=True)
        if is_well:
            self.hosts = dict.fromkeys(HOSTS, WELL)
        self._watch(24)

    def _behave(self) -> None:
        """Let a host go on in another way."""
        self.hosts[self.chance.choice(HOSTS)] = self.chance.choice([WELL, WELL, *BEHAVIOURS])

    def _behave_alike(self) -> None:
        """Let every host go on in another way."""
        self.hosts = dict.fromkeys(HOSTS, self.chance.choice([WELL, WELL, *BEHAVIOURS]))

    def _toggle_receiver(self) -> None:
        """Stop or start the receiver."""
        self._switch_receiver(is_running=not self.is_running)

    def _hide(self) -> None:
        """Let some sources be unreadable, or none; what they hold meanwhile is read afterwards."""
        self.hidden = frozenset(self.chance.choice([(), (), ("index",), ("journal",), ("index", "journal")]))

    def _silence(self) -> None:
        """Silence, or acknowledge."""
        hosts = self.chance.choice([*HOSTS, "*", "[*]"])
        symptom = self.chance.choice([None, None, "silent", "fatal-only", "receiver-down", "flapping"])
        until = self.now + self.chance.choice([10, 40, 120]) * MINUTE
        is_until_resolved = self.chance.random() < 0.5
        number = f"s{len(self.silences)}"
        self.silences.append(
            Silence(number, hosts, symptom, self.now, until, "", "ann", is_until_resolved=is_until_resolved)
        )

    def _expire(self) -> None:
        """End every silence."""
        self.silences = [one.ended(self.now) if one.is_active(self.now) else one for one in self.silences]

    def _reload(self) -> None:
        """Go on by other rules."""
        self._adopt(self.chance.choice(VARIANTS))

    def _restart(self) -> None:
        """Start again after some ticks, from the saved state; after a kill, from that before the latest evaluation."""
        snapshot = msgspec.json.encode(self.engine.incidents.snapshot())
        saved = self.chance.choice([snapshot, self.saved])
        for _ in range(self.chance.choice([0, 3, 30])):
            self._let_pass()
        self.engine = Engine(self.settings.rules(), Incidents())
        self.engine.incidents.restore(msgspec.json.decode(saved, type=Snapshot))
        for row in self.notified.rows:
            self.engine.incidents.note_row(*row)

    def _watch(self, ticks: int) -> None:
        for _ in range(ticks):
            self._let_pass()
            self._evaluate()

    def _let_pass(self) -> None:
        """Let a tick pass, in which each host is answered, and the sources are read that can be."""
        self.now += TICK
        for host, how in self.hosts.items() if self.is_running else ():
            for status in BEHAVIOURS[how]:
                self.journal.append(Response(host, self.now, status))
                if how == WELL:
                    self.index.append(Upload(host, self.now))
                    self.accepted_at[host] = self.now
                    self.unwatched.discard(host)
        if "index" not in self.hidden:
            self.fleet.record_uploads("", self.index)
            self.index.clear()
        if "journal" not in self.hidden:
            self.fleet.record_traffic("", self.journal)
            self.journal.clear()

    def _evaluate(self) -> None:
        scope = self.engine.rules.scope
        self.unwatched.update(host for host in HOSTS if not scope.includes(host, "silent"))
        self.saved = msgspec.json.encode(self.engine.incidents.snapshot())
        self.fleet.lost = self.engine.incidents.once_uploaded
        suppressions = self._suppressions()
        circumstances = Circumstances(frozenset({"index", "journal"}) - self.hidden)
        outcome = self.engine.tick(self.fleet, self.now, circumstances, suppressions)
        incidents = self.engine.incidents.open
        self.notified.take(outcome, incidents, suppressions)
        self._end_acknowledgements()

        for alert in outcome.alerts:
            if alert.finding.symptom == "silent" and "journal" not in self.hidden:
                assert self.now - self.accepted_at[alert.finding.host] > AFTER, "it uploads"
        evaluation = self.engine.last
        assert evaluation is not None
        document = status_document(
            knowledge_of(self.engine, evaluation, self.settings, suppressions), self.fleet, bool, frozenset(), None
        )
        states = Counter(str(one.state) for one in self.engine.incidents.decisions(self.now, suppressions))
        assert document["incidents_by_state"] == states
        assert (exit_status(document) == 0) == states.keys().isdisjoint({"firing", "flapping", "unconfirmed"})

    def _end_acknowledgements(self) -> None:
        """End the acknowledgements of which nothing is open any more, as the service does after each evaluation."""
        for place, one in enumerate(self.silences):
            silences = Silences([one])
            is_needed = any(
                silences.acknowledging(*pair, incident.opened_at, self.now) is not None
                for pair, incident in self.engine.incidents.open.items()
            )
            if one.is_until_resolved and one.is_active(self.now) and not is_needed:
                self.silences[place] = one.ended(self.now, is_resolved=True)

    def _suppressions(self) -> Suppressions:
        self.silencing.silences = Silences(self.silences)
        return self.silencing.muter(self.now, self.settings.mute_windows)

    def _adopt(self, variant: str) -> None:
        self.settings = settings_of(variant)
        self.engine.adopt(self.settings.rules())

    def _switch_receiver(self, *, is_running: bool) -> None:
        self.is_running = is_running
        self.journal.append(UnitState(self.now + MINUTE, is_running=is_running))


@pytest.mark.parametrize("is_well", [False, True])
def test_each_incident_is_notified_once_and_so_is_its_end(*, is_well: bool) -> None:
    """However suppressions overlap with each other and with reloads, restarts and sources that cannot be read."""
    for seed in range(times(100)):
        course = Course(seed)
        course.run(25)
        course.end(is_well=is_well)
        away = {host for host, at in course.accepted_at.items() if course.now - at > AFTER} - course.unwatched
        told = {host for host, _ in course.notified.standing}

        assert away <= told or "*" in told, f"seed {seed}: nobody was notified of who is away"
        assert not is_well or not (told or course.engine.incidents.open), f"seed {seed}: all are well"
