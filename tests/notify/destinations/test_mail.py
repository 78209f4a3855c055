"""`mail`: against real SMTP servers, and a real program that takes mail."""

from __future__ import annotations

import smtplib
import ssl
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from fleet_health.notify.destination import Delivered, DeliveryError, RefusedMessageError
from fleet_health.notify.destinations.mail import build, composed
from fleet_health.notify.message import Kind
from tests.rig.destinations import configured, made, message, over, secret
from tests.rig.mail_server import PASSWORD, USER, MailServer, ScriptedServer
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.notify.destinations.mail import Mail

ADDRESSES = {"to": ["ops@example.org", "boss@example.org"], "from": "fleet@example.org"}
HELLO = (b"220 it ESMTP\r\n", b"250 it\r\n")


def mail_to(port: int, **keys: Any) -> Mail:
    """Return a destination for a server without encryption."""
    return build(configured("mail", **{"server": f"127.0.0.1:{port}", "security": "none", **ADDRESSES, **keys}))


def failure(mail: Mail) -> DeliveryError:
    """Send a message that is not taken, and return why."""
    with pytest.raises(DeliveryError) as caught:
        mail.send(message())
    return caught.value


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of our own."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """The certificate of a server here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_mail_is_plain_text_with_host_and_symptom_in_its_subject() -> None:
    """A watch shows only the subject, so host and symptom are in it."""
    with MailServer() as server:
        delivered = mail_to(server.port).send(message(made(detail="last upload 45 min ago: ähem\n.\nBcc: x@y")))

        assert delivered == Delivered("250 2.0.0 Ok: queued as 4F2A")
        (mail,) = server.mails
        assert server.envelopes == [("fleet@example.org", ["ops@example.org", "boss@example.org"])]
        assert mail["Subject"] == "silent: pi-02"
        assert mail["To"] == "ops@example.org, boss@example.org"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail.get_content_type() == "text/plain"
        lines = mail.get_content().splitlines()
        assert lines[0].startswith("pi-02: silent since ")
        assert lines[1:] == ["last upload 45 min ago: ähem . Bcc: x@y", "What to do: On pi-02: start the uploader."]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_encrypted_and_the_login_as_well(
    authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path, security: str
) -> None:
    """A server that takes mail only encrypted and after a login gets it."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    login = {"username": USER, "password_file": secret(tmp_path, "password", PASSWORD)}
    with MailServer(security, tls, is_login_required=security == "starttls") as server:
        mail = mail_to(
            server.port, security=security, ca_file=f"{tmp_path}/ca.pem", **(login if security == "starttls" else {})
        )

        assert mail.send(message()) == Delivered("250 2.0.0 Ok: queued as 4F2A")
        assert len(server.mails) == 1


@pytest.mark.fault("N4", rig="a real SMTP server with TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_N4_a_certificate_that_is_not_trusted_is_refused(tls: ssl.SSLContext, security: str) -> None:
    """Nothing is sent to a server whose certificate is not trusted."""
    with MailServer(security, tls) as server:
        error = failure(mail_to(server.port, security=security))

        assert str(error) == (
            f"smtp://127.0.0.1:{server.port}: the server's certificate is not trusted:"
            " unable to get local issuer certificate"
        )
        assert server.mails == []


@pytest.mark.fault("N4", rig="a real SMTP server")
def test_N4_a_server_without_starttls_gets_nothing() -> None:
    """Nothing is sent unencrypted: somebody in between may have removed the offer of STARTTLS."""
    with MailServer() as server:
        error = failure(mail_to(server.port, security="starttls"))

        assert str(error).endswith("the server does not offer STARTTLS, or a login; look at `security`")
        assert server.mails == []


def test_a_refused_login_is_said_without_the_password(
    authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """A refused login is tried again, because the password may be corrected."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    login = {"username": USER, "password_file": secret(tmp_path, "password", "wrong-password")}
    with MailServer("starttls", tls, is_login_required=True) as server:
        error = failure(mail_to(server.port, security="starttls", ca_file=f"{tmp_path}/ca.pem", **login))

        assert str(error).startswith(f"smtp://127.0.0.1:{server.port}: 535 ")
        assert type(error) is DeliveryError
        assert not error.is_response_lost


def test_all_of_an_incident_is_one_thread() -> None:
    """A mail about several incidents is in the thread of each, and a test is in none."""
    sender, to = "fleet@example.org", ("ops@example.org",)
    opening = composed(message(made(), made(incident="77", host="pi-03"), key="k-1"), sender, to)
    repeat = composed(message(made(kind=Kind.REPEAT), key="k-2"), sender, to)
    resolution = composed(message(over(), key="k-3"), sender, to)
    trial = composed(message(is_test=True, key="k-4"), sender, to)

    roots = opening["References"].split()
    assert len(roots) == 2
    assert repeat["References"] == resolution["References"] == resolution["In-Reply-To"] == roots[0]
    assert trial["References"] not in roots
    assert len({one["Message-ID"] for one in (opening, repeat, resolution, trial)}) == 4
    assert resolution["Subject"] == "no longer silent: pi-02"


def test_the_same_message_is_the_same_mail() -> None:
    """The same message has the same Message-ID, so that a mailbox can drop the second one."""
    first, second = (composed(message(), "fleet@example.org", ("ops@example.org",)) for _ in range(2))

    assert first["Message-ID"] == second["Message-ID"]


