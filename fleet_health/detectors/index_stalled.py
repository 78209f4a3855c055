"""`index-stalled`: uploads are accepted, and no rows of them come to the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.detectors.disagreement import Disagreement, DisagreementLimits, contradictions, settings
from fleet_health.detectors.spec import BOTH, DetectorSpec, Lookback, Subject
from fleet_health.model.instant import describe
from fleet_health.model.window import NEVER
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "index-stalled"


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    urgency=4,
    message_id="a94e61d7c2f04b3885d1f36b0e7c92da",
    subject=Subject.RECEIVER,
    needs=BOTH,
    is_of_absence=True,
    switches=(f"detectors.{SYMPTOM}.enabled",),
    limits=DisagreementLimits,
    settings=settings(
        SYMPTOM,
        "On the receiver: check whether the disk of its index is full, and whether it may write there. If it does"
        " write, check that it writes to `index.path` of the configuration of fleet-health.",
        # If only one source knows a host, its absence from the other proves nothing: its uploads would be missed.
        min_hosts=1,
        has_min_count=True,
    ),
    contradictions=contradictions(SYMPTOM),
    build=lambda configured: IndexStalled(
        configured.limits[SYMPTOM],
        max(limits.lookback_us for limits in configured.limits[silent.SYMPTOM].each_alone()),
    ),
)


class IndexStalled(Disagreement):
    """Finds out whether enough uploads were accepted without a row in the index.

    They are counted for each host that still uploads, since its last row; and for all hosts together, since the last
    row of any host. If only one host uploads, once an hour, it is found at its third upload without a row.
    """

    spec = SPEC

    def __init__(self, limits: DisagreementLimits, lookback_us: int = 0) -> None:
        """Take the limits, and how far back uploads are known at all; 0 for no further than the window."""
        super().__init__(limits)
        self._lookback_us = max(lookback_us, limits.window_us + limits.slack_us)

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the window, and for rows and accepted uploads as far as these are known."""
        return Lookback(uploads_us=self._lookback_us, traffic_us=self._limits.window_us)

    def _lacking(self, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        limits = self._limits
        begin = fleet.since_begin("index", now - self._lookback_us)
        if now < begin < NEVER:
            return {}  # the index does not show this time any more
        # What was accepted before the index begins, longer ago than the window, may have its row elsewhere.
        known_since = min(since, begin)
        until = now - limits.slack_us
        newest_at = fleet.uploads.newest_at()
        since_any = known_since if newest_at is None else max(known_since, newest_at + limits.slack_us + 1)
        lacking: dict[str, int] = {}
        of_all: dict[str, int] = {}
        for host, accepted_at in fleet.traffic.accepted.items():
            row_at = fleet.uploads.last_at(host)
            # A row from just before an upload may be that upload's.
            since_own = known_since if row_at is None else max(known_since, row_at + limits.slack_us + 1)
            if accepted_at < since_own:
                continue
            if accepted_at >= since and (count := _accepted(fleet, host, since_own, until)) >= limits.min_count:
                lacking[host] = count
            if count := _accepted(fleet, host, max(since_own, since_any), until):
                of_all[host] = count
        return lacking | of_all if sum(of_all.values()) >= limits.min_count else lacking

    def _note(self, fleet: Fleet) -> str:
        late_us = max((one.late_us for one in fleet.coverage if one.kind == "index"), default=0)
        if not late_us:
            return ""
        return (
            f"; rows do come, but are dated {describe(late_us)} before they were written:"
            " look at the clock and the time zone of the receiver"
        )

    def _say(self, lacking: Mapping[str, int]) -> str:
        return (
            f"the journal has {plural(sum(lacking.values()), 'accepted upload')}"
            f" of {plural(len(lacking), 'host')} of which the index has no row"
        )


def _accepted(fleet: Fleet, host: str, since: Instant, until: Instant) -> int:
    """Count the accepted uploads of a host by the journal between two instants, both included.

    Recent ones are all counted; of older ones, only the latest few are known.
    """
    window = fleet.traffic.window(host)
    counted = 0 if window is None else window.count(since, until).accepted
    return max(counted, fleet.traffic.accepted.count(host, since, until))
