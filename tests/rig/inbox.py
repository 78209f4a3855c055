"""A real HTTP server that takes what it is sent, as a webhook or a heartbeat, and keeps it."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.notify.message import Kind


@dataclass
class Inbox:
    """Answers every request with a status, which may be changed.

    Attributes:
        status: The status.
        documents: The documents that came in, also those that were answered with a failure.
        paths: Where each request went.

    """

    status: int = 204
    documents: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Listen."""
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                inbox.paths.append(self.path)
                if body[:1] == b"{":
                    inbox.documents.append(json.loads(body))
                self.send_response(inbox.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def received(self, *kinds: Kind) -> list[tuple[str, str, str]]:
        """Return kind, host and symptom of each document, sorted; only of some kinds if they are named."""
        return sorted(
            (one["kind"], one["host"], one["symptom"]) for one in self.documents if not kinds or one["kind"] in kinds
        )


def destinations(inboxes: Iterable[tuple[str, Inbox]], directory: object, more: str = "") -> str:
    """Return the configuration of a webhook for each inbox, with the directory and the socket of `notify`."""
    tables = "".join(
        f'[[destinations]]\nname = "{name}"\ntype = "webhook"\nurl = "{inbox.url}"\n{more}\n' for name, inbox in inboxes
    )
    return f'[notify]\ndirectory = "{directory}/notify"\ncontrol = "{directory}/notify.sock"\n{tables}'
