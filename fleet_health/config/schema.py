"""Every setting: its key, its kind, its default. Key names and defaults are a contract with operators' files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleet_health.config import receiver_patterns, values
from fleet_health.config.fleet_keys import FLEET_KEYS
from fleet_health.config.key import Key
from fleet_health.detectors import (
    blind,
    fatal_only,
    index_stalled,
    journal_lossy,
    never_seen,
    receiver_down,
    receiver_failing,
    silent,
    too_many_hosts,
    unknown_hosts,
    unstamped,
)
from fleet_health.model.fleet import HOST_LIMIT

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from pathlib import Path

    from fleet_health.alerting.alert_policy import AlertPolicy
    from fleet_health.alerting.mute_windows import QuietWindow
    from fleet_health.detectors.disagreement import DisagreementLimits
    from fleet_health.detectors.fatal_only import FatalOnlyLimits
    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.never_seen import NeverSeenLimits
    from fleet_health.detectors.receiver_down import ReceiverDownLimits
    from fleet_health.detectors.receiver_failing import ReceiverFailingLimits
    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.detectors.spec import Detector
    from fleet_health.detectors.unknown_hosts import UnknownHostsLimits
    from fleet_health.detectors.unstamped import UnstampedLimits
    from fleet_health.model.host_globs import HostGlobs


KEYS: dict[str, Key] = {
    "tick": Key(values.duration(at_least="100ms"), "5m"),
    "blind_after": Key(values.duration(), "15m"),
    "hosts.limit": Key(values.count, HOST_LIMIT),
    "hosts.forget_after": Key(values.duration(), "30d"),
    "hosts.expected": Key(values.maybe_globs, []),
    "hosts.ignore": Key(values.maybe_globs, []),
    "index.path": Key(values.path, "/var/lib/cis490/index.jsonl"),
    "index.host_field": Key(values.field, "host_id"),
    "index.time_field": Key(values.field, "received_at_wall"),
    "journal.unit": Key(values.unit, "cis490-receiver.service"),
    "journal.directory": Key(values.path, None),
    "journal.namespace": Key(values.namespace, None),
    "journal.response": Key(values.pattern("host", "status"), receiver_patterns.RESPONSE),
    "journal.unstamped.contains": Key(values.text, receiver_patterns.MARKER),
    "journal.unstamped.host": Key(values.pattern("host"), receiver_patterns.unstamped_host(receiver_patterns.MARKER)),
    "alerts.path": Key(values.path, "/var/lib/fleet-health/alerts.jsonl"),
    "control.path": Key(values.path, "/run/fleet-health/control.sock"),
    "state.directory": Key(values.path, "/var/lib/fleet-health"),
    "alerts.resolved": Key(values.switch, default=False),
    "alerts.resolve_after": Key(values.duration(), None),
    "alerts.repeat": Key(values.repeat, "hour"),
    "alerts.flap_limit": Key(values.count, 5),
    "alerts.flap_quiet": Key(values.duration(), "1h"),
    "detectors.silent.after": Key(values.duration(), "30m"),
    "detectors.silent.lookback": Key(values.duration(), "24h"),
    "detectors.silent.suggested_fix": Key(
        values.suggested_fix,
        "On $host: look at `systemctl status cis490-shipper cis490-orchestrator` and start what is inactive;"
        " if one of them keeps failing, follow FIXYOURSELF.md.",
    ),
    "detectors.fatal-only.window": Key(values.duration(), "30m"),
    "detectors.fatal-only.min_count": Key(values.count, 10),
    "detectors.fatal-only.ratio": Key(values.ratio, 0.95),
    "detectors.fatal-only.suggested_fix": Key(
        values.suggested_fix,
        "On $host: read `journalctl -u cis490-shipper --since -5min`;"
        " on 412 see FIXYOURSELF.md, section B: probably a diverged HEAD.",
    ),
    "detectors.fatal-only.suggested_fix_412": Key(
        values.suggested_fix,
        "On $host: its HEAD has probably diverged, follow FIXYOURSELF.md, section B;"
        " `journalctl -u cis490-shipper --since -5min` shows the 412.",
    ),
    "detectors.fatal-only.suggested_fix_5xx": Key(
        values.suggested_fix,
        "Most answers were 5xx, so look at the receiver before $host: its state and its own journal say what fails.",
    ),
    "detectors.unstamped.window": Key(values.duration(), "30m"),
    "detectors.unstamped.min_count": Key(values.count, 10),
    "detectors.unstamped.suggested_fix": Key(
        values.suggested_fix,
        "On $host: run `scripts/install-lab-host.sh` to stamp VERSION again, then restart cis490-orchestrator;"
        " where cis490-autoupdate.timer is on, it heals by itself within 30 minutes.",
    ),
    "detectors.never-seen.grace": Key(values.duration(), "1h"),
    "detectors.never-seen.suggested_fix": Key(
        values.suggested_fix,
        "If $host is being set up: see that it is switched on, and `systemctl status cis490-shipper` there."
        " If not: take it out of `hosts.expected`.",
    ),
    **FLEET_KEYS,
}

LISTS = ("overrides", "quiet")
"""The tables that may come several times, and are no settings themselves."""

HOSTS_KEY = Key(values.globs, None)
"""The key `hosts` of an override."""

QUIET_KEYS = {
    "days": Key(values.weekdays, ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    "from": Key(values.wall_time, None),
    "to": Key(values.wall_time, None),
    "zone": Key(values.zone, "UTC"),
    "hosts": Key(values.globs, None),
}
"""The keys of a quiet window."""

ATTRIBUTES: dict[str, tuple[str, str]] = {
    key: (key.split(".")[1], attribute)
    for key, attribute in {
        "detectors.silent.after": "after_us",
        "detectors.silent.lookback": "lookback_us",
        "detectors.silent.suggested_fix": "suggested_fix",
        "detectors.fatal-only.window": "window_us",
        "detectors.fatal-only.min_count": "min_count",
        "detectors.fatal-only.ratio": "ratio",
        "detectors.fatal-only.suggested_fix": "suggested_fix",
        "detectors.fatal-only.suggested_fix_412": "suggested_fix_412",
        "detectors.fatal-only.suggested_fix_5xx": "suggested_fix_5xx",
        "detectors.unstamped.window": "window_us",
        "detectors.unstamped.min_count": "min_count",
        "detectors.unstamped.suggested_fix": "suggested_fix",
        "detectors.never-seen.grace": "grace_us",
        "detectors.never-seen.suggested_fix": "suggested_fix",
    }.items()
}
"""The key of a limit that may differ by host -> its symptom, and the attribute of its limits."""

OVERRIDABLE = {key: KEYS[key] for key in ATTRIBUTES}
"""What `[[overrides]]` may set for some hosts, beside `hosts` itself."""

LIMITS: dict[str, type[Any]] = {
    silent.SYMPTOM: silent.SilentLimits,
    fatal_only.SYMPTOM: fatal_only.FatalOnlyLimits,
    unstamped.SYMPTOM: unstamped.UnstampedLimits,
    never_seen.SYMPTOM: never_seen.NeverSeenLimits,
}


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Where the index is, and the two keys of a row that matter."""

    path: Path
    host_field: str
    time_field: str


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Which journal, which unit in it, and how its lines are read.

    Attributes:
        unit: The receiver's unit.
        directory: A directory of journal files, instead of this machine's journal.
        namespace: A journal namespace, instead of the default one; not together with a directory.
        response: Finds an access line.
        unstamped_marker: Stands in a line that reports an unstamped upload; None if no rule for such lines is in force.
        unstamped_host: Matches such a line, and finds the host in it; None if no rule is in force.

    """

    unit: str
    directory: Path | None
    namespace: str | None
    response: re.Pattern[str]
    unstamped_marker: str | None
    unstamped_host: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration, valid.

    Attributes:
        document: The file as TOML gave it, for who wants to know where a setting comes from.
        path: The file; None if there is none.

    """

    document: Mapping[str, Any] = field(compare=False)
    path: Path | None = field(compare=False)
    tick_us: int
    blind_after_us: int
    host_limit: int
    expected: tuple[str, ...]
    ignored: HostGlobs
    index: IndexSettings
    journal: JournalSettings
    alerts_path: Path
    state_directory: Path
    control_path: Path
    are_notices_recorded: bool
    policy: AlertPolicy
    quiet: tuple[QuietWindow, ...]
    silent: HostLimits[SilentLimits]
    fatal_only: HostLimits[FatalOnlyLimits]
    unstamped: HostLimits[UnstampedLimits]
    never_seen: HostLimits[NeverSeenLimits]
    receiver_failing: ReceiverFailingLimits
    receiver_down: ReceiverDownLimits
    index_stalled: DisagreementLimits
    journal_lossy: DisagreementLimits
    unknown_hosts: UnknownHostsLimits
    switched_off: frozenset[str]

    def detectors(self) -> tuple[Detector, ...]:
        """Make the detectors that are not switched off, each with its limits."""
        fatal, stamps = fatal_only.FatalOnly(self.fatal_only, self.unstamped), unstamped.Unstamped(self.unstamped)
        every: tuple[Detector, ...] = (
            silent.Silent(self.silent, self.fatal_only, self.unstamped),
            fatal,
            stamps,
            never_seen.NeverSeen(
                [name for name in self.expected if not self.ignored.matches(name)],
                max(limits.lookback_us for limits in self.silent.each_alone()),
                self.never_seen,
            ),
            blind.Blind(self.blind_after_us, self._journal_window_us(), self.journal.unit),
            too_many_hosts.TooManyHosts(),
            unknown_hosts.UnknownHosts(
                self.unknown_hosts,
                None if fatal.symptom in self.switched_off else fatal,
                None if stamps.symptom in self.switched_off else stamps,
            ),
            receiver_failing.ReceiverFailing(self.receiver_failing),
            receiver_down.ReceiverDown(self.receiver_down, self.silent),
            index_stalled.IndexStalled(self.index_stalled),
            journal_lossy.JournalLossy(self.journal_lossy),
        )
        return tuple(detector for detector in every if detector.symptom not in self.switched_off)

    def _journal_window_us(self) -> int:
        """Return the longest window of what is judged of hosts by the journal."""
        return max(
            *(limits.window_us for limits in self.fatal_only.each_alone()),
            *(limits.window_us for limits in self.unstamped.each_alone()),
        )
