"""`webhook`: against a real HTTP server, and the verifier that its receivers use."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from fleet_health.notify.destination import Delivered, DeliveryError, DestinationGoneError, RefusedMessageError
from fleet_health.notify.destinations.webhook import build
from fleet_health.notify.payload import payload
from tests.rig.destinations import configured, made, message, secret
from tests.rig.unruly_server import UnrulyServer, answering, hanging, resetting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.unruly_server import Request

SIGNING = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
NASTY = 'it said "no"\\, {"host": "x"}\n</b>&host=other\u2028'


def sent(server: UnrulyServer, **keys: Any) -> Request:
    """Send a message with these keys, and return the request."""
    webhook = build(configured("webhook", url=f"{server.url}/hook", **keys))
    webhook.send(message(made(detail=NASTY)))
    webhook.close()
    return server.requests[-1]


def test_the_document_is_sent_with_its_key() -> None:
    """The body is the document of the notification, and its key is in two headers."""
    with UnrulyServer([answering("204 No Content")]) as server:
        webhook = build(configured("webhook", url=f"{server.url}/hook"))

        assert webhook.send(message()) == Delivered("204 No Content")
        (request,) = server.requests
        assert (request.method, request.target) == ("POST", "/hook")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["idempotency-key"] == request.headers["webhook-id"] == "k-1"
        assert json.loads(request.body) == payload(message())
        assert "webhook-signature" not in request.headers


def test_the_signature_is_what_receivers_verify(tmp_path: Path) -> None:
    """The verifier of Standard Webhooks accepts the signature, and refuses another body or key."""
    with UnrulyServer([answering()]) as server:
        request = sent(server, secret_file=secret(tmp_path, "signing", SIGNING))

        assert Verifier(SIGNING).verify(request.body, request.headers)["host"] == "pi-02"
        for headers, body in (
            (request.headers, request.body + b" "),
            (request.headers | {"webhook-id": "k-2"}, request.body),
        ):
            with pytest.raises(WebhookVerificationError):
                Verifier(SIGNING).verify(body, headers)


@pytest.mark.parametrize("content", ["not base64!", "whsec_", "whsec_ä"])
def test_what_cannot_sign_is_said(tmp_path: Path, content: str) -> None:
    """The error says what is wrong with the secret, and does not quote it."""
    with UnrulyServer([answering()]) as server:
        with pytest.raises(DeliveryError) as caught:
            sent(server, secret_file=secret(tmp_path, "signing", content))

        assert str(caught.value) == (
            "secret_file: expected whsec_ and base64, as Standard Webhooks has it, found something else"
        )
        assert server.requests == []


@pytest.mark.fault("N1", rig="a real server that resets")
def test_N1_an_attempt_is_repeated_with_the_same_key_and_body() -> None:
    """A repeated attempt has the same key and body, so that the receiver can recognise it."""
    with UnrulyServer([resetting, answering()]) as server:
        webhook = build(configured("webhook", url=server.url))
        with pytest.raises(DeliveryError) as caught:
            webhook.send(message())
        webhook.send(message())

        assert caught.value.is_response_lost
        first, second = server.requests
        assert first.body == second.body
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.fault("N6", rig="a real server")
def test_N6_a_body_of_json_can_hold_any_text() -> None:
    """No text can end the JSON string that it is in."""
    with UnrulyServer([answering()]) as server:
        request = sent(server, body='{"text": "$host is $symptom: $detail", "cost": "$$1", "end": "$ended_wall"}')

        assert json.loads(request.body) == {
            "text": "pi-02 is silent: " + payload(message(made(detail=NASTY)))["detail"],
            "cost": "$1",
            "end": "",
        }


@pytest.mark.fault("N6", rig="a real server")
def test_N6_a_form_can_hold_any_text() -> None:
    """No text can add a field to a form."""
    with UnrulyServer([answering()]) as server:
        request = sent(server, content_type="application/x-www-form-urlencoded", body="host=$host&text=$detail")

        assert parse_qs(request.body.decode()) == {
            "host": ["pi-02"],
            "text": [payload(message(made(detail=NASTY)))["detail"]],
        }


def test_another_body_has_the_texts_as_they_are() -> None:
    """In a body of another type, texts are UTF-8 without terminal control characters."""
    with UnrulyServer([answering()]) as server:
        request = sent(server, content_type="text/plain; charset=utf-8", body="$subject: $detail")

        assert request.headers["content-type"] == "text/plain; charset=utf-8"
        assert request.body.decode() == 'silent: pi-02: it said "no"\\, {"host": "x"}\\n</b>&host=other\\u2028'


def test_headers_and_logins_are_sent(tmp_path: Path) -> None:
    """A token, or a user with a password from a file, is sent as a header."""
    token, password = secret(tmp_path, "token", "t0ken"), secret(tmp_path, "password", "p:ss")
    with UnrulyServer([answering()]) as server:
        assert sent(server, headers={"X-Team": "ops"}).headers["x-team"] == "ops"
        assert sent(server, token_file=token).headers["authorization"] == "Bearer t0ken"
        basic = sent(server, username="anna", password_file=password).headers["authorization"]
        assert base64.b64decode(basic.removeprefix("Basic ")) == b"anna:p:ss"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("500 Oh", DeliveryError),
        ("302 Found", DeliveryError),
        ("410 Gone", DestinationGoneError),
        ("413 Content Too Large", RefusedMessageError),
        ("429 Too Many Requests", DeliveryError),
    ],
)
def test_what_a_receiver_answers_decides(tmp_path: Path, answer: str, kind: type[DeliveryError]) -> None:
    """The status decides whether and when the message is sent again, and no error contains a secret."""
    echo = b"your token t0ken-of-anna is not good"
    with UnrulyServer([answering(answer, echo, Retry_After="7")]) as server:
        token = secret(tmp_path, "token", "t0ken-of-anna")
        webhook = build(configured("webhook", url=f"{server.url}/hook-of-anna", token_file=token))
        with pytest.raises(DeliveryError) as caught:
            webhook.send(message())

        assert type(caught.value) is kind
        assert caught.value.retry_after_s == (7.0 if kind is DeliveryError and answer[0] != "3" else None)
        assert "anna" not in str(caught.value)


def test_a_server_that_hangs_is_left_after_the_timeout() -> None:
    """A delivery takes no longer than the timeout of the destination."""
    with UnrulyServer([hanging]) as server:
        with pytest.raises(DeliveryError) as caught:
            sent(server, timeout="1s")

        assert str(caught.value) == f"{server.url}/…: no response within 1 s"


def test_a_missing_secret_delays_a_message_and_loses_none(tmp_path: Path) -> None:
    """A secret is read at each attempt, so a message waits until it is there."""
    with UnrulyServer([answering()]) as server:
        webhook = build(configured("webhook", url_file=str(tmp_path / "url")))
        with pytest.raises(DeliveryError) as caught:
            webhook.send(message())
        secret(tmp_path, "url", server.url)

        assert str(caught.value).startswith(f"url_file {tmp_path}/url: there is no such file; ")
        assert webhook.send(message()) == Delivered("200 OK")
