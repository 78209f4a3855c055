"""`ntfy`: against a server that does what ntfy documents for publishing as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.destinations.ntfy import NTFY_PRIORITIES
from fleet_health.config.destinations.shared import SYMPTOMS
from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.destinations.ntfy import LIMIT, build, sequence_id
from fleet_health.notify.message import Kind
from tests.rig.destinations import configured, lost, made, message, over, secret
from tests.rig.unruly_server import UnrulyServer, answering

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.notify.message import Message


def published(*messages: Message, **keys: Any) -> list[dict[str, Any]]:
    """Send messages, and return what was published."""
    with UnrulyServer([answering(body=b'{"id":"xE73Iyuabi","event":"message"}')]) as server:
        ntfy = build(configured("ntfy", server=server.url, **{"topic": "fleet", **keys}))
        for one in messages:
            assert ntfy.send(one) == Delivered("200 OK", "xE73Iyuabi")
        ntfy.close()
        assert {(one.method, one.target) for one in server.requests} == {("POST", "/")}
        return [json.loads(one.body) for one in server.requests]


def test_a_notification_is_published() -> None:
    """The document has everything that a phone shows."""
    (document,) = published(message(), page_url="https://fleet.example.org")

    assert document == {
        "topic": "fleet",
        "title": "silent: pi-02",
        "message": document["message"],
        "priority": 4,
        "tags": ["warning", "silent"],
        "sequence_id": sequence_id(message()),
        "click": "https://fleet.example.org/hosts/pi-02",
    }
    assert document["message"].startswith("pi-02: silent since ")


def test_all_of_an_incident_is_one_notification() -> None:
    """Opening, repeat, loss and resolution have one sequence id, which no other incident has."""
    kinds = [message(one, key=one.kind) for one in (made(), made(kind=Kind.REPEAT), lost(), over())]
    first, *later = published(*kinds)
    (other,) = published(message(made(incident="77")))

    assert [one["sequence_id"] for one in later] == [first["sequence_id"]] * 3
    assert other["sequence_id"] != first["sequence_id"]
    assert [one["priority"] for one in (first, *later)] == [4, 3, 3, 2]
    assert [one["tags"][0] for one in (first, *later)] == [
        "warning",
        "hourglass_flowing_sand",
        "question",
        "white_check_mark",
    ]


def test_a_group_is_as_urgent_as_its_most_urgent() -> None:
    """A group has the priority of its most urgent incident, and a later message about the same incidents updates it."""
    down = made(incident="9", host="*", symptom="receiver-down")
    (document, again) = published(message(made(), down), message(down, over(), key="k-2"), page_url="http://a/")

    assert document["priority"] == 5
    assert document["tags"] == ["warning", "receiver-down", "silent"]
    assert document["click"] == "http://a/"
    assert again["sequence_id"] == document["sequence_id"]


def test_priorities_are_configured_by_symptom() -> None:
    """A symptom that is not configured keeps its default, and every symptom has one."""
    first, other = published(message(), message(made(symptom="blind")), priorities={"silent": 1})

    assert (first["priority"], other["priority"]) == (1, 4)
    assert set(NTFY_PRIORITIES) == set(SYMPTOMS)


def test_a_test_is_marked_and_updates_nothing() -> None:
    """A test has a sequence id that no incident has."""
    (document,) = published(message(is_test=True))

    assert document["title"] == "TEST silent: pi-02"
    assert document["tags"][0] == "test_tube"
    assert document["sequence_id"] != sequence_id(message())


def test_a_message_fits() -> None:
    """A message is never longer than what ntfy shows as text."""
    (document,) = published(message(*(made(host=f"pi-{n}", detail="ä" * 1_000) for n in range(50))))

    assert len(document["message"].encode()) <= LIMIT


def test_the_topic_and_the_token_are_secrets(tmp_path: Path) -> None:
    """A response that contains the topic or the token is not shown."""
    echo = b"user t0ken-of-anna may not write to my-secret-topic"
    with UnrulyServer([answering("403 Forbidden", echo)]) as server:
        topic, token = secret(tmp_path, "topic", "my-secret-topic"), secret(tmp_path, "token", "t0ken-of-anna")
        with pytest.raises(DeliveryError) as caught:
            build(configured("ntfy", server=server.url, topic_file=topic, token_file=token)).send(message())

        assert str(caught.value) == f"{server.url}: 403 Forbidden: …"
        assert server.requests[0].headers["authorization"] == "Bearer t0ken-of-anna"
        assert json.loads(server.requests[0].body)["topic"] == "my-secret-topic"


def test_a_topic_that_is_none_is_said(tmp_path: Path) -> None:
    """A file that holds no valid topic is an error before anything is sent, which does not quote the file."""
    with pytest.raises(DeliveryError) as caught:
        build(configured("ntfy", topic_file=secret(tmp_path, "topic", "my topic"))).send(message())

    assert str(caught.value) == (
        "topic_file: expected the name of a topic: 1 to 64 of A-Z, a-z, 0-9, - and _, found something else"
    )


def test_an_answer_without_an_id_is_one() -> None:
    """A response of 2xx without an id is a delivery."""
    with UnrulyServer([answering(body=b"<html>")]) as server:
        assert build(configured("ntfy", server=server.url, topic="fleet")).send(message()) == Delivered("200 OK")
