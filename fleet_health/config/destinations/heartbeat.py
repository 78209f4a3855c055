"""The type `heartbeat`: a sign of life for a service that expects it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.config.destinations.shared import (
    ABOUT_INCIDENTS,
    HTTP_KEYS,
    DestinationType,
    chosen,
    http_problems,
    secret_key,
    url_keys,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.shared import Problems


def _problems(found: Mapping[str, Any]) -> Problems:
    yield from chosen(found, "url", "url_file")
    yield from http_problems(found)


HEARTBEAT = DestinationType(
    about="Pings a URL after each evaluation, so that a service elsewhere notices when fleet-health or its machine"
    " dies. While the daemon is blind, or an evaluation fails, `/fail` is added to the path of the URL; while the"
    " daemon does not answer, nothing is sent.",
    keys={
        **url_keys("Where to ping, such as at healthchecks.io."),
        "fail_url_file": secret_key("The file that holds the URL that is pinged instead of `/fail`."),
        **HTTP_KEYS,
    },
    omitted=ABOUT_INCIDENTS,
    problems=_problems,
)
