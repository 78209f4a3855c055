"""HTTP requests against real servers that fail in every way."""

from __future__ import annotations

import io
import logging
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme

from fleet_health.notify.destination import Delivered, DeliveryError, DestinationGoneError, RefusedMessageError
from fleet_health.notify.http.client import RESPONSE_LIMIT, HttpClient
from fleet_health.notify.http.connections import NO_PROXY, Connections
from fleet_health.notify.http.url import is_url, redacted
from fleet_health.notify.time_limit import TimeLimit
from tests.rig.ports import reserved_port
from tests.rig.unruly_server import (
    UnrulyServer,
    answering,
    babbling,
    closing,
    dripping,
    hanging,
    raw,
    resetting,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rig.unruly_server import Connection

PATH = "/services/T0123/very-secret-path"
SHORT_S = 0.3
LONG_S = 60.0


@pytest.fixture
def client() -> Iterator[HttpClient]:
    """A client that waits as long as a test does."""
    one = HttpClient(LONG_S)
    yield one
    one.close()


def failure(client: HttpClient, url: str, secrets: tuple[str, ...] = ()) -> DeliveryError:
    """Send a request that fails, and return how."""
    with pytest.raises(DeliveryError) as caught:
        client.request("POST", url, body=b"{}", secrets=secrets)
    return caught.value


def test_a_request_is_delivered_with_its_body_and_headers(client: HttpClient) -> None:
    """The response's status is returned for the history."""
    with UnrulyServer([answering("202 Whatever")]) as server:
        delivered = client.request("POST", server.url + PATH + "?a=b", body=b"{}", headers={"X-Key": "k"})

        assert delivered.delivered == Delivered("202 Accepted")
        (request,) = server.requests
        assert (request.method, request.target, request.body) == ("POST", PATH + "?a=b", b"{}")
        assert request.headers["x-key"] == "k"
        assert request.headers["user-agent"] == "fleet-health"


def test_a_connection_is_used_again(client: HttpClient) -> None:
    """A thousand requests need one handshake."""
    with UnrulyServer([answering()]) as server:
        for _ in range(3):
            client.request("POST", server.url)

        assert server.connections == 1


def test_user_and_password_in_a_url_are_a_login(client: HttpClient) -> None:
    """User and password of a URL are sent as a header, and are not in the target."""
    with UnrulyServer([answering()]) as server:
        client.request("POST", server.url.replace("//", "//anna:p%40ss@") + "/x")

        assert server.requests[0].target == "/x"
        assert server.requests[0].headers["authorization"] == "Basic YW5uYTpwQHNz"


@pytest.mark.fault("N1", rig="a real server that misbehaves")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (resetting, "connection reset by peer"),
        (closing, "the connection was closed without a response"),
        (babbling, "the connection was closed without a response"),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"), "the connection was closed without a response"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "the connection was closed without a response"),
        (raw(b"HTTP/1.1 two OK\r\n\r\n"), "the connection was closed without a response"),
        (answering("500 Oh no", b"the database is away"), "500 Internal Server Error: the database is away"),
        (answering("404 Not Found", b"<html>"), "404 Not Found"),
        (answering("599 Odd\x1b[31m phrase"), "599 Odd\\x1b[31m phrase"),
        (
            answering("302 Found", Location="http://elsewhere/secret"),
            "302 Found; redirects are not followed, set the URL that it leads to",
        ),
    ],
    ids=[
        "resets after the body",
        "closes",
        "no HTTP",
        "long header",
        "many headers",
        "no status",
        "500",
        "404",
        "odd status",
        "redirects",
    ],
)
def test_N1_what_a_server_does_wrong_is_said(
    client: HttpClient, answer: Callable[[Connection], None], said: str
) -> None:
    """The error names the host, and not the path of the URL, which is often a secret."""
    with UnrulyServer([answer]) as server:
        error = failure(client, server.url + PATH)

        assert str(error) == f"{server.url}/…: {said}"
        assert type(error) is DeliveryError
        assert error.is_response_lost == (said.startswith("the conn") or answer is resetting)
        assert len(server.requests) == 1


