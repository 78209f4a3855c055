"""`mail`: through an SMTP server, or the sendmail of this machine; a thread for each incident.

All mails about an incident refer to the same Message-ID, `<incident.thread@…>`, which no mail has, and so are a thread.
A mail about several incidents refers to the threads of all of them.
"""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import IO, TYPE_CHECKING, Any, ClassVar

from fleet_health.config.destinations.mail import SMTP_PORTS
from fleet_health.model.instant import SECOND_US
from fleet_health.notify import wording
from fleet_health.notify.destination import Delivered, DeliveryError, RefusedMessageError
from fleet_health.notify.processes import run
from fleet_health.notify.secrets import Redaction, read_secret
from fleet_health.notify.time_limit import GRACE_S, TimeLimit
from fleet_health.notify.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.message import Message

_THREADS = 50
"""To how many threads a mail refers at most: a header must not be too long."""
_TAKEN, _TAKEN_ELSEWHERE, _PERMANENT = 250, 251, 500
_LINE_LIMIT = 200

RESPONSE_LIMIT = 65_536
"""How many bytes of a response are read."""


class Mail:
    """Sends a mail for each message."""

    takes_groups: ClassVar[bool] = True

    def __init__(self, settings: DestinationSettings) -> None:
        self._own: Mapping[str, Any] = settings.own
        self._timeout_s = settings.timeout_us / SECOND_US
        self._limit = TimeLimit(self._timeout_s)

    def send(self, message: Message) -> Delivered:
        """Deliver a message.

        Raises:
            DeliveryError: It was not taken for any recipient.

        """
        mail = composed(message, self._own["from"], self._own["to"]).as_bytes()
        if self._own["sendmail"] is not None:
            return self._by_sendmail(mail)
        host, port = self._own["server"]
        delivery = _SmtpDelivery(self._own, host, port or SMTP_PORTS[self._own["security"]], self._timeout_s)
        try:
            return self._limit.call(lambda: delivery.send(mail), delivery.shut_down)
        except TimeoutError:
            if delivery.delivered is not None:
                return delivery.delivered
            said = f"{delivery.place}: no response within {self._timeout_s:g} s"
            raise DeliveryError(said, is_response_lost=delivery.is_awaited) from None

    def close(self) -> None:
        """Do nothing: each mail has a connection of its own."""

    def _by_sendmail(self, mail: bytes) -> Delivered:
        program: str = self._own["sendmail"]
        # -oi: a line with only a dot does not end the mail.
        finished = run((program, "-oi", "-f", self._own["from"], "--", *self._own["to"]), mail, self._timeout_s)
        said = f"exit status {finished.status}"
        if finished.line:
            said += f": {wording.cut(finished.line, _LINE_LIMIT)}"
        if finished.status != 0:
            raise DeliveryError(f"{program}: {said}")
        return Delivered(said)


class _BoundedResponse:
    """The lines of one response, up to `RESPONSE_LIMIT` bytes."""

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        self.left = RESPONSE_LIMIT

    def readline(self, size: int = -1) -> bytes:
        """Read a line.

        Raises:
            OSError: The response is too long.

        """
        line = self._lines.readline(size)
        self.left -= len(line)
        if self.left < 0:
            raise OSError("the response is too long")
        return line

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class _Smtp(smtplib.SMTP):
    """A connection that its delivery can shut down while it is being opened, with responses of limited length."""

    def __init__(self, delivery: _SmtpDelivery, *args: Any, **options: Any) -> None:
        delivery.smtp = self
        super().__init__(*args, **options)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _BoundedResponse(self.sock.makefile("rb"))
        if isinstance(self.file, _BoundedResponse):
            self.file.left = RESPONSE_LIMIT
        return super().getreply()


class _TlsSmtp(_Smtp, smtplib.SMTP_SSL):
    """The same, encrypted from the first byte on."""


