"""`alertmanager`: all incidents that stand, to every member of a cluster, by version 2 of its API.

All alerts are sent each time: an alert stands until its `endsAt`, which each evaluation moves forward. The members do
not pass alerts on to each other, so each is sent everything, at the same time. A delivery succeeds if one member has
taken it, because the others catch up at the next evaluation.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from fleet_health.errors import printable
from fleet_health.model.instant import isoformat
from fleet_health.model.subject import receiver_of
from fleet_health.notify import wording
from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.destinations.by_http import Sender
from fleet_health.notify.http.url import redacted
from fleet_health.notify.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.message import Notification

_AT_ONCE = 1_000
"""How many alerts a request has at most. So many are about a megabyte."""


class Alertmanager:
    """Sends alerts to the members of a cluster."""

    def __init__(self, settings: DestinationSettings) -> None:
        self._own: Mapping[str, Any] = settings.own
        self._peers = {peer: Sender(settings) for peer in settings.own["peers"]}

    def hold(
        self,
        standing: Sequence[Notification],
        ended: Sequence[Notification],
        expires_at: Instant,
        *,
        is_test: bool = False,
    ) -> Delivered:
        """Deliver all incidents that stand, and recent losses and resolutions.

        Args:
            standing: The opening of each incident that is notified, is not over, and whose host is not lost.
            ended: The loss or resolution of each other one, if it is recent or not delivered yet.
            expires_at: Until when the incidents count as standing if nothing newer is sent.
            is_test: Whether it is a test. Then its alerts are called `FleetHealthTest`.

        Raises:
            DeliveryError: No member has taken it.

        """
        # The labels identify an alert, so the end of an incident would end a newer one with the same labels.
        latest = {(one.host, one.symptom): one for one in sorted(ended, key=_end)}
        stands = {(one.host, one.symptom) for one in standing}
        alerts = [self._alert(one, _end(one)) for pair, one in latest.items() if pair not in stands]
        alerts += [self._alert(one, expires_at, is_test=is_test) for one in standing]
        if not alerts:
            return Delivered("nothing to send")
        bodies = [msgspec.json.encode(alerts[start : start + _AT_ONCE]) for start in range(0, len(alerts), _AT_ONCE)]
        with ThreadPoolExecutor(len(self._peers), "alertmanager") as pool:
            results = list(pool.map(lambda peer: self._post(peer, bodies), self._peers))
        return _summed_up(dict(zip(self._peers, results, strict=True)))

    def close(self) -> None:
        """Close all connections."""
        for sender in self._peers.values():
            sender.close()

    def _post(self, peer: str, bodies: Iterable[bytes]) -> Delivered | DeliveryError:
        url = f"{peer.rstrip('/')}/api/v2/alerts"
        try:
            for body in bodies:
                taken = self._peers[peer].send("POST", url, body, {"Content-Type": "application/json"})
        except DeliveryError as error:
            return error
        return taken.delivered

    def _alert(self, one: Notification, ends_at: Instant, *, is_test: bool = False) -> dict[str, Any]:
        labels = {
            **self._own["labels"],
            "alertname": alert_name("test" if is_test else one.symptom),
            "host": printable(one.host),
            "symptom": printable(one.symptom),
            "receiver": printable(receiver_of(one.host)),
        }
        annotations = {
            "summary": wording.subject(Message("", (one,), is_test=is_test)),
            "description": printable(one.detail),
            "suggested_fix": printable(one.suggested_fix),
        }
        alert: dict[str, Any] = {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": {name: value for name, value in annotations.items() if value},
            "startsAt": isoformat(one.opened_at),
            "endsAt": isoformat(ends_at),
        }
        if self._own["page_url"] is not None:
            alert["generatorURL"] = f"{self._own['page_url'].rstrip('/')}/hosts/{quote(one.host, safe='')}"
        return alert


def _end(one: Notification) -> Instant:
    """Return when an incident ended or its host was lost; never before it began, for which the request is refused."""
    return max(one.opened_at, one.decided_at if one.ended_at is None else one.ended_at)


def alert_name(symptom: str) -> str:
    """Return the name of the alerts of a symptom, the same as in the rules for Prometheus: `FleetHealthFatalOnly`."""
    return "FleetHealth" + "".join(part.capitalize() for part in printable(symptom).split("-"))


def _summed_up(results: Mapping[str, Delivered | DeliveryError]) -> Delivered:
    errors = [one for one in results.values() if isinstance(one, DeliveryError)]
    taken = {peer: one for peer, one in results.items() if isinstance(one, Delivered)}
    if not taken:
        waits = [one.retry_after_s for one in errors if one.retry_after_s is not None]
        # If one member may take it later, so may the destination.
        kind = type(errors[0]) if len({type(one) for one in errors}) == 1 else DeliveryError
        raise kind("; ".join(map(str, errors)), min(waits, default=None))
    if not errors:
        return Delivered("; ".join(f"{redacted(peer)}: {one.response}" for peer, one in taken.items()))
    return Delivered(f"{len(taken)} of {len(results)} members; {'; '.join(map(str, errors))}")


def build(settings: DestinationSettings) -> Alertmanager:
    """Make a destination from its settings."""
    return Alertmanager(settings)
