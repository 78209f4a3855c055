"""S6: silences without end, made by a member of the group or written into the file. The service goes on undisturbed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.rules import Rules
from fleet_health.alerting.silences import ACTIVE_LIMIT, Silence, Silences
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.api.documents import Documents
from fleet_health.api.requests import Request, RequestError
from fleet_health.api.routes import Api
from fleet_health.api.server import CLIENT_LIMIT, ControlSocket
from fleet_health.config.loading import load
from fleet_health.engine import Engine
from fleet_health.model.counters import Counters
from fleet_health.model.history import History
from fleet_health.model.instant import HOUR_US, isoformat
from fleet_health.records.silence_file import SilenceFile
from fleet_health.service import clock
from fleet_health.service.clock_check import ClockCheck
from fleet_health.service.configuration import Configuration
from fleet_health.service.intake import Intake
from fleet_health.service.parts import Parts
from fleet_health.service.publication import Publication
from fleet_health.service.service_manager import Pulse
from fleet_health.service.silencing import Silencing
from tests.rig.api_client import ApiClient

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fleet_health.api.silence_requests import SilenceRequests
    from fleet_health.service.delivery import Delivery
    from fleet_health.service.ticker import Evaluator
    from tests.conftest import RunCommand, Service, Site, StartService

MANY = 1_043
"""With so many one regular expression after the other was compiled, and thrown away."""

ONLY_HOSTS = "receiver.enabled = false"
"""A whole fleet that is silent would be the receiver's fault."""


