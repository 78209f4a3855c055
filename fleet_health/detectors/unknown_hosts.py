"""`unknown-hosts`: many hosts that have never uploaded are refused at once. One alert for all of them.

Any client that reaches the receiver can be refused under any name, any number of times. Each such name shows
`fatal-only` or `unstamped` like any host; only their notifications are grouped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import fatal_only, too_many_hosts, unstamped
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.detectors.fatal_only import FatalOnly
from fleet_health.detectors.spec import JOURNAL, PRESENT, Condition, DetectorSpec, Finding, Kind, Rule, Setting, Subject
from fleet_health.detectors.unstamped import Unstamped
from fleet_health.detectors.wording import name_hosts
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet_health.detectors.spec import Lookback
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

SYMPTOM = "unknown-hosts"


@dataclass(frozen=True, slots=True)
class UnknownHostsLimits:
    """When hosts that have never uploaded are alerted as a group.

    Attributes:
        min_hosts: From this many refused hosts on; fewer are alerted each by itself.
        suggested_fix: What to do.

    """

    min_hosts: int
    suggested_fix: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    urgency=2,
    message_id="cd4666a767244a18994aa8aacc4b3af6",
    subject=Subject.FLEET,
    needs=JOURNAL,
    is_of_absence=False,
    switches=("detectors.unknown-hosts.enabled",),
    is_group=True,
    inhibits=(fatal_only.SYMPTOM, unstamped.SYMPTOM, too_many_hosts.SYMPTOM),
    limits=UnknownHostsLimits,
    settings=(
        Setting(
            "detectors.unknown-hosts.min_hosts",
            Kind.COUNT,
            10,
            "min_hosts",
            "From this many refused hosts on, one alert reports all of them.",
        ),
        Setting(
            "detectors.unknown-hosts.suggested_fix",
            Kind.SUGGESTED_FIX,
            "Look in the receiver's journal for where these requests come from, and block those that are not yours."
            " List your new hosts in `hosts.expected`: then each gets an alert of its own.",
            "suggested_fix",
            "The text of the alert that says what to do.",
        ),
    ),
    build=lambda configured: UnknownHosts(
        configured.limits[SYMPTOM],
        FatalOnly(configured.limits[fatal_only.SYMPTOM]) if fatal_only.SYMPTOM not in configured.switched_off else None,
        Unstamped(configured.limits[unstamped.SYMPTOM]) if unstamped.SYMPTOM not in configured.switched_off else None,
    ),
)


class UnknownHosts(Rule):
    """Finds out whether many hosts that have never uploaded, and are not expected, are `fatal-only` or `unstamped`."""

    spec = SPEC

    def __init__(self, limits: UnknownHostsLimits, fatal: FatalOnly | None, stamps: Unstamped | None) -> None:
        """Take the limits, and the two detectors with the findings to group; None for one that is switched off."""
        self._limits = limits
        self._grouped = tuple(one for one in (fatal, stamps) if one is not None)

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the detectors with the findings to group."""
        return lookback_of(self._grouped)

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return the finding: it names the first of these hosts, and inhibits the findings of all of them."""
        refused = fleet.once((self, now), lambda: self._refused(fleet, now))
        inhibits = {pair for pairs in refused.values() for pair in pairs}
        if not too_many_hosts.is_about_known_hosts(fleet, now):
            inhibits.add((EVERY_HOST, too_many_hosts.SYMPTOM))
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=(
                f"{len(refused)} hosts that have never uploaded, and are not expected, are refused:"
                f" {name_hosts(refused)}{_alerted(fleet, refused)}{_left_out(fleet, now - self.lookback.traffic_us)}"
            ),
            suggested_fix=self._limits.suggested_fix.render(host),
            inhibits=frozenset(inhibits),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return how many such hosts there are."""
        if host != EVERY_HOST:
            return ()
        refused = fleet.once((self, now), lambda: self._refused(fleet, now))
        # Earlier names count too: a client that invents nine names in each window must not cause an alert for each.
        count = len(refused.keys() | fleet.alerted_strangers()) if refused else 0
        return (
            Condition(
                "refused hosts that have never uploaded",
                f"{len(refused)}{_alerted(fleet, refused)}{_left_out(fleet, now - self.lookback.traffic_us)}",
                f"at least {self._limits.min_hosts}",
                f"detectors.{SYMPTOM}.min_hosts",
                count >= self._limits.min_hosts,
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether too few hosts are left for a finding, in a window seen whole that left no host out."""
        del host
        since = now - self.lookback.traffic_us
        return fleet.is_whole("journal", since, now) and fleet.traffic.strangers.lost_at < since

    def sign_at(self, fleet: Fleet, host: str) -> Instant:
        """Return the present: the evaluation itself observes that there are too few."""
        del fleet, host
        return PRESENT

    def limits_of(self, host: str) -> str:
        """Return the limit, as one text."""
        del host
        return str(self._limits.min_hosts)

    def _refused(self, fleet: Fleet, now: Instant) -> Mapping[str, list[Pair]]:
        """Return the hosts that are grouped, each with its findings."""
        refused: dict[str, list[Pair]] = {}
        for detector in self._grouped:
            for host in detector.find_among(fleet, now, fleet.stranger_counts):
                refused.setdefault(host, []).append((host, detector.symptom))
        return refused


SYMPTOMS = frozenset({fatal_only.SYMPTOM, unstamped.SYMPTOM})
"""The symptoms with the findings to group."""


def _alerted(fleet: Fleet, refused: Mapping[str, object]) -> str:
    """Return a clause on how many more such hosts have an open incident; empty if none has."""
    count = len(fleet.alerted_strangers() - refused.keys())
    return f"; {count} more {'has' if count == 1 else 'have'} an open incident already" if count else ""


def _left_out(fleet: Fleet, since: Instant) -> str:
    """Return a clause on how often such a host lost its place; empty if none has since an instant."""
    left_out = fleet.traffic.strangers.left_out
    if left_out.latest_at < since:
        return ""
    times = "once" if left_out.count == 1 else f"{left_out.count} times"
    return (
        f"; there are more than the {fleet.traffic.stranger_limit} that are counted at a time:"
        f" one was dropped for another {times} so far"
    )
