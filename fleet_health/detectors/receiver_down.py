"""`receiver-down`: the receiver is gone. Systemd says so, or nobody uploads any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.detectors.spec import (
    EITHER,
    Condition,
    DetectorSpec,
    Finding,
    Kind,
    Lookback,
    Rule,
    Setting,
    Subject,
    are_met,
)
from fleet_health.model.instant import describe, isoformat
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "receiver-down"

_BY_SYSTEMD, _BY_INDEX = "systemd", "index"


@dataclass(frozen=True, slots=True)
class ReceiverDownLimits:
    """When the receiver counts as down.

    Attributes:
        after_us: Its unit is down when it stopped longer ago than this, strictly, and has not started since.
        min_hosts: Fewer active hosts than this say nothing by their silence.
        ratio: The share of the silent among the active ones, from which on it is a finding; 0 to 1.
        suggested_fix: What to do.

    """

    after_us: int
    min_hosts: int
    ratio: float
    suggested_fix: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="5d0b8c3ef1a2476f9c6e70d4b83a15c9",
    subject=Subject.RECEIVER,
    needs=EITHER,  # a receiver and its index may be gone together
    is_of_absence=True,
    switches=("receiver.enabled", "receiver.down.enabled"),
    limits=ReceiverDownLimits,
    settings=(
        Setting(
            "receiver.down.after",
            Kind.DURATION,
            "2m",
            "after_us",
            "The receiver's unit stopped or failed longer ago than this, and has not started since.",
        ),
        Setting(
            "receiver.down.min_hosts",
            Kind.COUNT,
            3,
            "min_hosts",
            "That no host uploads counts if so many hosts were active, and at least the share `ratio` of them is"
            " silent.",
        ),
        Setting(
            "receiver.down.ratio",
            Kind.RATIO,
            0.9,
            "ratio",
            "The share of the silent among the active hosts, from which on it is an alert.",
        ),
        Setting(
            "receiver.down.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On the receiver: look at `systemctl status cis490-receiver.service` and start it. If it runs, look at the"
            " network before it; and if `index-stalled` is reported as well, at why it does not write its index.",
            "suggested_fix",
            "What the alert suggests to do.",
        ),
    ),
    build=lambda configured: ReceiverDown(configured.limits[SYMPTOM], configured.limits[silent.SYMPTOM]),
)


class ReceiverDown(Rule):
    """Finds out whether the receiver is down, in two ways: by systemd's word on its unit, and by the index."""

    spec = SPEC

    def __init__(self, limits: ReceiverDownLimits, silent_limits: HostLimits[SilentLimits]) -> None:
        self._limits = limits
        self._silent_limits = silent_limits

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the longest lookback, and for as long as a unit may be down."""
        return Lookback(uploads_us=self._lookback_us, traffic_us=self._limits.after_us)

    def candidates(self, fleet: Fleet, now: Instant) -> tuple[str, ...]:
        """Return `EVERY_HOST` if systemd says that the unit is down, or no host has uploaded for long enough."""
        is_quiet = self._is_quiet(fleet, now)
        return (EVERY_HOST,) if is_quiet or self._stopped_at(fleet, now) is not None else ()

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return by which ways. What it explains is the silence of the hosts that were not silent when it went."""
        ways: list[str] = []
        gone_at: list[Instant] = []
        if (stopped_at := self._stopped_at(fleet, now)) is not None:
            ways.append(
                f"systemd says that its unit stopped or failed at {isoformat(stopped_at)},"
                f" {describe(now - stopped_at)} ago, and it has not started since"
                f" (the limit is {describe(self._limits.after_us)})"
            )
            gone_at.append(stopped_at)
        by_index = (one for one in self.conditions(fleet, host, now) if one.way == _BY_INDEX)
        if (newest_at := fleet.uploads.newest_at()) is not None and are_met(by_index):
            quiet, active = self._quiet_and_active(fleet, now)
            age = describe(fleet.uploads.age_us(newest_at, now))
            ways.append(
                f"by the index no host has uploaded since {isoformat(newest_at)}, {age} ago"
                f" (the limit is {describe(self._silent_limits.default.after_us)}),"
                f" and {quiet} of {active} active hosts are silent"
            )
            gone_at.append(newest_at)
        first_gone_at = min(gone_at)
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail="; ".join(ways),
            suggested_fix=self._limits.suggested_fix.render(host),
            explains=frozenset(
                (name, silent.SYMPTOM)
                for name, last_at in fleet.latest_uploads()
                if first_gone_at - last_at <= self._silent_limits.of(name).after_us
            ),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return what each of the two ways goes by."""
        if host != EVERY_HOST:
            return ()
        limits, after_us = self._limits, self._silent_limits.default.after_us
        unit, newest_at = fleet.traffic.unit, fleet.uploads.newest_at()
        if unit is None:
            by_systemd = "nothing is known of its unit"
        else:
            by_systemd = f"{'started' if unit.is_running else 'stopped'} {describe(max(0, now - unit.at))} ago"
        quiet, active = self._quiet_and_active(fleet, now)
        share = quiet / active if active else 0.0
        is_whole = fleet.is_whole("index", now - after_us, now)
        return (
            Condition(
                "by systemd",
                by_systemd,
                f"stopped longer ago than {describe(limits.after_us)}, and no upload since",
                "receiver.down.after",
                self._stopped_at(fleet, now) is not None,
                way=_BY_SYSTEMD,
            ),
            Condition(
                "by the index: latest upload of all",
                "none is known"
                if newest_at is None
                else f"{describe(max(0, fleet.uploads.age_us(newest_at, now)))} ago",
                f"longer ago than {describe(after_us)}",
                "detectors.silent.after",
                self._is_quiet(fleet, now),
                way=_BY_INDEX,
            ),
            Condition(
                f"by the index: index of {describe(after_us)}",
                "whole" if is_whole else "with a gap",
                "whole",
                "detectors.silent.after",
                is_whole,
                way=_BY_INDEX,
            ),
            Condition(
                "by the index: active hosts",
                str(active),
                f"at least {limits.min_hosts}",
                "receiver.down.min_hosts",
                active >= limits.min_hosts,
                way=_BY_INDEX,
            ),
            Condition(
                "by the index: share of the silent",
                f"{share:.1%}",
                f"at least {limits.ratio:.1%}",
                "receiver.down.ratio",
                bool(active) and share >= limits.ratio,
                way=_BY_INDEX,
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether a host has uploaded lately and since the unit stopped, or the unit has just started again.

        A unit that runs, and ran already when the last host uploaded, proves nothing: it may hang. Nor does one that
        has run for so long that somebody should have uploaded, or if nobody can see who uploads. Nor does it help that
        the silent hosts are forgotten in the end.
        """
        del host
        after_us = self._silent_limits.default.after_us
        unit, newest_at = fleet.traffic.unit, fleet.uploads.newest_at()
        if (
            unit is not None
            and unit.is_running
            and (newest_at is None or unit.at > newest_at)
            and now - unit.at <= after_us
            and fleet.is_whole("index", now - after_us, now)
        ):
            return True
        is_contradicted = unit is None or unit.is_running or self._has_uploaded_since(unit.at, newest_at)
        return newest_at is not None and is_contradicted and fleet.uploads.age_us(newest_at, now) <= after_us

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest row of any host, or the unit's start if that is later."""
        del host
        unit, newest_at = fleet.traffic.unit, fleet.uploads.newest_at()
        if unit is None or not unit.is_running:
            return newest_at
        return unit.at if newest_at is None else max(unit.at, newest_at)

    def limits_of(self, host: str) -> str:
        """Return the limits, and that of `silent`."""
        del host
        limits = self._limits
        return f"{limits.after_us} {limits.min_hosts} {limits.ratio} {self._silent_limits.default.after_us}"

    @property
    def _lookback_us(self) -> int:
        return max(limits.lookback_us for limits in self._silent_limits.each_alone())

    def _stopped_at(self, fleet: Fleet, now: Instant) -> Instant | None:
        """Return since when the unit is down by systemd's word; None if it is not, not for long enough, or unsure."""
        unit = fleet.traffic.unit
        if unit is None or unit.is_running or now - unit.at <= self._limits.after_us:
            return None
        if self._has_uploaded_since(unit.at, fleet.uploads.newest_at()):
            return None
        # Where something is missing, its start may be.
        return unit.at if fleet.is_shown("journal", unit.at, now) else None

    def _has_uploaded_since(self, stopped_at: Instant, newest_at: Instant | None) -> bool:
        """Return whether a upload contradicts systemd: the receiver was started otherwise, or elsewhere.

        What it still wrote while it went does not.
        """
        return newest_at is not None and newest_at - stopped_at > self._limits.after_us

    def _is_quiet(self, fleet: Fleet, now: Instant) -> bool:
        """Return whether the newest upload of all is longer ago than a host may be silent."""
        newest_at, after_us = fleet.uploads.newest_at(), self._silent_limits.default.after_us
        return newest_at is not None and fleet.uploads.age_us(newest_at, now) > after_us

    def _quiet_and_active(self, fleet: Fleet, now: Instant) -> tuple[int, int]:
        """Count the silent hosts, and all that uploaded within their lookback."""
        active = quiet = 0
        for host, last_at in fleet.latest_uploads():
            limits = self._silent_limits.of(host)
            age_us = fleet.uploads.age_us(last_at, now)
            if age_us <= limits.lookback_us:
                active += 1
                quiet += age_us > limits.after_us
        return quiet, active