def silenced(site: Site, silences: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask the service for silences, all by one connection; return its answers."""
    with ApiClient(site.directory / "control.sock") as client:
        return [client.ask("POST", "/v1/silences", silence)[1] for silence in silences]


def end(site: Site, name: str) -> None:
    """Ask the service to end a silence."""
    with ApiClient(site.directory / "control.sock") as client:
        assert client.ask("DELETE", f"/v1/silences/{name}")[0] == 200


def silence(number: int, **changes: object) -> dict[str, Any]:
    """Make a request for a silence."""
    request = {"hosts": f"*{number}*x", "symptom": None, "for_s": 3_600, "reason": "mine"}
    return request | changes


def rows(count: int, hosts: str = "*{}*x", **changes: object) -> list[dict[str, Any]]:
    """Make rows as somebody would write them into the file."""
    now = time.time_ns() // 1000
    row = {"symptom": None, "reason": "mine", "author": "root"}
    row |= {"starts_at_wall": isoformat(now), "ends_at_wall": isoformat(now + HOUR_US)}
    return [row | {"id": f"h{number}", "hosts": hosts.format(number)} | changes for number in range(count)]


def rows_written(site: Site) -> int:
    """Count the alerts, the last of which may be half written as yet."""
    return site.alerts.read_bytes().count(b"\n") if site.alerts.exists() else 0


def write(site: Site, silences: list[dict[str, Any]]) -> None:
    """Write the file by hand, in the place of what is there."""
    path = site.directory / "state" / "silences.json"
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".hand")
    new.write_text(json.dumps({"version": 1, "silences": silences}))
    new.replace(path)


def answers_and_ticks(site: Site, service: Service, run_command: RunCommand) -> dict[str, Any]:
    """Wait until it has ticked and fed its watchdog anew; return the status that it answers."""
    fed = len(service.notify.having("WATCHDOG"))
    service.until_evaluated_anew()
    service.until(lambda: len(service.notify.having("WATCHDOG")) > fed + 1, "the watchdog to be fed")
    document: dict[str, Any] = run_command("status", "--json", "--config", site.config).documents[0]
    return document


@pytest.mark.fault("S6", rig="a process")
def test_S6_silences_without_end_are_refused(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """A member of the group asks for one after the other: so many are made, and no more; a tick is a tick."""
    site.configure(ONLY_HOSTS, tick="1s")
    site.upload(*(f"pi-{number}" for number in range(500)), minutes_ago=45)
    with start_service(site, WATCHDOG_USEC="3000000") as service:
        service.until(lambda: rows_written(site) == 500, "the alerts")
        answers = silenced(site, map(silence, range(MANY)))
        status = answers_and_ticks(site, service, run_command)
        command = run_command("silence", "pi-1", "--for", "1h", "--reason", "x", "--config", site.config)
        end(site, answers[0]["silence"]["id"])
        one_more = run_command("silence", "pi-1", "--for", "1h", "--reason", "x", "--config", site.config)
        killed = service.process.poll()

    made = [answer for answer in answers if "silence" in answer]
    refused = {answer["detail"] for answer in answers if "detail" in answer}
    assert (len(made), len(status["silences"])) == (ACTIVE_LIMIT, ACTIVE_LIMIT)
    assert len(refused) == 1
    assert "200 silences are active already, which is the limit; end some of them" in refused.pop()
    assert (command.status, one_more.status, killed) == (2, 0, None)
    assert "200 silences are active already" in command.stderr


@pytest.mark.fault("S6", rig="a process")
@pytest.mark.parametrize(
    ("count", "problem"),
    [
        pytest.param(5_000, "silences ignored: 4801 more than the limit of 200 active silences", id="too many rows"),
        pytest.param(
            100_000, "silences.json: expected a file of at most 2097152 bytes, found a larger one", id="too long a file"
        ),
    ],
)
def test_S6_what_is_written_into_the_file_is_bounded_too(
    count: int, problem: str, site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The surplus is ignored, and said; what held before holds on."""
    site.configure(ONLY_HOSTS, tick="1s")
    site.upload(*(f"pi-{number}" for number in range(500)), minutes_ago=45)
    run_command("silence", "pi-7", "--for", "1h", "--reason", "x", "--config", site.config)
    (mine,) = json.loads((site.directory / "state" / "silences.json").read_text())["silences"]
    with start_service(site, WATCHDOG_USEC="3000000") as service:
        service.until(lambda: rows_written(site) == 499, "the alerts")
        write(site, [mine, *rows(count)])
        service.until(lambda: problem in service.notify.status, "the problem in the status")
        status = answers_and_ticks(site, service, run_command)
        (logged,) = [one["reason"] for one in service.events("silences cannot be used")]
        said = service.events("silence made")

    assert problem in logged
    assert problem in status["problems"][0]
    assert len(status["silences"]) in {1, ACTIVE_LIMIT}
    assert mine["id"] in {one["id"] for one in status["silences"]}
    assert len(said) <= ACTIVE_LIMIT
    assert ("pi-7", "silent") not in site.alerted()


@pytest.mark.fault("S6", rig="a process")
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"hosts": "*a" * 9 + "*b"}, "hosts: it has 10 `*`, and no more than 8 are allowed"),
        ({"hosts": "[a-z]" * 100}, "hosts: it has 500 characters, and no more than 128 are allowed"),
        ({"reason": "x" * 100_000}, "reason: it has 100000 characters"),
        ({"author": "x" * 100_000}, "author: it has 100000 characters"),
        ({"id": "x" * 100_000}, "id: it has 100000 characters"),
        ({"ends_at_wall": "2099-12-31T00:00:00Z"}, "it lasts 26"),
    ],
)
def test_S6_no_row_is_longer_than_one_may_be(
    changes: dict[str, Any], problem: str, site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """It silences nobody, and the status says why; the others in the file hold."""
    site.configure(ONLY_HOSTS, tick="1s")
    site.upload("aaa", "bbb", minutes_ago=45)
    write(site, [*rows(1, "aaa"), *rows(1, **({"id": "bad", "hosts": "bbb"} | changes))])
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("bbb", "silent")], "the alert of the other")
        status = run_command("status", "--json", "--config", site.config).documents[0]
        listed = run_command("silence", "list", "--config", site.config)

    assert listed.stdout.startswith("h0: aaa until ")
    assert len(listed.stdout.splitlines()) == 1
    assert f"silences ignored by the service: {problem}" in listed.stderr
    assert [one["hosts"] for one in status["silences"]] == ["aaa"]
    assert f"silences ignored: {problem}" in status["problems"][0]
    assert len(status["problems"][0]) < 500


