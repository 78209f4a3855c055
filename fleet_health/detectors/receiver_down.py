"""`receiver-down`: the receiver is down. Systemd reports that, it keeps restarting, or no host uploads any more."""

from __future__ import annotations

import math
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
    SlowToFind,
    Subject,
    are_met,
)
from fleet_health.detectors.wording import how_long_ago
from fleet_health.model.absence import absence_us, counted_us
from fleet_health.model.instant import SECOND_US, describe, isoformat
from fleet_health.model.pauses import passed_us
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.window import CLIENT_ERROR, SERVER_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

SYMPTOM = "receiver-down"

_BY_SYSTEMD, _BY_STARTS, _BY_INDEX = "systemd", "starts", "index"
_MOST = 0.75
"""The share of the active hosts that decides how long there may be no upload."""


@dataclass(frozen=True, slots=True)
class ReceiverDownLimits:
    """When the receiver counts as down.

    Attributes:
        after_us: Its unit is down when it stopped longer ago than this, strictly, and has not started since.
        min_hosts: How many hosts must be able to be late; the silence of fewer proves nothing.
        ratio: The share of silent hosts among these that makes a finding; 0 to 1.
        suggested_fix: What to do.
        starts: Its unit is down when it started this often and no host uploaded since the first of these starts.
        window_us: The time within which those starts must be.

    """

    after_us: int
    min_hosts: int
    ratio: float
    suggested_fix: SuggestedFix
    # A unit that fails at once and is started again every 15 s looks up whenever one looks. Nobody restarts a service
    # five times between two uploads of a whole fleet, and one that lives longer than six minutes takes some.
    starts: int = 5
    window_us: int = 1800 * SECOND_US


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    urgency=5,
    message_id="5d0b8c3ef1a2476f9c6e70d4b83a15c9",
    subject=Subject.RECEIVER,
    needs=EITHER,  # a receiver and its index may disappear together
    is_of_absence=True,
    switches=("receiver.enabled", "receiver.down.enabled"),
    stops_uploads=True,
    # Each host that it silenced gets as much time as a host that was silent by itself.
    absence_us=lambda limits, _: int(limits[silent.SYMPTOM].default.after_us),
    inhibits=(silent.SYMPTOM,),
    limits=ReceiverDownLimits,
    settings=(
        Setting(
            "receiver.down.after",
            Kind.DURATION,
            "2m",
            "after_us",
            "The alert fires if the receiver's unit stopped or failed longer ago than this, and has not started since.",
        ),
        Setting(
            "receiver.down.starts",
            Kind.COUNT,
            5,
            "starts",
            "The alert also fires if the unit started this many times within `window`, and no host has uploaded"
            " since the first of these starts.",
        ),
        Setting(
            "receiver.down.window",
            Kind.DURATION,
            "30m",
            "window_us",
            "How far back the starts of the unit are counted.",
        ),
        Setting(
            "receiver.down.min_hosts",
            Kind.COUNT,
            3,
            "min_hosts",
            "If no host uploads, the alert fires only if at least this many hosts are silent or refused, and at"
            " least the share `ratio` of them are silent and were not even refused lately. Hosts that cannot be"
            " late yet do not count.",
        ),
        Setting(
            "receiver.down.ratio",
            Kind.RATIO,
            0.9,
            "ratio",
            "At least this share of the hosts that count must be silent.",
        ),
        Setting(
            "receiver.down.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On the receiver: look at `systemctl status cis490-receiver.service` and start it. If it runs, look at the"
            " network before it; and if `index-stalled` is reported as well, at why it does not write its index.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="On the receiver: look at {status} and start it. If it runs, look at the network before"
            " it; and if `index-stalled` is reported as well, at why it does not write its index.",
        ),
    ),
    build=lambda configured: ReceiverDown(configured.limits[SYMPTOM], configured.limits[silent.SYMPTOM]),
)


