"""The service as a process, on a real journal and index: its status, its findings and its files."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.alert import dedup_key
from fleet_health.parsing.alert_row import parse_alert_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunCommand, Service, Site, StartService

HOSTS = 300


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, make_site: Callable[..., Site], start_service: StartService
) -> Iterator[Service]:
    """One service for this module: every symptom has a host of its own, among many that are well."""
    site = make_site(tmp_path_factory.mktemp("site"))
    site.configure()
    site.show_all_symptoms()
    for minutes in range(20 * 60, 0, -5):
        site.upload(*(f"h{number}" for number in range(HOSTS)), minutes_ago=minutes)
    for number in range(HOSTS):
        site.answer(f"h{number}", 201)
    site.sync_journal()
    with start_service(site, WATCHDOG_USEC="3000000") as one:
        one.until_ready()
        one.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        yield one
        assert one.stop() == 0


def test_ready_is_sent_when_the_sources_have_caught_up(service: Service) -> None:
    """Before READY=1, the status shows the progress. With it, every host is watched, and the sources are followed."""
    messages = service.notify.messages
    first_ready = next(number for number, message in enumerate(messages) if "READY" in message)
    before = [message["STATUS"] for message in messages[:first_ready] if "STATUS" in message]
    status = messages[first_ready]["STATUS"]

    assert messages[first_ready]["READY"] == "1"
    assert all(one.startswith("Starting") for one in before)
    # Every host of the index, and the two that only the journal knows.
    assert status.startswith(f"Watching {HOSTS + 4} hosts; ")
    assert re.search(r"index following, \d+ m?s behind", status)
    assert re.search(r"journal following, \d+ m?s behind", status)
    assert len(service.notify.having("READY")) == 1


def test_the_start_timeout_is_extended_while_reading(service: Service) -> None:
    """A long backlog must not run into the timeout of the start."""
    assert service.notify.having("EXTEND_TIMEOUT_USEC")
    assert all("STATUS" in message for message in service.notify.having("EXTEND_TIMEOUT_USEC"))


def test_the_first_evaluation_is_at_once(service: Service) -> None:
    """It does not wait for a tick, and sends every alert."""
    first = service.events("evaluated")[0]

    assert (first["findings"], first["new_alerts"]) == (3, 3)


def test_each_alert_is_a_row(service: Service) -> None:
    """The six keys come first, the key agrees with the hour, and all alerts of an evaluation have the same instant."""
    rows = service.site.alert_rows()

    assert [list(row)[:6] for row in rows] == [
        ["host", "symptom", "detail", "suggested_fix", "detected_at_wall", "dedup_key"]
    ] * len(rows)
    assert len({row["detected_at_wall"] for row in rows[:3]}) == 1
    for row in rows:
        parsed = parse_alert_row(json.dumps(row).encode())
        assert parsed is not None
        assert parsed[0] == dedup_key(row["host"], row["symptom"], parsed[1])
        assert row["detected_at_wall"].endswith("+00:00")


def test_an_alert_is_sent_once_an_hour(service: Service) -> None:
    """Many ticks later each is in the file once; twice only if the hour has changed meanwhile."""
    service.until_evaluated_anew()
    keys = Counter(row["dedup_key"] for row in service.site.alert_rows())

    assert set(keys.values()) == {1}


def test_recoveries_and_new_findings_are_seen_live(service: Service) -> None:
    """Uploads and refusals while the service runs count at the next tick."""
    service.site.answer("newly-refused", 500, times=10)
    service.site.upload("newly-quiet", minutes_ago=31)
    expected = {("newly-refused", "fatal-only"), ("newly-quiet", "silent")}
    service.until(lambda: expected <= set(service.site.alerted()), "the alerts")
    firing = service.until(lambda: re.search(r"(\d+) firing \(([^)]*)\)", service.notify.status), "the status")
    service.until(lambda: "5 firing (2 fatal-only, 2 silent, 1 unstamped)" in service.notify.status, "the status")
    service.site.upload("newly-quiet")
    service.site.answer("newly-refused", 200)
    service.until(lambda: "3 firing (1 fatal-only, 1 silent, 1 unstamped)" in service.notify.status, "the status")

    assert firing
    (row,) = [row for row in service.site.alert_rows() if row["host"] == "newly-refused"]
    assert "the receiver before newly-refused" in row["suggested_fix"]


def test_the_status_line_of_a_running_service(service: Service) -> None:
    """Hosts, the lag of each source, firing incidents, the last tick and the next, in one line."""
    pattern = (
        r"Watching \d+ hosts: 3 firing, \d+ well; index following, \d+ m?s behind; journal following, \d+ m?s behind;"
        r" incidents: 3 firing \(1 fatal-only, 1 silent, 1 unstamped\);"
        r" last tick \d\d:\d\d:\d\d; next \d\d:\d\d:\d\d UTC"
    )
    status = service.until(lambda: re.fullmatch(pattern, service.notify.status), "the status in full")

    assert status


def test_the_watchdog_is_fed(service: Service) -> None:
    """WATCHDOG=1 is sent while every part makes progress."""
    before = len(service.notify.having("WATCHDOG"))
    service.until(lambda: len(service.notify.having("WATCHDOG")) > before, "WATCHDOG=1")

    assert {message["WATCHDOG"] for message in service.notify.having("WATCHDOG")} == {"1"}


def test_ticks_are_at_multiples_of_the_tick(service: Service, run_command: RunCommand) -> None:
    """After the first evaluation, the clock decides: with a tick of 100 ms, there is one at each tenth of a second."""
    service.until_evaluated_anew()
    documents = [run_command("status", "--json", "--config", service.site.config).documents[0] for _ in range(8)]
    ticks = [
        tuple(datetime.fromisoformat(document[f"{which}_tick_wall"]) for which in ("last", "next"))
        for document in documents
    ]

    # Also while an evaluation is under way, the next tick is later than the one that is shown.
    assert all(next_at > last_at for last_at, next_at in ticks)
    assert all(next_at.microsecond % 100_000 == 0 for _, next_at in ticks)


def test_each_line_of_its_log_is_json(service: Service) -> None:
    """Programs that collect stderr can parse every line."""
    lines = [line for line in service.stderr.splitlines(keepends=True) if line.endswith("\n")]

    assert all({"event", "level"} <= set(json.loads(line)) for line in lines)


def test_it_starts_no_child_and_holds_few_descriptors(service: Service) -> None:
    """It runs neither journalctl nor any other program, and leaves no file open at its ticks."""
    process = f"/proc/{service.process.pid}"
    with open(f"{process}/task/{service.process.pid}/children") as children:  # noqa: PTH123 - /proc
        assert children.read() == ""
    before = len(os.listdir(f"{process}/fd"))  # noqa: PTH208 - /proc
    service.until_evaluated_anew()
    service.until_evaluated_anew()

    assert len(os.listdir(f"{process}/fd")) <= before + 1  # noqa: PTH208


def test_a_killed_service_repeats_no_alert(
    tmp_path_factory: pytest.TempPathFactory, make_site: Callable[..., Site], start_service: StartService
) -> None:
    """Restarted after SIGKILL, it finds the same, and writes nothing twice in the same hour."""
    site = make_site(tmp_path_factory.mktemp("site"))
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    for _ in range(3):
        with start_service(site) as service:
            service.until_ready()
            service.until(lambda: len(site.alert_rows()) >= 3, "the alerts")
            service.process.kill()
    with start_service(site) as service:
        service.until_evaluated_anew()
        last = service.events("evaluated")[-1]
        assert service.stop() == 0
    keys = [row["dedup_key"] for row in site.alert_rows()]

    assert last["findings"] == 3
    assert len(keys) == len(set(keys))
    # Three, and three more for each hour that has begun while this test ran.
    assert len(keys) == 3 * len({row["detected_at_wall"][:13] for row in site.alert_rows()})