@pytest.mark.fault("S6", rig="the parts in one process")
async def test_S6_silences_are_matched_off_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 globs and 10,000 open incidents: the loop goes on meanwhile, and afterwards only looks up."""
    now = time.time_ns() // 1000
    file = SilenceFile(tmp_path)
    silences = [Silence(f"s{n}", f"*-*{n}*x", None, now - 1, now + HOUR_US, "mine", "me") for n in range(ACTIVE_LIMIT)]
    monkeypatch.setattr(file, "read", lambda: b"{}")
    monkeypatch.setattr(file, "decode", lambda _: silences)
    pairs = [(f"pi-{number:0>5}", "silent") for number in range(10_000)]
    threads: list[int] = []
    matching = Silences._matching

    def match(self: Silences, host: str) -> tuple[Silence, ...]:
        threads.append(threading.get_ident())
        return matching(self, host)

    monkeypatch.setattr(Silences, "_matching", match)
    silencing = Silencing(file)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counter = asyncio.create_task(count_turns())
    await silencing.refresh(now)
    is_muted = await silencing.match(pairs, now)
    counter.cancel()
    matched = len(threads)
    muted = [pair for pair in pairs if is_muted(*pair, now)]
    await silencing.look(dict.fromkeys(pairs, now), now)
    await silencing.refresh(now)  # the file is as it was, and so is what was matched
    again = await silencing.match(pairs, now)

    assert (matched, len(threads), muted, again(*pairs[0], now)) == (10_000, 10_000, [], None)
    assert threading.get_ident() not in threads
    assert turns > 3


@pytest.mark.fault("S6", rig="the parts in one process")
async def test_S6_an_answer_matches_off_the_loop_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silences were just made, and thousands of incidents are open of which nobody can say whether they are over."""
    now = time.time_ns() // 1000
    file = SilenceFile(tmp_path)
    for number in range(3):
        file.add(Silence(f"s{number}", f"*-*{number}*x", None, now - 1, now + HOUR_US, "mine", "me"), now)
    incidents = Incidents()
    pairs = [(f"pi-{number:0>4}", "fatal-only") for number in range(2_000)]
    incidents.restore(Snapshot(open=[Incident(*pair, now, last_notified_at=now) for pair in pairs]))
    matched_in: set[int] = set()
    matching = Silences._matching

    def match(self: Silences, host: str) -> tuple[Silence, ...]:
        matched_in.add(threading.get_ident())
        return matching(self, host)

    monkeypatch.setattr(Silences, "_matching", match)
    async with asyncio.TaskGroup() as tasks:
        pulse = Pulse("a test", 60)
        (tmp_path / "config.toml").touch()
        parts = Parts(
            configuration=Configuration(lambda: load(tmp_path / "config.toml")),
            counters=Counters(),
            delivery=cast("Delivery", None),
            engine=Engine(Rules(), incidents),
            evaluator=cast(
                "Evaluator",
                SimpleNamespace(next_at=None, history=History(), states=[], clock_check=ClockCheck(lambda _: True)),
            ),
            intake=Intake(
                clock=clock.now, start=tasks.create_task, index_pulse=pulse, journal_pulse=pulse, counters=Counters()
            ),
            silencing=Silencing(file),
        )
        documents = Documents(parts, problems=list)
        status = await documents.status([], [], None)
        explained = await documents.explanation("pi-0001")

    assert status["incidents_by_state"] == {"unconfirmed": 2_000}
    assert explained["state"] == "unconfirmed"
    assert matched_in != set()
    assert threading.get_ident() not in matched_in


