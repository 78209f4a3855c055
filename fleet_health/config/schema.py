"""Every setting: its key, its kind, its default. Key names and defaults are a contract with operators' files."""

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
"""The kind of a detector's setting -> its reader."""

SCRIPT_ALERTS_PATH = "/var/lib/cis490/alerts.jsonl"
"""The alert log of the timer script. A `check` without a configuration runs in its place, so it writes there."""

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
"""The keys of one of several receivers."""

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
"""The detectors whose limits may differ by host, each by its symptom."""

OVERRIDABLE = {one.key: KEYS[one.key] for spec in BY_HOST.values() for one in spec.settings}
"""What `[[overrides]]` may set for some hosts, beside `hosts` itself."""


def _digest(*values: Any) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Where the index is, and the two keys of a row that matter.

    Attributes:
        path: The file.
        host_field: The key of the host.
        time_field: The key of the time.
        rotated: Globs of files that it is rotated to, beside those whose names show it; relative to its directory.

    """

    path: Path
    host_field: str
    time_field: str
    rotated: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """What shows whether another configuration reads the same: the file, and how its rows are read."""
        return _digest(str(self.path), self.host_field, self.time_field)


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Which journal, which entries in it, and how its lines are read.

    Attributes:
        units: The receiver's units, by name or glob; none if `match` alone decides.
        match: Alternatives: an entry of the units is the receiver's if it has all fields of one of them, `FIELD=value`,
            of a field with several values one; empty if every entry is.
        directory: A directory of journal files, instead of this machine's journal.
        namespace: A journal namespace, beside the default one; not together with a directory.
        response: Finds an access line.
        unstamped_marker: Stands in a line that reports an unstamped upload; None if no rule for such lines is in force.
        unstamped_host: Matches such a line, and finds the host in it; None if no rule is in force.

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
        """What shows whether another configuration reads the same: which entries, and how their lines are read."""
        host = self.unstamped_host
        patterns = (self.response.pattern, self.unstamped_marker, None if host is None else host.pattern)
        return _digest(self.units, self.match, str(self.directory), self.namespace, patterns)


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """A receiver, and where it leaves its traces.

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
    """What Prometheus is given.

    Attributes:
        hosts: Of which hosts there are series: `all`, `unwell` or `none`.
        textfile: Where the metrics are written at each evaluation, for node_exporter; None for nowhere.
        notify_textfile: Where `notify` writes its own; likewise.

    """

    hosts: str = "all"
    textfile: Path | None = None
    notify_textfile: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration, valid.

    Attributes:
        document: The file as TOML gave it, for who wants to know where a setting comes from.
        path: The file; None if there is none.
        receivers: The receivers, one at least.
        destinations: Where notifications are sent by `notify`.
        notify_directory: Where `notify` keeps its ledger.
        metrics: What Prometheus is given.
        page_directory: Where the page is written at each evaluation; None for nowhere.
        notify_control_path: Where `notify` listens.
        limits: Symptom -> its limits, `HostLimits` of them where they may differ by host; left out if it has none.
        switched_off: The symptoms that are not looked for.

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
        """Return by what the fleet is evaluated."""
        detectors = self.detectors()
        symptoms = frozenset(detector.symptom for detector in detectors)
        scope = Scope(symptoms, self.ignored, frozenset(self.expected), self._general)
        return Rules(detectors, self.policy, scope, self.mute_windows)

    @property
    def _general(self) -> frozenset[Pair]:
        """What can be found of the receivers and of the fleet as a whole."""
        subjects = {
            Subject.HOST: (),
            Subject.FLEET: (EVERY_HOST,),
            Subject.RECEIVER: tuple(named(EVERY_HOST, receiver.name) for receiver in self.receivers),
        }
        return frozenset((subject, spec.symptom) for spec in DETECTORS for subject in subjects[spec.subject])

    @property
    def receiver_names(self) -> tuple[str, ...]:
        """The names of the receivers; empty if there is only one, without a name."""
        return tuple(receiver.name for receiver in self.receivers if receiver.name)

    def detectors(self) -> tuple[Detector, ...]:
        """Make the detectors that are not switched off, each with its limits."""
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
