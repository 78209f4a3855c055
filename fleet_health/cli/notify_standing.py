"""Check whether the configured destinations receive notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.cli.asking import is_forbidden
from fleet_health.cli.client import NoResponseError, RefusedError, ask, target
from fleet_health.config.document import read_document
from fleet_health.config.locations import load_location
from fleet_health.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S = 2.0
_MORE = "`fleet-health notify status` shows more"


def notify_problems(config: Path | None) -> list[str]:
    """Return a sentence for each destination that receives nothing; empty if this user may not ask."""
    try:
        configured = read_document(config).get("destinations") if config is not None else None
        if not configured:
            return []
        document = ask(load_location(config, "notify.control"), target("destinations"), patience_s=_PATIENCE_S)
    except NoResponseError as error:
        if is_forbidden(error):
            return []
        return [f"fleet-health-notify does not respond, so no notification is sent to a destination; {_MORE}"]
    except (ConfigError, RefusedError):  # they are reported elsewhere
        return []
    return [
        f"destination {one['name']} is {one['state']}: {one['last_error'] or 'no error is known'}; {_MORE}"
        for one in document["destinations"]
        if one["state"] in {"failing", "disabled"}
    ]