class _SmtpDelivery:
    """One mail to one server.

    Attributes:
        place: The server, as it is named in texts.
        is_awaited: Whether the server may have taken the mail: sending it has begun, and it was not refused.
        delivered: The result once the server has taken the mail, whatever becomes of the connection; else None.
        smtp: The connection, once there is one.

    """

    def __init__(self, own: Mapping[str, Any], host: str, port: int, timeout_s: float) -> None:
        self._own = own
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self.smtp: smtplib.SMTP | None = None
        self.place = f"smtp://{f'[{host}]' if ':' in host else host}:{port}"
        self.is_awaited = False
        self.delivered: Delivered | None = None

    def send(self, mail: bytes) -> Delivered:
        """Deliver a mail.

        Raises:
            DeliveryError: It was not taken for any recipient.

        """
        try:
            return self._deliver(mail)
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(self._said(error.smtp_code, error.smtp_error)) from None
        except smtplib.SMTPNotSupportedError:
            what = "a login" if self._own["security"] == "tls" else "STARTTLS, or a login"
            raise DeliveryError(f"{self.place}: the server does not offer {what}; look at `security`") from None
        except smtplib.SMTPException:
            said = f"{self.place}: the connection was closed"
            raise DeliveryError(said, is_response_lost=self.is_awaited) from None
        except OSError as error:
            raise DeliveryError(f"{self.place}: {_in_words(error)}", is_response_lost=self.is_awaited) from None
        finally:
            if self.smtp is not None:
                self.smtp.close()

    def _deliver(self, mail: bytes) -> Delivered:
        user = self._own["username"] or ""
        password = read_secret(self._own["password_file"], "password_file") if self._own["password_file"] else ""
        self._redaction = Redaction([password, f"\0{user}\0{password}" if password else ""])
        smtp = self._connected()
        if password:
            smtp.login(user, password)
        refused = self._envelope(smtp)
        self.is_awaited = True
        code, response = smtp.data(mail)
        if code != _TAKEN:
            self.is_awaited = False
            raise (RefusedMessageError if code >= _PERMANENT else DeliveryError)(self._said(code, response))
        missing = f"; refused for {'; '.join(refused)}" if refused else ""
        self.delivered = Delivered(f"{code} {self._line(response)}{missing}")
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
        return self.delivered

    def shut_down(self) -> None:
        """End the connection, in whatever state it is."""
        # An SSLSocket's own method would take away what another thread reads with.
        if self.smtp is not None and isinstance(self.smtp.sock, socket.socket):
            socket.socket.shutdown(self.smtp.sock, socket.SHUT_RDWR)

    def _connected(self) -> smtplib.SMTP:
        security, ca_file = self._own["security"], self._own["ca_file"]
        # smtplib would look up the name of this machine, which may take longer than the delivery.
        name = socket.gethostname()
        name = name if "." in name else "[127.0.0.1]"
        context = None if security == "none" else tls_context(None if ca_file is None else str(ca_file))
        smtp = (
            _TlsSmtp(self, self._host, self._port, name, timeout=self._timeout_s + GRACE_S, context=context)
            if security == "tls"
            else _Smtp(self, self._host, self._port, name, timeout=self._timeout_s + GRACE_S)
        )
        if security == "starttls":
            smtp.starttls(context=context)
        smtp.ehlo_or_helo_if_needed()
        return smtp

    def _envelope(self, smtp: smtplib.SMTP) -> list[str]:
        """Name sender and recipients; return the refused recipients, each with the reason.

        Raises:
            DeliveryError: Every recipient is refused.
            SMTPResponseException: The sender is refused.

        """
        code, response = smtp.mail(self._own["from"])
        if code != _TAKEN:
            raise smtplib.SMTPResponseException(code, response)
        refused = {}
        for recipient in self._own["to"]:
            code, response = smtp.rcpt(recipient)
            if code not in (_TAKEN, _TAKEN_ELSEWHERE):
                refused[recipient] = self._said(code, response)
        said = [f"{recipient}: {why.removeprefix(f'{self.place}: ')}" for recipient, why in refused.items()]
        if len(refused) == len(self._own["to"]):
            raise DeliveryError(f"{self.place}: {'; '.join(said)}")
        return said

    def _said(self, code: int, response: bytes | str) -> str:
        return f"{self.place}: {code} {self._line(response)}"

    def _line(self, response: bytes | str) -> str:
        text = response.decode(errors="replace") if isinstance(response, bytes) else response
        return wording.cut(self._redaction.clean(text), _LINE_LIMIT)


def _in_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'no reason').lower().replace('_', ' ')}; look at `security`"
    if isinstance(error, socket.gaierror):
        return "the name of the host cannot be resolved"
    return (error.strerror or "no response in time").lower()


def composed(message: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """Return the mail of a message. The Message-ID depends only on the message."""
    domain = sender.partition("@")[2] or "localhost"
    mark = ".test" if message.is_test else ""
    threads = list(dict.fromkeys(one.incident for one in message.notifications))[:_THREADS]
    roots = [f"<{_digest(incident)}{mark}.thread@{domain}>" for incident in threads]
    mail = EmailMessage(SMTP_POLICY)
    mail["Subject"] = wording.subject(message)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = datetime.now().astimezone()
    mail["Message-ID"] = f"<{_digest(message.key)}@{domain}>"
    mail["In-Reply-To"] = roots[0]
    mail["References"] = " ".join(roots)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(wording.text(message), cte="quoted-printable")
    return mail


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def build(settings: DestinationSettings) -> Mail:
    """Make a destination from its settings."""
    return Mail(settings)