def test_a_mail_about_a_thousand_has_bounds() -> None:
    """Neither the headers nor the text of a mail grow with the number of incidents."""
    many = composed(
        message(*(made(incident=f"id{n}", host=f"pi-{n}") for n in range(1_000))), "fleet@localhost", ("root",)
    )

    assert len(many.as_bytes()) < 10_000
    assert max(map(len, many.as_bytes().splitlines())) <= 998


def test_a_recipient_that_is_refused_stops_no_other() -> None:
    """The other recipients get the mail, and the response names the refused one."""
    with MailServer(refused=["ops@example.org"]) as server:
        delivered = mail_to(server.port).send(message())

        assert delivered.response == (
            "250 2.0.0 Ok: queued as 4F2A; refused for ops@example.org: 550 5.1.1 no such user here: ops@example.org"
        )
        assert server.envelopes == [("fleet@example.org", ["boss@example.org"])]


def test_without_any_recipient_it_is_tried_again() -> None:
    """A mail that every recipient is refused for is tried again, because an address may be corrected."""
    with MailServer(refused=ADDRESSES["to"]) as server:
        error = failure(mail_to(server.port))

        assert type(error) is DeliveryError
        assert "boss@example.org: 550 5.1.1 no such user here" in str(error)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [("451 4.7.1 greylisted, try again", DeliveryError), ("554 5.7.1 looks like spam", RefusedMessageError)],
)
def test_the_response_to_the_mail_itself_decides(reply: str, kind: type[DeliveryError]) -> None:
    """After 4xx a mail is tried again, and after 5xx it is dropped."""
    with MailServer(reply=reply) as server:
        error = failure(mail_to(server.port))

        assert type(error) is kind
        assert str(error) == f"smtp://127.0.0.1:{server.port}: {reply}"


@pytest.mark.fault("N1", rig="a real server that misbehaves")
@pytest.mark.parametrize(
    ("replies", "said", "is_lost"),
    [
        ((b"554 5.3.2 go away\x1b[31m\r\n",), "554 5.3.2 go away\\x1b[31m", False),
        ((b"HTTP/1.1 400 Bad Request\r\n",), "-1 ", False),
        (HELLO, "the connection was closed", False),
        ((b"220-still greeting\r\n" * 100_000,), "the connection was closed", False),
        ((*HELLO, b"250 Ok\r\n", b"250 Ok\r\n", b"250 Ok\r\n", b"354 go on\r\n"), "the connection was closed", True),
    ],
    ids=["refuses", "no SMTP", "closes", "greets without end", "closes after the mail"],
)
def test_N1_what_a_server_does_wrong_is_said(replies: tuple[bytes, ...], said: str, *, is_lost: bool) -> None:
    """The error names the server, and says whether the mail may have been taken."""
    with ScriptedServer(replies) as server:
        error = failure(mail_to(server.port))

        assert str(error).startswith(f"smtp://127.0.0.1:{server.port}: {said}")
        assert error.is_response_lost == is_lost


@pytest.mark.fault("N2", rig="a real server that hangs")
@pytest.mark.parametrize("replies", [(), HELLO[:1]], ids=["no greeting", "no response"])
def test_N2_a_server_that_hangs_is_left_after_the_timeout(replies: tuple[bytes, ...]) -> None:
    """A delivery takes no longer than the timeout of the destination."""
    with ScriptedServer(replies, hangs=True) as server:
        error = failure(mail_to(server.port, timeout="1s"))

        assert str(error) == f"smtp://127.0.0.1:{server.port}: no response within 1 s"


@pytest.mark.fault("N2", rig="a goodbye that hangs")
def test_N2_a_mail_that_was_taken_stays_so_if_the_goodbye_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail is delivered once the server has taken it, even if the connection then hangs."""
    is_over = Event()
    monkeypatch.setattr(smtplib.SMTP, "quit", lambda _: is_over.wait(PATIENCE_S))
    with MailServer() as server:
        delivered = mail_to(server.port, timeout="1s").send(message())
        is_over.set()

        assert delivered == Delivered("250 2.0.0 Ok: queued as 4F2A")
        assert len(server.mails) == 1


def test_a_name_that_does_not_resolve_is_said() -> None:
    """The error names the server with the default port."""
    mail = build(configured("mail", server="host.invalid", **ADDRESSES))

    assert str(failure(mail)) == "smtp://host.invalid:587: the name of the host cannot be resolved"


def test_a_local_program_takes_mail(tmp_path: Path) -> None:
    """The program gets the mail on stdin and the addresses as arguments, as sendmail does."""
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\nprintf "%s " "$@" >{tmp_path}/arguments\ncat >{tmp_path}/mail\n')
    program.chmod(0o755)
    mail = build(configured("mail", sendmail=str(program), **ADDRESSES))

    assert mail.send(message()) == Delivered("exit status 0")
    assert (tmp_path / "arguments").read_text() == "-oi -f fleet@example.org -- ops@example.org boss@example.org "
    assert b"Subject: silent: pi-02\r\n" in (tmp_path / "mail").read_bytes()


def test_a_local_program_that_fails_is_said(tmp_path: Path) -> None:
    """The error has the exit status and the last line of the program."""
    program = tmp_path / "sendmail"
    program.write_text("#!/bin/sh\necho cannot queue >&2\nexit 75\n")
    program.chmod(0o755)

    error = failure(build(configured("mail", sendmail=str(program), **ADDRESSES)))

    assert str(error) == f"{program}: exit status 75: cannot queue"