class ReceiverDown(Rule, SlowToFind):
    """Finds out whether the receiver is down, in three ways.

    Systemd reports that its unit stopped, or that it restarted again and again; or no host uploads.
    """

    spec = SPEC

    def __init__(self, limits: ReceiverDownLimits, silent_limits: HostLimits[SilentLimits]) -> None:
        self._limits = limits
        self._silent_limits = silent_limits

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the longest lookback, and for as long as stops, starts and responses matter."""
        limits = self._limits
        answered_us = max(one.after_us for one in self._silent_limits.each_alone())
        return Lookback(uploads_us=self._lookback_us, traffic_us=max(limits.after_us, limits.window_us, answered_us))

    def candidates(self, fleet: Fleet, now: Instant) -> tuple[str, ...]:
        """Return `EVERY_HOST` if systemd reports that the unit is down, or no host has uploaded for long enough."""
        is_down = self._stopped_at(fleet, now) is not None or self._is_restarting(fleet, now)
        return (EVERY_HOST,) if is_down or self._is_quiet(fleet, now) else ()

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return how it was found. It inhibits `silent` for hosts that were not silent when the receiver went down."""
        ways: list[str] = []
        gone_at: list[Instant] = []
        if (stopped_at := self._stopped_at(fleet, now)) is not None:
            ways.append(
                f"systemd says that its unit stopped or failed at {isoformat(stopped_at)},"
                f" {describe(now - stopped_at)} ago, and it has not started since"
                f" (the limit is {describe(self._limits.after_us)})"
            )
            gone_at.append(stopped_at)
        if self._is_restarting(fleet, now):
            starts = self._starts(fleet, now)
            ways.append(
                f"systemd says that its unit started {len(starts)} times in {describe(self._limits.window_us)},"
                f" the last time at {isoformat(starts[-1])}, and no host has uploaded since the first of these starts"
            )
            gone_at.append(starts[0])
        by_index = (one for one in self.conditions(fleet, host, now) if one.way == _BY_INDEX)
        if (newest_at := fleet.newest_accepted_at()) is not None and are_met(by_index):
            quiet, active = self._quiet_and_active(fleet, now)
            ways.append(
                f"by the index no host has uploaded since {isoformat(newest_at)},"
                f" {how_long_ago(fleet, host, newest_at, now)}"
                f" (the limit is {describe(self._usual_us(fleet, now))}),"
                f" and {quiet} of {active} hosts that should have uploaded are silent"
            )
            gone_at.append(newest_at)
        first_gone_at = min(gone_at)
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail="; ".join(ways),
            suggested_fix=self._limits.suggested_fix.render(host),
            inhibits=frozenset(
                (name, silent.SYMPTOM)
                for name, last_at in fleet.latest_uploads()
                if self._is_consequence(fleet, name, last_at, first_gone_at)
            ),
            since=first_gone_at,
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the conditions of each of the three ways."""
        if host != EVERY_HOST:
            return ()
        limits, after_us = self._limits, self._usual_us(fleet, now)
        unit, newest_at = fleet.traffic.unit, fleet.newest_accepted_at()
        if unit is None:
            by_systemd = "nothing is known of it"
        else:
            by_systemd = f"{'started' if unit.is_running else 'stopped'} {describe(max(0, now - unit.at))} ago"
        quiet, active = self._quiet_and_active(fleet, now)
        share = quiet / active if active else 0.0
        is_whole = fleet.is_whole("index", now - after_us, now)
        return (
            Condition(
                "systemd: the unit",
                by_systemd,
                f"stopped for more than {describe(limits.after_us)}, and no upload since",
                "receiver.down.after",
                self._stopped_at(fleet, now) is not None,
                way=_BY_SYSTEMD,
            ),
            Condition(
                f"systemd: starts in the last {describe(limits.window_us)}, without an upload since the first",
                str(len(self._starts(fleet, now))),
                f"at least {limits.starts}",
                "receiver.down.starts",
                self._is_restarting(fleet, now),
                way=_BY_STARTS,
            ),
            Condition(
                "index: latest upload of any host",
                "none known" if newest_at is None else how_long_ago(fleet, EVERY_HOST, newest_at, now),
                f"longer ago than {describe(after_us)}",
                "detectors.silent.after",
                self._is_quiet(fleet, now),
                way=_BY_INDEX,
            ),
            Condition(
                f"index: the last {describe(after_us)}",
                "complete" if is_whole else "has a gap",
                "complete",
                "detectors.silent.after",
                is_whole,
                way=_BY_INDEX,
            ),
            Condition(
                "index: hosts that are silent or refused",
                str(active),
                f"at least {limits.min_hosts}",
                "receiver.down.min_hosts",
                active >= limits.min_hosts,
                way=_BY_INDEX,
            ),
            Condition(
                "index: share of them that is silent",
                f"{share:.1%}",
                f"at least {limits.ratio:.1%}",
                "receiver.down.ratio",
                bool(active) and share >= limits.ratio,
                way=_BY_INDEX,
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether a host has uploaded recently and since the unit stopped, or the unit has just started again.

        A unit that was already running at the last upload proves nothing, because it may hang. Nor does one that has
        run for so long that a host should have uploaded, nor one whose uploads cannot be seen. Nor is it a recovery
        that the silent hosts are forgotten in the end.
        """
        del host
        after_us = self._usual_us(fleet, now)
        unit, newest_at = fleet.traffic.unit, fleet.newest_accepted_at()
        if (
            unit is not None
            and unit.is_running
            and (newest_at is None or unit.at > newest_at)
            and now - unit.at <= after_us
            and len(self._starts(fleet, now)) <= 1
            and fleet.is_whole("index", now - after_us, now)
        ):
            return True
        is_contradicted = unit is None or unit.is_running or self._was_seen_since(unit.at, newest_at)
        return newest_at is not None and is_contradicted and passed_us(fleet.skips, newest_at, now) <= after_us

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload of any host in either source, or the unit's start if that is later."""
        del host
        unit, newest_at = fleet.traffic.unit, fleet.newest_accepted_at()
        if unit is None or not unit.is_running:
            return newest_at
        return unit.at if newest_at is None else max(unit.at, newest_at)

    def limits_of(self, host: str) -> str:
        """Return the limits, and that of `silent`."""
        del host
        limits = self._limits
        after_us = self._silent_limits.default.after_us
        return f"{limits.after_us} {limits.min_hosts} {limits.ratio} {after_us} {limits.starts} {limits.window_us}"

    def may_inhibit(self, fleet: Fleet, now: Instant) -> frozenset[Pair]:
        """Return which hosts may be silent because the receiver hangs.

        A receiver that hangs is found when the last upload of all is longer ago than the limit of most hosts. Hosts
        that upload less often, or have a shorter limit, are silent before that. A host stays pending only if no host
        has uploaded since it was due: one upload shows that the receiver works.
        """
        newest_at, limits = fleet.newest_accepted_at(), self._limits
        if newest_at is None or passed_us(fleet.skips, newest_at, now) <= limits.after_us:
            return frozenset()
        after_us = self._usual_us(fleet, now)
        if self._is_quiet(fleet, now) or not fleet.is_whole("index", now - after_us, now):
            return frozenset()
        waiting: set[Pair] = set()
        active = quiet = 0
        for host, last_at, own in self._active(fleet, now):
            is_quiet = own.is_exceeded(fleet, host, last_at, now)
            if not is_quiet and own.of(fleet, host) > after_us:
                continue  # it will not be late by then, so it proves nothing
            active += 1
            if _is_refused(fleet, host, last_at, now, after_us):
                continue
            quiet += 1
            if is_quiet and self._is_consequence(fleet, host, last_at, newest_at):
                waiting.add((host, silent.SYMPTOM))
        is_possible = active >= limits.min_hosts and quiet >= limits.ratio * active
        return frozenset(waiting) if is_possible else frozenset()

    def _is_consequence(self, fleet: Fleet, host: str, last_at: Instant, gone_at: Instant) -> bool:
        """Return whether a host was not silent yet when the receiver went down, in time in which it could upload."""
        after_us = self._silent_limits.of(host).of(fleet, host)
        return gone_at - last_at <= after_us or absence_us(fleet, host, last_at, gone_at) <= after_us

    @property
    def _shortest_us(self) -> int:
        return min(limits.after_us for limits in self._silent_limits.each_alone())

    @property
    def _lookback_us(self) -> int:
        return max(limits.lookback_us for limits in self._silent_limits.each_alone())

    def _stopped_at(self, fleet: Fleet, now: Instant) -> Instant | None:
        """Return since when systemd reports the unit as down; None if not, not for long enough, or if it is unsure."""
        unit = fleet.traffic.unit
        if unit is None or unit.is_running:
            return None
        # A machine that is booting stopped it before, and is about to start it.
        booted_at = max((until for _, until in fleet.shutdowns if until <= now), default=unit.at)
        if now - max(unit.at, booted_at) <= self._limits.after_us:
            return None
        if self._was_seen_since(unit.at, fleet.receiver_sign_at()):
            return None
        # In a gap of the journal, its start may be missing.
        return unit.at if fleet.is_shown("journal", unit.at, now) else None

    def _was_seen_since(self, stopped_at: Instant, newest_at: Instant | None) -> bool:
        """Return whether a sign of the receiver contradicts systemd: it was started in another way, or elsewhere.

        What it wrote while it stopped does not.
        """
        return newest_at is not None and newest_at - stopped_at > self._limits.after_us

    def _starts(self, fleet: Fleet, now: Instant) -> list[Instant]:
        """Return when the unit started within the window, since the newest upload of all."""
        since, newest_at = now - self._limits.window_us - 1, fleet.newest_accepted_at()
        since = since if newest_at is None else max(since, newest_at)
        return fleet.traffic.unit_history.starts_after(since, now)

    def _is_restarting(self, fleet: Fleet, now: Instant) -> bool:
        limits = self._limits
        # Uploads matter only if there are enough starts.
        in_window = fleet.traffic.unit_history.starts_after(now - limits.window_us - 1, now)
        return len(in_window) >= limits.starts and len(self._starts(fleet, now)) >= limits.starts

    def _active(self, fleet: Fleet, now: Instant) -> Iterator[tuple[str, Instant, SilentLimits]]:
        """Return each host that uploaded within its lookback, with its last upload and its limits."""
        for host, last_at in fleet.latest_uploads():
            limits = self._silent_limits.of(host)
            if counted_us(fleet, host, last_at, now) <= limits.lookback_us:
                yield host, last_at, limits

    def _usual_us(self, fleet: Fleet, now: Instant) -> int:
        """Return how long there may be no upload: the default limit of a host, or that of most hosts if it is shorter.

        If overrides give most hosts a shorter limit, the default is meant for a few, and decides nothing.
        """
        default_us, shortest_us = self._silent_limits.default.after_us, self._shortest_us
        if shortest_us == default_us:
            return default_us

        def make() -> int:
            own = sorted(limits.after_us for _, _, limits in self._active(fleet, now))
            return min([default_us, *own[math.ceil(_MOST * len(own)) - 1 :][:1]])

        return fleet.once(("usual after", self, now), make)

    def _is_quiet(self, fleet: Fleet, now: Instant) -> bool:
        """Return whether the newest upload of all is longer ago than the limit of most hosts."""
        row_at = fleet.uploads.newest_at()
        # If a host has just uploaded, there is no need to look at all hosts.
        if row_at is not None and passed_us(fleet.skips, row_at, now) <= self._shortest_us:
            return False
        newest_at = fleet.newest_accepted_at()
        return newest_at is not None and absence_us(fleet, EVERY_HOST, newest_at, now) > self._usual_us(fleet, now)

    def _quiet_and_active(self, fleet: Fleet, now: Instant) -> tuple[int, int]:
        """Count silent hosts that were not even refused recently, and all hosts that show whether the receiver works.

        A host that cannot be late yet, because of its own limit or a mute window, shows nothing unless it was refused.
        """
        active = quiet = 0
        usual_us = self._usual_us(fleet, now)
        for host, last_at, limits in self._active(fleet, now):
            is_refused = _is_refused(fleet, host, last_at, now, usual_us)
            is_silent = not is_refused and limits.is_exceeded(fleet, host, last_at, now)
            active += is_refused or is_silent
            quiet += is_silent
        return quiet, active


def _is_refused(fleet: Fleet, host: str, last_at: Instant, now: Instant, within_us: int) -> bool:
    """Return whether the receiver has refused a host recently and since its last upload: then it works."""
    window = fleet.traffic.window(host)
    if window is None:
        return False
    refused_at = window.earliest((CLIENT_ERROR, SERVER_ERROR), max(last_at + 1, now - within_us))
    return refused_at is not None and refused_at <= now
