"""The types of destinations, as they are configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.config.destinations.alertmanager import ALERTMANAGER
from fleet_health.config.destinations.apprise import APPRISE
from fleet_health.config.destinations.exec import EXEC
from fleet_health.config.destinations.heartbeat import HEARTBEAT
from fleet_health.config.destinations.mail import MAIL
from fleet_health.config.destinations.ntfy import NTFY
from fleet_health.config.destinations.webhook import WEBHOOK

if TYPE_CHECKING:
    from fleet_health.config.destinations.shared import DestinationType

TYPES: dict[str, DestinationType] = {
    "heartbeat": HEARTBEAT,
    "webhook": WEBHOOK,
    "alertmanager": ALERTMANAGER,
    "ntfy": NTFY,
    "mail": MAIL,
    "exec": EXEC,
    "apprise": APPRISE,
}
"""The value of `type` -> the type."""
