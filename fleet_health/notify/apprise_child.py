"""The process in which Apprise runs: it sends one message and ends.

Apprise takes more memory than all of `notify`, and one of its services may hang. This file is run as a program, and
imports nothing of fleet-health. It reads a URL and a message from stdin, the message in several lengths, the longest
first, and prints the result on stdout.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def main() -> None:
    """Send the message that stdin holds."""
    task = json.load(sys.stdin)
    try:
        result = _send(task)
    except ImportError:
        result = {"is_sent": False, "said": "", "is_missing": True}
    sys.stdout.write(json.dumps(result) + "\n")


def _send(task: dict[str, Any]) -> dict[str, Any]:
    import apprise  # noqa: PLC0415 - it may not be installed

    lines = _Lines()
    logging.getLogger("apprise").addHandler(lines)
    # Nothing is kept on disk, and no URL is logged.
    asset = apprise.AppriseAsset(async_mode=False, secure_logging=True, **_storage(apprise))
    service = apprise.Apprise.instantiate(task["url"], asset=asset)
    if service is None:
        return {"is_sent": False, "said": "; ".join(lines.said), "is_unknown": True}
    name = str(service.service_name)
    title, body = fitting(task["texts"], service.body_maxlen, service.title_maxlen)
    all_services = apprise.Apprise(asset=asset)
    all_services.add(service)
    is_sent = all_services.notify(body=body, title=title, notify_type=task["kind"], body_format="text")
    return {"is_sent": bool(is_sent), "service": name, "said": "; ".join(lines.said)}


def _storage(apprise: Any) -> dict[str, Any]:
    # Before 1.9, Apprise stores nothing.
    return {"storage_mode": "memory"} if hasattr(apprise, "PersistentStoreMode") else {}


def fitting(texts: list[list[str]], body_limit: int, title_limit: int) -> tuple[str, str]:
    """Return title and body of the longest text that a service takes whole. It may put the title into the body."""
    for title, body in texts:
        room = body_limit - (len(title) + 2 if title_limit <= 0 else 0)
        if len(body) <= room:
            return title, body
    title, body = texts[-1]
    return title, body[: max(0, body_limit)]


class _Lines(logging.Handler):
    """Keeps the warnings that Apprise logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self.said.append(record.getMessage())


if __name__ == "__main__":
    main()
