"""The type `alertmanager`: every incident that stands, to each member of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.config.destinations.shared import (
    ABOUT_INCIDENTS,
    HTTP_KEYS,
    LOGIN_KEYS,
    DestinationType,
    http_problems,
    login_problems,
)
from fleet_health.config.destinations.values import labels, url, urls
from fleet_health.config.key import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.shared import Problems


def _problems(found: Mapping[str, Any]) -> Problems:
    yield from login_problems(found)
    yield from http_problems(found)


ALERTMANAGER = DestinationType(
    about="Sends Alertmanager every open incident at each evaluation. Alertmanager decides who is notified. An alert"
    " that is no longer sent expires after four ticks.",
    keys={
        "peers": Key(
            urls,
            None,
            "The members of the cluster. Everything is sent to each of them, as Prometheus does. Never name a load"
            " balancer.",
            is_shown=False,
        ),
        "labels": Key(
            labels("alertname", "host", "symptom", "receiver"),
            {},
            "Further labels of each alert, beside `alertname`, `host`, `symptom` and `receiver`.",
        ),
        "page_url": Key(
            url,
            None,
            "The URL at which people reach the page of this fleet-health. Each alert links to its host there.",
            is_shown=False,
        ),
        **LOGIN_KEYS,
        **HTTP_KEYS,
    },
    required=("peers",),
    omitted=ABOUT_INCIDENTS - {"hosts", "symptoms", "after"},
    problems=_problems,
)
