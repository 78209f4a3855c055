"""`blind`: fleet-health itself cannot see. That says nothing about hosts, but a fault of a host would not be found.

A source cannot be read; or it can be read but shows nothing, because nothing in it is understood or it has no entry of
the receiver; or the journal is not what the receiver wrote, because journald suppresses lines again and again.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import fatal_only, unstamped
from fleet_health.detectors.spec import (
    NOTHING,
    PRESENT,
    Condition,
    DetectorSpec,
    Finding,
    Kind,
    Lookback,
    Rule,
    Setting,
    Subject,
)
from fleet_health.model.coverage import MISSED_AT_FIRST, MISSED_IN_A_ROW, latest_run
from fleet_health.model.instant import SECOND_US, describe, isoformat
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.coverage import Coverage, Gap, Share
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "blind"
CLOCK = "clock"
"""The source that counts as unavailable while the clock contradicts our own records."""

_SUGGESTED_FIX = (
    "On the machine where fleet-health runs: fix what `systemctl status fleet-health` reports about its sources;"
    " it goes on by itself."
)
_SUGGESTED_FIX_CLOCK = (
    "On the machine where fleet-health runs: set the clock (`timedatectl status`); it goes on by itself. If the clock"
    " is right, and was ahead before, confirm it as root: `touch /run/fleet-health/clock-is-right`."
)

_FIX_OF_SHARE = {
    "index": "Compare a row of the index (`tail -n 1`) with `index.host_field` and `index.time_field` in the"
    " configuration of fleet-health: `fleet-health status` shows why the rows are rejected.",
    "journal": "Run `fleet-health patterns`: it shows these lines, why `journal.response` does not match them, and a"
    " pattern for their format.",
}
_ITEMS = {"index": "rows of the index", "journal": "upload lines of the journal"}
_SLACK_US, _IN_FLIGHT_US = 300 * SECOND_US, 10 * SECOND_US
"""How much the clocks of the journal and of the index may differ, and how much later than its row a line may come."""

_RATE_LIMIT_DROP_IN = "/usr/local/share/doc/fleet-health/drop-ins/receiver-rate-limit.conf"


def unmatched_in_words(units: Sequence[str]) -> str:
    """Return a clause that says that the index has uploads, but the journal has no response of these units."""
    return f"the index has uploads, and the journal of {_named(units)} has no line that `journal.response` matches"


def _named(units: Sequence[str]) -> str:
    return ", ".join(units) or "the receiver"


@dataclass(frozen=True, slots=True)
class BlindLimits:
    """When fleet-health counts as blind.

    Attributes:
        after_us: How long a source may be unavailable, and gaps may recur, in microseconds; a finding is what lasts
            longer, strictly.

    """

    after_us: int


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    urgency=4,
    is_of_journal=True,
    message_id="4bc9e1b6f3b74ff4a7add4b0dd45cfc0",
    subject=Subject.RECEIVER,
    needs=NOTHING,  # it evaluates what cannot be seen
    is_of_absence=False,
    switches=("detectors.blind.enabled",),
    limits=BlindLimits,
    settings=(
        Setting(
            "blind_after",
            Kind.DURATION,
            "15m",
            "after_us",
            "If the index or the journal cannot be read, or shows nothing that is understood, for longer than this, the"
            " alert `blind` fires.",
        ),
    ),
    build=lambda configured: Blind(
        configured.limits[SYMPTOM].after_us,
        # The longest window of a detector of hosts that uses the journal.
        max(
            limits.window_us
            for symptom in (fatal_only.SYMPTOM, unstamped.SYMPTOM)
            for limits in configured.limits[symptom].each_alone()
        ),
        configured.units,
    ),
)


class Blind(Rule):
    """Finds out whether a source could not be read, or the journal was not whole, for too long."""

    spec = SPEC
    lookback = Lookback()

    def __init__(self, after_us: int, window_us: int = 0, units: Sequence[str] = ()) -> None:
        """Take the limits.

        Args:
            after_us: How long a source may be unavailable, and gaps may recur, in microseconds; a finding is what lasts
                longer, strictly.
            window_us: The longest window of the detectors that use the journal: if gaps are closer together, no window
                was seen whole.
            units: The receiver's units, by name or glob, for the suggested fix.

        """
        self._after_us = after_us
        self._window_us = window_us
        self._units = tuple(units)

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Name every source that has been unavailable for too long, and describe the gaps."""
        unseen = {
            coverage.source: f"the {coverage.source} for {describe(now - coverage.unseen_since)} ({coverage.reason})"
            for coverage in fleet.coverage
            if coverage.unseen_since is not None and now - coverage.unseen_since > self._after_us
        }
        away = frozenset(unseen)
        clock, run = unseen.pop(CLOCK, ""), self._run(fleet, now)
        details, fixes = [], []
        if unseen:
            details.append("cannot read " + ", nor ".join(unseen.values()))
            fixes.append(_SUGGESTED_FIX)
        if clock:
            details.append(f"cannot evaluate by {clock}")
            fixes.append(_SUGGESTED_FIX_CLOCK)
        if run is not None and self._is_lasting(run):
            details.append(f"the journal has kept having gaps for {describe(now - run.since)}: {_in_words(run)}")
            fixes.append(self._rate_limit_fix())
        for coverage in fleet.coverage:
            if self._is_missed(coverage, now):
                details.append(_missed_in_words(coverage))
                fixes.append(_FIX_OF_SHARE[coverage.kind])
            # A unit without entries, or whose lines are not understood, has no response either: those say more.
            if self._is_void(coverage, fleet, now):
                details.append(self._void_in_words(coverage))
                fixes.append(self._unit_fix())
            elif not self._is_missed(coverage, now) and self._is_unmatched(coverage, fleet, now):
                details.append(unmatched_in_words(self._units))
                fixes.append(_FIX_OF_SHARE[coverage.kind])
        is_of_journal = not (unseen or clock) and not any(
            coverage.kind == "index" and self._is_missed(coverage, now) for coverage in fleet.coverage
        )
        begins = [one.unseen_since for one in fleet.coverage if one.source in away and one.unseen_since is not None]
        begins += [run.since] if run is not None and self._is_lasting(run) else []
        begins += [one.share.last_at for one in fleet.coverage if self._is_missed(one, now) and one.share.last_at]
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail="; ".join(details),
            suggested_fix=" ".join(fixes),
            since=min(begins, default=None),
            is_of_journal=is_of_journal,
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return one condition for each way in which a source may not be seen.

        Any of them is enough for a finding.
        """
        if host != EVERY_HOST:
            return ()
        run = self._run(fleet, now)
        gaps_us = 0 if run is None else run.until - run.since
        away_us = max((now - one.unseen_since for one in fleet.coverage if one.unseen_since is not None), default=None)
        return (
            Condition(
                "unreadable source",
                "none" if away_us is None else f"for {describe(max(0, away_us))}",
                f"for longer than {describe(self._after_us)}",
                "blind_after",
                away_us is not None and away_us > self._after_us,
                way="away",
            ),
            Condition(
                "gaps in the journal, with no complete window in between",
                "none" if run is None else f"over {describe(gaps_us)}: {_in_words(run)}",
                f"over more than {describe(self._after_us)}",
                "blind_after",
                run is not None and self._is_lasting(run),
                way="gaps",
            ),
            *(
                Condition(
                    f"{_ITEMS[one.kind]} understood",
                    _understood_in_words(one.share),
                    f"none of the first {MISSED_AT_FIRST}, or none of the last {MISSED_IN_A_ROW}, for more than"
                    f" {describe(self._after_us)}",
                    "blind_after",
                    self._is_missed(one, now),
                    way=f"{one.source} understood",
                )
                for one in fleet.coverage
                if one.kind in _ITEMS
            ),
            *(
                Condition(
                    "latest response in the journal",
                    "none" if one.share.last_at is None else f"{isoformat(one.share.last_at)[:19]}Z",
                    "none, although the index has an upload",
                    "",
                    self._is_unmatched(one, fleet, now),
                    way=f"{one.source} unmatched",
                )
                for one in fleet.coverage
                if one.kind == "journal"
            ),
            *(
                Condition(
                    "entries of the receiver's unit in the journal",
                    self._void_in_words(one),
                    f"none for {describe(self._window_us)} although the index has an upload, or none ever",
                    "blind_after",
                    self._is_void(one, fleet, now),
                    way=f"{one.source} void",
                )
                for one in fleet.coverage
                if one.kind == "journal"
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether every source is read and understood, and the journal was whole for a window after gaps."""
        del host
        run = self._run(fleet, now)
        is_lasting = run is not None and self._is_lasting(run)
        return not is_lasting and all(
            one.unseen_since is None
            and one.share.is_understood
            and not one.doubt
            and not self._is_void(one, fleet, now)
            # A source that has replaced another one counts as unseen until it has shown an upload.
            and (one.kind not in fleet.exchanged or one.share.last_at is not None)
            for one in fleet.coverage
        )

    def sign_at(self, fleet: Fleet, host: str) -> Instant:
        """Return the present: we observe ourselves whether every source can be read."""
        del fleet, host
        return PRESENT

    def limits_of(self, host: str) -> str:
        """Return the limits."""
        del host
        return f"{self._after_us},{self._window_us}"

    def _is_missed(self, coverage: Coverage, now: Instant) -> bool:
        """Return whether nothing of what came in was understood, ever or for too long."""
        share = coverage.share
        is_long_ago = share.last_at is None or now - share.last_at > self._after_us
        return not share.is_understood and is_long_ago

    def _is_void(self, coverage: Coverage, fleet: Fleet, now: Instant) -> bool:
        """Return whether there is no entry of the receiver's unit, though there should be.

        A receiver that has accepted an upload since the journal begins must have entries there, at least about its
        start. One that is not installed yet needs none for a while. If there were entries, but none in a whole window
        with an upload, another unit accepted that upload, or this journal is a copy.
        """
        if coverage.kind != "journal":
            return False
        begins_at, newest_at = coverage.begins_at or 0, fleet.uploads.newest_at()
        if coverage.void_since is not None:
            has_uploads = newest_at is not None and newest_at > begins_at + _SLACK_US
            return has_uploads or now - coverage.void_since > self._after_us
        since = now - self._window_us
        if coverage.quiet_since is None or coverage.quiet_since > since or not coverage.is_shown(since, now):
            return False
        first_at, last_at = max(since, begins_at) + _SLACK_US, now - _IN_FLIGHT_US
        return any(first_at < at < last_at for at in fleet.uploads.instants())

    @staticmethod
    def _is_unmatched(coverage: Coverage, fleet: Fleet, now: Instant) -> bool:
        """Return whether the journal has no response, though the index has uploads."""
        return coverage.is_unmatched(fleet.uploads.instants(), now)

    def _void_in_words(self, coverage: Coverage) -> str:
        if coverage.void_since is not None:
            return f"the journal has not one entry of {self._named_units}"
        if coverage.quiet_since is None:
            return "unknown"
        return f"the journal has no entry of {self._named_units} since {isoformat(coverage.quiet_since)[:19]}Z"

    def _run(self, fleet: Fleet, now: Instant) -> Gap | None:
        """Return the journal's gaps that continue until now, as one; None if a whole window has passed since then."""
        gaps = (gap for coverage in fleet.coverage if coverage.kind == "journal" for gap in coverage.gaps)
        run = latest_run(gaps, self._window_us)
        return None if run is None or now - run.until > self._window_us else run

    def _is_lasting(self, run: Gap) -> bool:
        """Return whether gaps recur. A single one without a count only means that we were not running."""
        return run.until - run.since > self._after_us and (run.gaps > 1 or run.messages > 0)

    @property
    def _named_units(self) -> str:
        return _named(self._units)

    def _unit_fix(self) -> str:
        return (
            f"Does {self._named_units} log to this journal? Compare `journal.unit` and `journal.match` in the"
            " configuration of fleet-health with `systemctl list-units --type=service`."
        )

    def _rate_limit_fix(self) -> str:
        shown = "".join(f"-u {shlex.quote(unit)} " for unit in self._units)
        look = f"Find out what floods the journal: `journalctl {shown}-n 1000`."
        services = [unit for unit in self._units if unit.endswith(".service")]
        if not services:
            return f"{look} Lift the rate limit of the unit that does: install {_RATE_LIMIT_DROP_IN} as its drop-in."
        # The drop-ins of a template hold for each of its instances.
        name, at, _ = services[0].partition("@")
        unit = shlex.quote(f"{name}@.service" if at else services[0])
        return (
            f"{look} Lift the rate limit of that unit:"
            f" `install -D -m 644 {_RATE_LIMIT_DROP_IN} /etc/systemd/system/{unit}.d/receiver-rate-limit.conf`,"
            f" then `systemctl daemon-reload` and `systemctl restart {shlex.quote(services[0])}`."
        )


def _missed_in_words(coverage: Coverage) -> str:
    """Return how many rows or lines were not understood, and when the last one was."""
    share, items = coverage.share, _ITEMS[coverage.kind]
    if share.last_at is None:
        return f"not one of {share.came_in} {items} was understood"
    return f"the last {share.missed} {items} were not understood, the one before them is of {isoformat(share.last_at)}"


def _understood_in_words(share: Share) -> str:
    """Return how much of what came in was understood, and how much came in after the last understood one."""
    return f"{share.understood} of {share.came_in}" + (f", none of the last {share.missed}" if share.missed else "")


def _in_words(run: Gap) -> str:
    """Return how many gaps there were, since when, and how many messages are missing, if that is known."""
    gaps = f"{run.gaps} gap{'' if run.gaps == 1 else 's'} since {isoformat(run.since)[:19]}Z"
    return f"{gaps}, {run.cause}"
