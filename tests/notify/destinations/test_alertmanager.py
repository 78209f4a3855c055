"""`alertmanager`: against a real cluster of two, and servers that fail."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import DeliveryError, LevelDestination, RefusedMessageError
from fleet_health.notify.destinations.alertmanager import alert_name, build
from tests.rig.alertmanager import AlertmanagerServer, is_available
from tests.rig.destinations import HOUR, OPENED, SILENT, configured, made, over, secret
from tests.rig.unruly_server import UnrulyServer, answering, resetting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import DoWithout


def now() -> int:
    """Return the present; Alertmanager has no other clock."""
    return time.time_ns() // 1_000


def alerts_of(server: UnrulyServer) -> list[dict[str, Any]]:
    """Return what the last request held."""
    found: list[dict[str, Any]] = json.loads(server.requests[-1].body)
    return found


@pytest.mark.fault("N5", rig="a real cluster of two, one killed")
def test_N5_a_cluster_shows_each_alert_once_and_its_end(
    tmp_path: Path, eventually: Callable[..., Any], do_without: DoWithout
) -> None:
    """Both members are sent everything, so one that is killed changes nothing."""
    if not is_available():
        do_without("prometheus-alertmanager is not installed")
    began = now() - HOUR
    silent = made(opened_at=began)
    down = made(incident="9", host="*@lab-2", symptom="receiver-down", opened_at=began)
    many = [made(incident=f"id{n}", host=f"pi-{n}", opened_at=began) for n in range(1_000)]
    with (
        AlertmanagerServer(tmp_path / "one") as one,
        AlertmanagerServer(tmp_path / "other", beside=one) as other,
    ):
        eventually(lambda: len(other.members()) == 2, "the cluster")
        destination = build(
            configured(
                "alertmanager",
                peers=[one.url, f"{other.url}/"],
                labels={"team": "ops"},
                page_url="https://fleet.example.org/",
            )
        )
        assert isinstance(destination, LevelDestination)
        delivered = destination.hold([silent, down], [], now() + HOUR)

        assert delivered.response == f"{one.url}: 200 OK; {other.url}: 200 OK"
        assert one.firing() != []
        shown = {alert["labels"]["alertname"]: alert for alert in other.firing()}
        assert len(other.firing()) == len(shown) == 2
        assert shown["FleetHealthSilent"]["labels"] == {
            "alertname": "FleetHealthSilent",
            "host": "pi-02",
            "symptom": "silent",
            "team": "ops",
        }
        assert shown["FleetHealthReceiverDown"]["labels"]["receiver"] == "lab-2"
        assert shown["FleetHealthSilent"]["annotations"] == {
            "summary": "silent: pi-02",
            "description": "last upload 45 min ago",
            "suggested_fix": "On pi-02: start the uploader.",
        }
        assert shown["FleetHealthSilent"]["generatorURL"] == "https://fleet.example.org/hosts/pi-02"
        assert shown["FleetHealthReceiverDown"]["generatorURL"] == "https://fleet.example.org/hosts/%2A%40lab-2"

        one.kill()
        resolution = over(opened_at=began, decided_at=now(), ended_at=now() - SECOND_US)
        delivered = destination.hold([down, *many], [resolution], now() + HOUR)

        assert delivered.response == f"1 of 2 members; {one.url}/…: connection refused"
        hosts = [alert["labels"]["host"] for alert in other.firing()]
        assert sorted(hosts) == sorted(["*@lab-2", *(f"pi-{n}" for n in range(1_000))])

        destination.hold([], [over(host="*@lab-2", symptom="receiver-down", opened_at=began, ended_at=began)], now())
        assert "*@lab-2" not in [alert["labels"]["host"] for alert in other.firing()]
        destination.close()


@pytest.mark.fault("N5", rig="a real server")
def test_N5_what_has_ended_does_not_end_what_has_opened_since() -> None:
    """An incident that returns has the labels of the one that ended, and labels identify an alert."""
    with UnrulyServer([answering()]) as server:
        destination = build(configured("alertmanager", peers=[server.url]))
        returned = made(incident="new", opened_at=OPENED + 3 * HOUR)
        destination.hold([returned], [over(), over(host="pi-03"), over(host="pi-03", ended_at=OPENED + 5)], OPENED)

        assert [(alert["labels"]["host"], alert["endsAt"]) for alert in alerts_of(server)] == [
            ("pi-03", "2026-11-18T12:06:40+00:00"),
            ("pi-02", "2026-11-18T11:06:40+00:00"),
        ]


def test_an_end_before_the_beginning_spoils_no_request() -> None:
    """An end is never sent with a time before the beginning, for which Alertmanager refuses the whole request."""
    with UnrulyServer([answering()]) as server:
        destination = build(configured("alertmanager", peers=[server.url]))
        destination.hold([], [over(ended_at=OPENED - 5), over(host="pi-03", ended_at=None)], OPENED)

        assert {alert["labels"]["host"]: alert["endsAt"] for alert in alerts_of(server)} == {
            "pi-02": "2026-11-18T11:06:40+00:00",
            "pi-03": "2026-11-18T13:06:40+00:00",
        }


def test_a_test_is_marked() -> None:
    """A test has an alert name of its own, so it is routed by that and ends no alert."""
    with UnrulyServer([answering()]) as server:
        build(configured("alertmanager", peers=[server.url])).hold([SILENT], [], OPENED, is_test=True)

        (alert,) = alerts_of(server)
        assert alert["labels"]["alertname"] == "FleetHealthTest"
        assert alert["annotations"]["summary"] == "TEST silent: pi-02"


def test_nothing_is_sent_of_nothing() -> None:
    """A fleet that is well needs no request."""
    destination = build(configured("alertmanager", peers=["http://127.0.0.1:1"]))

    assert destination.hold([], [], OPENED).response == "nothing to send"


def test_no_member_at_all_is_an_error(tmp_path: Path) -> None:
    """The error has the reason of each member and the shortest time to wait, and contains no secret."""
    token = secret(tmp_path, "token", "t0ken-of-anna")
    answers = [answering("503 Away", b"t0ken-of-anna", Retry_After="9"), answering("429 No", Retry_After="5")]
    with UnrulyServer(answers[:1]) as one, UnrulyServer(answers[1:]) as other:
        destination = build(configured("alertmanager", peers=[one.url, other.url], token_file=token))
        with pytest.raises(DeliveryError) as caught:
            destination.hold([SILENT], [], OPENED)

        assert str(caught.value) == (f"{one.url}/…: 503 Service Unavailable: …; {other.url}/…: 429 Too Many Requests")
        assert caught.value.retry_after_s == 5.0
        assert one.requests[0].headers["authorization"] == "Bearer t0ken-of-anna"


def test_a_refusal_counts_only_if_all_refuse() -> None:
    """A message is not dropped while a member that is away may still take it."""
    with UnrulyServer([answering("400 No")]) as one, UnrulyServer([resetting, answering("400 No")]) as other:
        destination = build(configured("alertmanager", peers=[one.url, other.url]))
        with pytest.raises(DeliveryError) as first:
            destination.hold([SILENT], [], OPENED)
        with pytest.raises(DeliveryError) as second:
            destination.hold([SILENT], [], OPENED)

        assert (type(first.value), type(second.value)) == (DeliveryError, RefusedMessageError)


def test_an_alert_is_called_by_its_symptom() -> None:
    """The name of an alert is the one that the rules for Prometheus use."""
    assert alert_name("fatal-only") == "FleetHealthFatalOnly"
