"""A real SMTP server on this machine, and one that misbehaves."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.rig.patience import PATIENCE_S
from tests.rig.ports import reserved_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from email.message import EmailMessage

USER, PASSWORD = "anna", "s3cret-password"


@dataclass
class MailServer:
    """Takes mail from whoever has encrypted, and logged in if that is wanted.

    Attributes:
        security: `starttls`, `tls` or `none`.
        tls: The certificate.
        is_login_required: Whether one must log in.
        refused: Recipients that it does not take.
        reply: What it answers to a mail.
        mails: What it has taken.
        envelopes: Sender and recipients of each.

    """

    security: str = "none"
    tls: ssl.SSLContext | None = None
    is_login_required: bool = False
    refused: Sequence[str] = ()
    reply: str = "250 2.0.0 Ok: queued as 4F2A"
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Listen."""
        self._stack = ExitStack()
        self.port = self._stack.enter_context(reserved_port())
        options: dict[str, Any] = {}
        if self.security == "starttls":
            options = {"tls_context": self.tls, "require_starttls": True}
        if self.is_login_required:
            options |= {"authenticator": _authenticate, "auth_required": True}
            options["auth_require_tls"] = self.security == "starttls"
        by_tls = self.tls if self.security == "tls" else None
        self._controller = Controller(
            self, "127.0.0.1", self.port, ssl_context=by_tls, ready_timeout=PATIENCE_S, **options
        )
        self._controller.start()
        self._stack.callback(self._controller.stop)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._stack.close()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        """Take a recipient or not."""
        if address in self.refused:
            return f"550 5.1.1 no such user here: {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Take a mail or not."""
        if self.reply.startswith("2"):
            self.mails.append(message_from_bytes(envelope.content, policy=default))
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return self.reply


def _authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword) -> AuthResult:
    is_right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


class ScriptedServer:
    """Greets, answers each line with the next of its replies, and then closes or hangs; after 354 it reads a mail."""

    def __init__(self, replies: Sequence[bytes], *, hangs: bool = False) -> None:
        self._replies = replies
        self._hangs = hangs

    def __enter__(self) -> Self:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._is_over = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        self._is_over.set()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            with client, client.makefile("rb") as lines:
                for number, reply in enumerate(self._replies):
                    if number:
                        lines.readline()
                    client.sendall(reply)
                if self._hangs:
                    self._is_over.wait(PATIENCE_S)
                    return
                while lines.readline() not in (b".\r\n", b"") and self._replies[-1].startswith(b"354"):
                    pass
