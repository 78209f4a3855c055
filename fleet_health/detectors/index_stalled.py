"""`index-stalled`: uploads are accepted, and no rows of them come to the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.disagreement import Disagreement, DisagreementLimits, contradictions, settings
from fleet_health.detectors.spec import BOTH, DetectorSpec, Lookback, Subject
from fleet_health.model.instant import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "index-stalled"


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="a94e61d7c2f04b3885d1f36b0e7c92da",
    subject=Subject.RECEIVER,
    needs=BOTH,
    is_of_absence=True,
    switches=(f"detectors.{SYMPTOM}.enabled",),
    limits=DisagreementLimits,
    settings=settings(
        SYMPTOM,
        "On the receiver: look whether the disk of its index is full and whether it may write there. If it does"
        " write, compare where to with `index.path` in the configuration of fleet-health.",
        # Of a host that is known by one source alone, the other's silence says nothing: its uploads would be missed.
        min_hosts=1,
        has_min_count=True,
    ),
    contradictions=contradictions(SYMPTOM),
    build=lambda configured: IndexStalled(configured.limits[SYMPTOM]),
)


class IndexStalled(Disagreement):
    """Finds out whether hosts with enough accepted uploads in the window have no row in it at all."""

    spec = SPEC

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the window, and for rows that came just before it."""
        return Lookback(uploads_us=self._limits.window_us + self._limits.slack_us, traffic_us=self._limits.window_us)

    def _lacking(self, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        limits = self._limits
        lacking: dict[str, int] = {}
        for host, counts in fleet.counts(since, now).items():
            if counts.accepted < limits.min_count:
                continue
            last_at, window = fleet.uploads.last_at(host), fleet.traffic.window(host)
            if window is None or (last_at is not None and last_at >= since):
                continue
            # A row from just before the window may be that of an upload within.
            counted_since = since if last_at is None else max(since, last_at + limits.slack_us + 1)
            accepted = window.count(counted_since, now - limits.slack_us).accepted
            if accepted >= limits.min_count:
                lacking[host] = accepted
        return lacking

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
            f"in the last {describe(self._limits.window_us)} the journal has {sum(lacking.values())} accepted uploads"
            f" of {len(lacking)} hosts of which the index has no row"
        )