@pytest.mark.fault("N1", rig="a port that nobody listens on")
def test_N1_a_server_that_refuses_connections_is_named(client: HttpClient) -> None:
    """The error names the server and the reason of the system."""
    with reserved_port() as port:
        error = failure(client, f"http://127.0.0.1:{port}")

    assert str(error) == f"http://127.0.0.1:{port}: connection refused"
    assert not error.is_response_lost


def test_a_name_that_does_not_resolve_is_said(client: HttpClient) -> None:
    """The error contains the name as it is in the URL."""
    error = failure(client, "https://host.invalid/x")

    assert str(error) == "https://host.invalid/…: the name of the host cannot be resolved"


@pytest.mark.fault("N2", rig="a real server that hangs or drips")
@pytest.mark.parametrize(
    "answer",
    [
        hanging,
        dripping(b""),
        dripping(b"HTTP/1.1 100 Continue\r\nX-Header: "),
    ],
    ids=["hangs", "drips a status", "drips a header before the status"],
)
def test_N2_no_server_stretches_the_time(answer: Callable[[Connection], None]) -> None:
    """A request ends after its timeout, even if the server sends a byte now and then."""
    client = HttpClient(SHORT_S)
    with UnrulyServer([answer]) as server:
        before = time.monotonic()
        error = failure(client, server.url + PATH)

        assert time.monotonic() - before < LONG_S / 4
        assert str(error) == f"{server.url}/…: no response within 0.3 s"


class OverAtOnce(TimeLimit):
    """A limit that is over as soon as something has happened."""

    def __init__(self, has_happened: Event) -> None:
        super().__init__(LONG_S)
        self._has_happened = has_happened

    def _wait(self, thread: Thread, seconds: float) -> None:
        if self._has_happened.is_set():  # this is what ends after the interruption
            thread.join(seconds)
        self._has_happened.wait(LONG_S)


def test_after_a_timeout_the_next_request_is_sent(client: HttpClient) -> None:
    """A request that timed out may have been taken, and does not disturb the next one."""
    has_dripped = Event()
    with UnrulyServer([dripping(b"HTTP/1.1 ", has_dripped), answering()]) as server:
        client._limit = OverAtOnce(has_dripped)
        error = failure(client, server.url)
        client._limit = TimeLimit(LONG_S)

        assert error.is_response_lost
        assert client.request("POST", server.url).delivered == Delivered("200 OK")


@pytest.mark.fault("N2", rig="a real server that drips")
@pytest.mark.parametrize("rest", [b"X-Header: ", b"Content-Length: 1000000\r\n\r\n"], ids=["a header", "a body"])
def test_N2_with_its_status_a_message_is_taken(client: HttpClient, rest: bytes) -> None:
    """A response counts once its status has come, whether or not the rest comes in time."""
    has_dripped = Event()
    client._limit = OverAtOnce(has_dripped)
    with UnrulyServer([dripping(b"HTTP/1.1 200 OK\r\n" + rest, has_dripped)]) as server:
        assert client.request("POST", server.url).delivered == Delivered("200 OK")


def test_an_answer_that_ends_too_soon_is_one(client: HttpClient) -> None:
    """A response counts if its body is shorter than announced."""

    def answer(connection: Connection) -> None:
        answering(body=b"half", length=1_000)(connection)
        closing(connection)

    with UnrulyServer([answer]) as server:
        assert client.request("POST", server.url).delivered == Delivered("200 OK")


@pytest.mark.fault("N2", rig="a real server that does not end")
def test_N2_an_answer_is_read_up_to_a_bound(client: HttpClient) -> None:
    """A server that never ends its response fills no memory."""
    with UnrulyServer([answering("500 Oh", b"x" * (RESPONSE_LIMIT + 100_000))]) as server:
        error = failure(client, server.url)

        assert len(str(error)) < 400


