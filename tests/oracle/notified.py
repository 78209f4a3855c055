"""What somebody was notified of, by the rules of notification alone: each alert and notice must fit what it follows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fleet_health.alerting.alert import RESOLVED
from fleet_health.alerting.lifecycle import State
from fleet_health.model.instant import utc_hour

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.alerting.alert import Alert, Notice
    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.incidents import Outcome
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.model.subject import Pair

FLAPPING = "flapping"


class Notified:
    """What was sent so far.

    Attributes:
        standing: The incidents whose alert nothing has closed since, by host and symptom.
        lost: Those whose loss was notified since.
        rows: What the alert log holds: host, symptom, status, instant.

    """

    def __init__(self) -> None:
        self.standing: set[Pair] = set()
        self.lost: set[Pair] = set()
        self.rows: list[tuple[str, str, str, int]] = []
        self._in_hour: Counter[tuple[Pair, str]] = Counter()

    def take(self, outcome: Outcome, incidents: Mapping[Pair, Incident], suppressions: Suppressions) -> None:
        """Check what an evaluation sends against what was sent before it, and against what is shown of it."""
        for alert in outcome.alerts:
            incident = incidents.get((alert.finding.host, alert.finding.symptom))
            self._take_alert(alert, suppressions, None if incident is None else incident.opened_at)
        for notice in outcome.notices:
            self._take_notice(notice, suppressions)
        for decision in outcome.decisions:
            if decision.state is State.FORGOTTEN:
                self._close(decision.pair)
        self._compare(outcome, incidents)

    def _take_alert(self, alert: Alert, suppressions: Suppressions, opened_at: int | None) -> None:
        pair, hour = (alert.finding.host, alert.finding.symptom), utc_hour(alert.detected_at)
        self._in_hour[pair, hour] += 1

        assert suppressions(*pair, opened_at) is None, f"{pair} is suppressed, and alerted"
        assert self._in_hour[pair, hour] == 1, f"{pair} is alerted twice in an hour"
        if pair[1] != FLAPPING:
            assert alert.is_repeat == (pair in self.standing), (
                f"{pair}: a repeat follows an alert, and nothing else does"
            )

        self.standing.add(pair)
        self.lost.discard(pair)
        self.rows.append((*pair, "", alert.detected_at))

    def _take_notice(self, notice: Notice, suppressions: Suppressions) -> None:
        pair = (notice.host, notice.symptom)

        assert pair in self.standing, f"nobody was notified of {pair}, which is {notice.status}"
        assert suppressions(*pair, None) is None, f"{pair} is suppressed, and {notice.status}"
        assert notice.status == RESOLVED or pair not in self.lost, f"the loss of {pair} is notified twice"

        if notice.status == RESOLVED:
            self._close(pair)
        else:
            self.lost.add(pair)
        self.rows.append((*pair, notice.status, notice.detected_at))

    def _close(self, pair: Pair) -> None:
        self.standing.discard(pair)
        self.lost.discard(pair)
        self._in_hour = Counter({key: count for key, count in self._in_hour.items() if key[0] != pair})

    def _compare(self, outcome: Outcome, incidents: Mapping[Pair, Incident]) -> None:
        """Check that each open incident has one decision, which says whether somebody was notified of it."""
        ended = {State.RESOLVED, State.FORGOTTEN}
        decided = [one for one in outcome.decisions if one.state not in ended and one.pair[1] != FLAPPING]
        states = {one.pair: one.state for one in decided}
        firing = {pair for pair, state in states.items() if state is State.FIRING}
        pending = {pair for pair, state in states.items() if state is State.PENDING}

        assert sorted(one.pair for one in decided) == sorted(incidents)
        assert {pair for pair, one in incidents.items() if one.last_notified_at is not None} == (
            self.standing & incidents.keys()
        )
        assert firing <= self.standing
        assert not pending & self.standing