@pytest.mark.fault("S6", rig="a process")
def test_S6_the_whole_fleet_for_long_takes_a_word_more(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """By its shape without a service; with one also by what it matches there. Over the socket as by the command."""
    site.upload("pi-1", "pi-2", "bench-1")

    def run(glob: str, length: str, *more: str) -> int:
        done = run_command("silence", glob, "--for", length, "--reason", "x", *more, "--config", site.config)
        assert done.status == 0 or "--all" in done.stderr
        return done.status

    alone = [run("*", "25h"), run("[!_]*", "25h"), run("p*", "25h"), run("*", "24h"), run("*", "25h", "--all")]
    with start_service(site) as service:
        service.until(lambda: service.evaluations() > 1, "a tick")
        beside = [
            run("*", "25h"),
            run("p*", "25h"),
            run("bench-*", "25h"),
            run("pi-1", "25h"),
            run("p*", "25h", "--all"),
        ]
        answers = silenced(site, [silence(0, hosts="p*", for_s=90_000, all=is_meant) for is_meant in (False, True)])

    assert (alone, beside) == ([2, 2, 0, 0, 0], [2, 2, 0, 0, 0])
    assert ["detail" in answer for answer in answers] == [True, False]


@pytest.mark.fault("S6", rig="a process")
def test_S6_who_silenced_what_is_logged(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """At notice, once, over a restart as well: what was asked for, what was written to the file, and each end."""
    keys = ("id", "hosts", "symptom", "until", "author", "reason")
    write(site, rows(1, "by-hand", id="hand") + rows(1, "taken-away", id="gone", author="nobody in particular"))
    with start_service(site) as service:
        service.until_ready()
        (answer,) = silenced(site, [silence(0, hosts="by-request", symptom="silent")])
        row = answer["silence"]
        service.until(lambda: len(service.events("silence made")) == 3, "each to be logged")
        run_command("silence", "by-command", "--for", "2h", "--reason", "why", "--config", site.config)
        service.until(lambda: len(service.events("silence made")) == 4, "the one that a command wrote")
        end(site, row["id"])
        made = service.events("silence made")
        ends = service.events("silence ended early")
        kept = json.loads((site.directory / "state" / "silences.json").read_text())["silences"]
        write(site, [one for one in kept if one["id"] != "gone"])
        service.until(lambda: service.events("silence removed from silences.json"), "what was taken away")
        service.until_evaluated_anew()
        service.stop()
        (gone,) = service.events("silence removed from silences.json")
    with start_service(site) as service:
        service.until(lambda: service.evaluations() >= 2, "some ticks")
        again = service.events("silence made")

    by_hosts = {one["hosts"]: one for one in made}
    assert {one["level"] for one in [*made, *ends, gone]} == {"notice"}
    assert {key: by_hosts["by-request"][key] for key in keys if key != "until"} == {
        key: row[key] for key in keys if key != "until"
    }
    assert by_hosts["by-request"]["origin"] == "a request over the socket"
    assert by_hosts["by-hand"]["origin"] == "silences.json, where the author is only a claim"
    assert by_hosts["by-command"]["reason"] == "why"
    assert [(one["id"], one["by"]) for one in ends] == [(row["id"], row["author"])]
    assert (gone["id"], again) == ("gone", [])


class Document(dict[str, Any]):
    """An answer of which can be told whether it is still held."""


@pytest.mark.fault("S6", rig="socket")
async def test_S6_clients_who_take_no_answer_hold_no_document(tmp_path: Path) -> None:
    """As Python objects the answer about a fleet is several times as large as what is sent."""
    made: list[weakref.ref[Document]] = []

    class Fleet:
        """Makes large documents."""

        publication = Publication()

        async def status(self, *_: object) -> Document:
            document = Document(long="x" * 8_000_000)
            made.append(weakref.ref(document))
            return document

    control = ControlSocket(Api(cast("Documents", Fleet()), cast("SilenceRequests", None), request_reload=lambda: None))
    await control.open(tmp_path / "control.sock")
    clients = [socket.socket(socket.AF_UNIX) for _ in range(CLIENT_LIMIT)]
    try:
        for client in clients:
            client.connect(str(tmp_path / "control.sock"))
            client.sendall(b"GET /v1/status HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(10):
            while len(made) < CLIENT_LIMIT:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert sum(document() is not None for document in made) <= 1
    finally:
        for client in clients:
            client.close()
        await control.close()


@pytest.mark.fault("S6", rig="assembled", says="a reload asked for by a member of the group")
@pytest.mark.parametrize(("uid", "is_taken"), [(0, True), (os.geteuid(), True), (64_999, False)])
async def test_S6_only_root_reloads(uid: int, *, is_taken: bool) -> None:
    """The members of the group may see everything and silence alerts; the configuration is not theirs."""
    reloads: list[None] = []
    documents = cast("Documents", SimpleNamespace(publication=Publication()))
    api = Api(documents, cast("SilenceRequests", None), request_reload=lambda: reloads.append(None))
    try:
        await api(Request("POST", "/v1/reload", uid=uid))
    except RequestError as error:
        assert error.status == 403  # noqa: PT017 - either is a case
        assert "only root and the service's own user may reload" in str(error)  # noqa: PT017 - either is a case

    assert bool(reloads) == is_taken
