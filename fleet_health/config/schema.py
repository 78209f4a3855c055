"""All settings, with key, kind and default. Keys and defaults are a contract with the files of operators."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.rules import Rules
from fleet_health.alerting.scope import Scope
from fleet_health.config import pattern_values, receiver_patterns, values
from fleet_health.config.key import Key
from fleet_health.config.locations import LOCATIONS
from fleet_health.detectors.of_receiver import OfReceiver
from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Configured, Kind, Subject
from fleet_health.model.fleet import HOST_LIMIT
from fleet_health.model.subject import EVERY_HOST, named

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fleet_health.alerting.alert_policy import AlertPolicy
    from fleet_health.alerting.mute_windows import MuteWindow
    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.detectors.spec import Detector, DetectorSpec
    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.subject import Pair


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.DURATION: values.duration(),
    Kind.COUNT: values.count,
    Kind.RATIO: values.ratio,
    Kind.CADENCE: values.cadence,
    Kind.SCHEDULE: values.upload_schedule,
    Kind.SUGGESTED_FIX: pattern_values.suggested_fix,
}
"""Kind of a setting of a detector -> its reader."""

SCRIPT_ALERTS_PATH = "/var/lib/cis490/alerts.jsonl"
"""The alert log of the timer script. A `check` without a configuration replaces that script, so it writes there."""

KEYS: dict[str, Key] = {
    "tick": Key(values.duration(at_least="100ms"), "5m"),
    "hosts.limit": Key(values.count, HOST_LIMIT),
    "hosts.forget_after": Key(values.duration(), "30d"),
    "hosts.expected": Key(values.maybe_globs, []),
    "hosts.ignore": Key(values.maybe_globs, []),
    "index.path": Key(values.path, "/var/lib/cis490/index.jsonl"),
    "index.rotated": Key(values.path_globs, []),
    "index.host_field": Key(values.field, "host_id"),
    "index.time_field": Key(values.field, "received_at_wall"),
    "journal.unit": Key(values.units, receiver_patterns.UNIT),
    "journal.match": Key(values.matches, None),
    "journal.directory": Key(values.path, None),
    "journal.namespace": Key(values.namespace, None),
    "journal.response": Key(pattern_values.pattern("host", "status"), receiver_patterns.RESPONSE),
    "journal.unstamped.contains": Key(values.text, receiver_patterns.MARKER),
    "journal.unstamped.host": Key(
        pattern_values.pattern("host"), receiver_patterns.unstamped_host(receiver_patterns.MARKER)
    ),
    "alerts.path": Key(values.path, "/var/lib/fleet-health/alerts.jsonl"),
    "alerts.rotated": Key(values.path_globs, []),
    **LOCATIONS,
    "alerts.resolved": Key(values.switch, default=False),
    "alerts.resolve_after": Key(values.duration(), None),
    "alerts.repeat": Key(values.repeat, "hour"),
    "alerts.flap_limit": Key(values.count, 5),
    "alerts.flap_quiet": Key(values.duration(), "1h"),
    "metrics.hosts": Key(values.choice("all", "unwell", "none"), "all"),
    "metrics.textfile": Key(values.textfile, None),
    "metrics.notify_textfile": Key(values.textfile, None),
    "page.directory": Key(values.path, None),
    **{one.key: Key(_READERS[one.kind], one.default) for spec in DETECTORS for one in spec.settings},
    **{key: Key(values.switch, default=spec.is_on_by_default) for spec in DETECTORS for key in spec.switches},
}

RECEIVER_KEYS = {
    "name": Key(values.receiver_name, None),
    **{key: entry for key, entry in KEYS.items() if key.startswith(("index.", "journal."))},
}
"""The keys of a table `[[receivers]]`."""

HOSTS_KEY = Key(values.globs, None)
"""The key `hosts` of an override."""

QUIET_KEYS = {
    "days": Key(values.weekdays, ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    "from": Key(values.wall_time, None),
    "to": Key(values.wall_time, None),
    "zone": Key(values.zone, "UTC"),
    "hosts": Key(values.globs, None),
}
"""The keys of a mute window."""

BY_HOST: dict[str, DetectorSpec] = {spec.symptom: spec for spec in DETECTORS if spec.is_by_host}
"""Symptom -> detector, for detectors whose limits may differ by host."""

OVERRIDABLE = {one.key: KEYS[one.key] for spec in BY_HOST.values() for one in spec.settings}
"""The keys of a table `[[overrides]]`, except `hosts`."""


def _digest(*values: Any) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The settings of an index.

    Attributes:
        path: The file.
        host_field: The key of the host in a row.
        time_field: The key of the time in a row.
        rotated: Globs of further rotated files with unusual names, relative to its directory.

    """

    path: Path
    host_field: str
    time_field: str
    rotated: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """The identity of the index for comparing configurations: the file, and the keys of its rows."""
        return _digest(str(self.path), self.host_field, self.time_field)


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """The settings of a journal: the journal, the entries in it, and the patterns of its lines.

    Attributes:
        units: The names or globs of the units of the receiver; empty if only `match` selects entries.
        match: Alternatives, each a list of `FIELD=value`. An entry of the units belongs to the receiver if it has all
            fields of an alternative; of a field with several values, one suffices. Empty if all entries belong to it.
        directory: A directory of journal files, instead of this machine's journal.
        namespace: A journal namespace to read in addition to the default one; not together with a directory.
        response: Matches an access line.
        unstamped_marker: A text in each line that reports an unstamped upload; None if no rule for such lines is in
            force.
        unstamped_host: Matches such a line, with the host; None if no rule is in force.

    """

    units: tuple[str, ...]
    match: tuple[tuple[str, ...], ...]
    directory: Path | None
    namespace: str | None
    response: re.Pattern[str]
    unstamped_marker: str | None
    unstamped_host: re.Pattern[str] | None

    @property
    def identity(self) -> str:
        """The identity of the journal for comparing configurations: its entries, and the patterns of its lines."""
        host = self.unstamped_host
        patterns = (self.response.pattern, self.unstamped_marker, None if host is None else host.pattern)
        return _digest(self.units, self.match, str(self.directory), self.namespace, patterns)


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """The settings of a receiver.

    Attributes:
        name: Its name; empty if it is the only one.
        index: Its index.
        journal: Its journal.

    """

    name: str
    index: IndexSettings
    journal: JournalSettings


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The settings of the metrics.

    Attributes:
        hosts: The hosts with series of their own: `all`, `unwell` or `none`.
        textfile: The file for the metrics for node_exporter, written after each evaluation; None for no file.
        notify_textfile: The file for the metrics of `notify`; None for no file.

    """

    hosts: str = "all"
    textfile: Path | None = None
    notify_textfile: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid configuration.

    Attributes:
        document: The content of the file, which shows the origin of settings.
        path: The file; None if there is none.
        receivers: The receivers, at least one.
        destinations: The destinations to which `notify` sends notifications.
        notify_directory: The directory with the ledger of `notify`.
        metrics: The settings of the metrics.
        page_directory: The directory for the page, written after each evaluation; None for no page.
        notify_control_path: The path of the control socket of `notify`.
        limits: Symptom -> its limits, or `HostLimits` if they may differ by host; without symptoms that have no limits.
        switched_off: The symptoms whose detectors are switched off.

    """

    document: Mapping[str, Any] = field(compare=False)
    path: Path | None = field(compare=False)
    tick_us: int
    host_limit: int
    expected: tuple[str, ...]
    ignored: HostGlobs
    receivers: tuple[ReceiverSettings, ...]
    alerts_path: Path
    alerts_rotated: tuple[str, ...]
    state_directory: Path
    control_path: Path
    are_notices_recorded: bool
    policy: AlertPolicy
    mute_windows: tuple[MuteWindow, ...]
    destinations: tuple[DestinationSettings, ...]
    notify_directory: Path
    metrics: MetricsSettings
    page_directory: Path | None
    notify_control_path: Path
    limits: Mapping[str, Any]
    switched_off: frozenset[str]

    def rules(self) -> Rules:
        """Return the rules by which the fleet is evaluated."""
        detectors = self.detectors()
        symptoms = frozenset(detector.symptom for detector in detectors)
        scope = Scope(symptoms, self.ignored, frozenset(self.expected), self._general)
        return Rules(detectors, self.policy, scope, self.mute_windows)

    @property
    def _general(self) -> frozenset[Pair]:
        """The possible incidents of receivers and of the fleet as a whole."""
        subjects = {
            Subject.HOST: (),
            Subject.FLEET: (EVERY_HOST,),
            Subject.RECEIVER: tuple(named(EVERY_HOST, receiver.name) for receiver in self.receivers),
        }
        return frozenset((subject, spec.symptom) for spec in DETECTORS for subject in subjects[spec.subject])

    @property
    def receiver_names(self) -> tuple[str, ...]:
        """The names of the receivers; empty if there is only one, which has no name."""
        return tuple(receiver.name for receiver in self.receivers if receiver.name)

    def detectors(self) -> tuple[Detector, ...]:
        """Return the detectors that are not switched off, each with its limits."""
        expected = tuple(name for name in self.expected if not self.ignored.matches(name))
        detectors: list[Detector] = []
        for spec in DETECTORS:
            if spec.symptom in self.switched_off:
                continue
            for receiver in self.receivers if spec.subject is Subject.RECEIVER else self.receivers[:1]:
                detector = spec.build(Configured(self.limits, self.switched_off, expected, receiver.journal.units))
                is_one_of_several = spec.subject is Subject.RECEIVER and receiver.name
                detectors.append(OfReceiver(detector, receiver.name) if is_one_of_several else detector)
        return tuple(detectors)
