"""The type `apprise`: any service that Apprise knows."""

from __future__ import annotations

from fleet_health.config.destinations.shared import DestinationType, secret_key

APPRISE = DestinationType(
    about="Sends to any service that Apprise knows, such as Telegram, Pushover or Matrix. Apprise must be installed"
    " (`packaging/install.sh --with-apprise`); it runs in a process of its own for each message.",
    keys={
        "url_file": secret_key(
            "The file that holds the URL of the service, in the form that Apprise takes: `tgram://…`, `pover://…`."
        )
    },
    required=("url_file",),
)