@pytest.mark.fault("N3", rig="a real server with odd headers")
def test_N3_nothing_is_logged_beside_what_we_say(client: HttpClient) -> None:
    """urllib3 does not log its warnings, which contain whole URLs."""
    logged = io.StringIO()
    root, handler = logging.getLogger(), logging.StreamHandler(logged)
    root.addHandler(handler)

    def answer(connection: Connection) -> None:
        connection.socket.sendall(b"HTTP/1.1 200 OK\r\nno header\r\n: empty\r\nContent-Length: 0\r\n\r\n")
        closing(connection)

    try:
        with UnrulyServer([answer]) as server:
            client.request("POST", server.url + PATH)
    finally:
        root.removeHandler(handler)

    assert logged.getvalue() == ""


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("410 Gone", DestinationGoneError),
        ("400 Bad Request", RefusedMessageError),
        ("413 Too Large", RefusedMessageError),
        ("422 No", RefusedMessageError),
        ("401 Unauthorized", DeliveryError),
        ("404 Not Found", DeliveryError),
        ("502 Bad Gateway", DeliveryError),
    ],
)
def test_the_kind_of_error_decides_what_follows(client: HttpClient, status: str, kind: type[DeliveryError]) -> None:
    """Only a status that blames the message itself drops it; a token or a path can be corrected."""
    with UnrulyServer([answering(status)]) as server:
        assert type(failure(client, server.url)) is kind


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("120", 120, 120),
        ("0", 0, 0),
        ("9" * 5_000, 86_400, 10**10),
        (format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True), 3_600, 7_200),
        (format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True), 0, 0),
    ],
    ids=["seconds", "at once", "forever", "a date", "a date that has passed"],
)
def test_retry_after_is_heeded(client: HttpClient, status: str, value: str, least: float, most: float) -> None:
    """Retry-After is a number of seconds or a date."""
    with UnrulyServer([answering(status, Retry_After=value)]) as server:
        wait_s = failure(client, server.url).retry_after_s

        assert wait_s is not None
        assert least <= wait_s <= most


@pytest.mark.parametrize("value", ["soon", "-3", "1e9", "Fri, 99 Nov 2026 99:00:00 GMT", "٣"])
def test_a_retry_after_that_is_none_is_ignored(client: HttpClient, value: str) -> None:
    """With an invalid Retry-After, the backoff decides."""
    with UnrulyServer([answering("503 Away", Retry_After=value.encode().decode("latin-1"))]) as server:
        assert failure(client, server.url).retry_after_s is None


@pytest.mark.fault("N3", rig="a real server that echoes")
@pytest.mark.parametrize(
    "echo",
    [
        "no route for /services/T0123/very-secret-path",
        "no route for %2Fservices%2FT0123%2Fvery-secret-path",
        "bad token: tok+en/&1234",
        "bad token: tok%2Ben%2F%261234",
        'bad header "Bearer tok+en/&amp;1234"',
        "VERY-SECRET-PATH",
        "the token begins with tok+en/&",
        "dG9rK2VuLyYxMjM0",
    ],
)
def test_N3_a_server_that_echoes_a_secret_is_not_quoted(client: HttpClient, echo: str) -> None:
    """A response that contains a secret in any form is not quoted."""
    with UnrulyServer([answering("403 Forbidden", echo.encode())]) as server:
        error = failure(client, server.url + PATH, secrets=("tok+en/&1234",))

        assert str(error) == f"{server.url}/…: 403 Forbidden: …"


def test_a_short_path_hides_no_response(client: HttpClient) -> None:
    """A path of two letters is not a secret, and hides nothing."""
    with UnrulyServer([answering("403 Forbidden", b"no such token")]) as server:
        assert str(failure(client, f"{server.url}/in")).endswith("403 Forbidden: no such token")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of our own."""
    return trustme.CA()


def tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """Return the settings of a server with a certificate for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_the_authorities_of_a_file_are_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    """`ca_file` replaces the authorities of the system, for example by that of a company."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with UnrulyServer([answering()], tls(authority, "127.0.0.1")) as server:
        client = HttpClient(LONG_S, ca_file=tmp_path / "ca.pem")

        assert client.request("POST", server.url).delivered == Delivered("200 OK")


@pytest.mark.fault("N4", rig="a real server with TLS")
@pytest.mark.parametrize(
    ("name", "is_trusted", "said"),
    [
        ("127.0.0.1", False, "the server's certificate is not trusted: unable to get local issuer certificate"),
        ("elsewhere.example.org", True, "the server's certificate is not trusted: IP address mismatch"),
    ],
    ids=["an unknown authority", "the name of another host"],
)
def test_N4_a_certificate_that_is_not_right_is_refused(
    authority: trustme.CA, tmp_path: Path, name: str, said: str, *, is_trusted: bool
) -> None:
    """Nothing is sent to a server whose certificate is not valid."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with UnrulyServer([answering()], tls(authority, name)) as server:
        error = failure(HttpClient(LONG_S, ca_file=tmp_path / "ca.pem" if is_trusted else None), server.url + PATH)

        assert str(error).startswith(f"{server.url}/…: {said}")
        assert server.requests == []


def test_plain_http_instead_of_tls_is_said(client: HttpClient) -> None:
    """A server that speaks no TLS is reported as such, and gets no secret."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = Thread(target=serve)
        server.start()
        error = failure(client, f"https://127.0.0.1:{port}")
        server.join()

    assert str(error) == f"https://127.0.0.1:{port}: TLS failed: wrong version number"


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    """A missing or invalid `ca_file` is named."""
    (tmp_path / "other.pem").write_text("no certificate")

    missing = failure(HttpClient(LONG_S, ca_file=tmp_path / "ca.pem"), "https://127.0.0.1:1")
    other = failure(HttpClient(LONG_S, ca_file=tmp_path / "other.pem"), "https://127.0.0.1:1")

    assert str(missing) == f"ca_file {tmp_path}/ca.pem: no such file or directory"
    assert str(other) == f"ca_file {tmp_path}/other.pem: expected certificates in PEM, found something else"


def test_the_settings_of_tls_are_made_once() -> None:
    """All destinations share the TLS settings, which take a megabyte."""
    managers = [Connections(ca_file=None, proxy=None).manager(urlsplit("https://127.0.0.1:1")) for _ in range(2)]

    contexts = {id(one.connection_pool_kw["ssl_context"]) for one in managers}
    assert len(contexts) == 1


def test_a_proxy_is_taken_from_the_environment(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy may need a login, which is sent to the proxy only."""
    with UnrulyServer([answering()]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//anna:secret@"))

        assert client.request("POST", "http://host.invalid/x").delivered == Delivered("200 OK")
        (request,) = proxy.requests
        assert request.target == "http://host.invalid/x"
        assert request.headers["proxy-authorization"] == "Basic YW5uYTpzZWNyZXQ="


def test_no_proxy_of_the_environment_is_heeded(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in `no_proxy` is reached without the proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with UnrulyServer([answering()]) as server:
        assert client.request("POST", server.url).delivered == Delivered("200 OK")


def test_the_configuration_prevails_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`proxy` of a destination replaces the proxy of the environment, or switches it off."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with UnrulyServer([answering()]) as server, UnrulyServer([answering()]) as proxy:
        HttpClient(LONG_S, proxy=NO_PROXY).request("POST", server.url)
        HttpClient(LONG_S, proxy=proxy.url).request("POST", server.url)

        assert (len(server.requests), len(proxy.requests)) == (1, 1)


def test_tls_goes_through_a_proxy_as_a_tunnel(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses is named as the one that failed."""
    with UnrulyServer([answering("403 Forbidden")]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        error = failure(client, "https://host.invalid/x")

        assert (proxy.requests[0].method, proxy.requests[0].target) == ("CONNECT", "host.invalid:443")
        assert str(error).startswith("https://host.invalid/…: the proxy failed")


def test_a_proxy_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid proxy is reported without its URL, which may hold a password."""
    monkeypatch.setenv("http_proxy", "socks5://anna:secret@127.0.0.1:1")

    error = str(failure(HttpClient(SHORT_S), "http://127.0.0.1:1"))

    assert error.startswith("proxy: expected a URL such as http://proxy.example.org:3128")
    assert "secret" not in error


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org", "https://example.org"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org:443/a/b?c", "https://example.org/…"),
        ("http://u:p@example.org:8080/?token=x", "http://example.org:8080/…"),
        ("http://[::1]:9093/", "http://[::1]:9093"),
        ("http://example.org:port/", "…"),
    ],
)
def test_a_url_is_shown_by_its_host_alone(url: str, shown: str) -> None:
    """Its path, query, user and password may be secret."""
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "http://",
        "http://a b/",
        "http://example.org/\r\nX: y",
        "http://a:99999/",
    ],
)
def test_only_an_absolute_url_of_http_is_one(client: HttpClient, url: str) -> None:
    """A line break in it would be another header."""
    assert not is_url(url)
    assert str(failure(client, url)) == "expected an absolute URL of http or https, found something else"
