"""Reloading: a configuration is adopted as a whole or not at all, and the service goes on."""

from __future__ import annotations

import re
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from fleet_health.service import clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Service, Site, StartService


@pytest.fixture
def service(site: Site, start_service: StartService) -> Iterator[Service]:
    """A service that finds every symptom and has sent the alerts. It must still be able to do so at the end."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as one:
        one.until_ready()
        one.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        yield one
        assert one.stop() == 0


def test_systemd_is_notified_in_the_right_order(service: Service) -> None:
    """RELOADING=1 comes with the monotonic clock in the same message, and READY=1 follows it."""
    before = len(service.notify.messages)
    service.reload()
    messages = [one for one in service.notify.messages[before:] if {"RELOADING", "READY"} & one.keys()]

    assert [sorted(one) for one in messages] == [["MONOTONIC_USEC", "RELOADING", "STATUS"], ["READY", "STATUS"]]
    assert messages[0]["RELOADING"] == messages[1]["READY"] == "1"
    assert int(messages[0]["MONOTONIC_USEC"]) > 0


def test_a_reload_evaluates_at_once(site: Site, start_service: StartService) -> None:
    """Operators who corrected the configuration see the result at once, however long the tick is."""
    site.show_all_symptoms()
    site.sync_journal()
    site.configure("journal.unit = 'another.service'", tick="1h", index=site.directory / "elsewhere.jsonl")
    with start_service(site) as service:
        service.until(lambda: "last tick" in service.notify.status, "the first evaluation")
        before = site.alerted()
        site.configure(tick="1h")
        service.reload()
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")

    assert before == []


def test_new_limits_apply_from_the_next_evaluation_on(service: Service, site: Site) -> None:
    """Other limits find other hosts. Incidents that they resolve, and that are found again, are alerted again."""
    site.configure("[detectors.silent]\nafter = '1h'\n[detectors.fatal-only]\nmin_count = 13\n")
    service.reload()
    service.until(lambda: "1 firing (1 unstamped)" in service.notify.status, "the new limits")
    site.configure()
    service.reload()
    service.until(lambda: "3 firing" in service.notify.status, "the old limits")

    service.until(lambda: Counter(row["host"] for row in site.alert_rows())["quiet"] > 1, "its second alert")

    assert service.events("configuration reloaded")
    assert Counter(row["host"] for row in site.alert_rows())["refused"] == 1


def test_a_new_tick_applies_at_once(service: Service, site: Site) -> None:
    """A shorter or longer tick does not wait for the end of the old one."""
    site.configure(tick="1h")
    service.reload()
    service.until(lambda: re.search(r"next \d\d:00:00 UTC", service.notify.status), "the long tick")
    site.configure(tick="1s")
    service.reload()
    service.until_evaluated_anew()


def test_a_changed_index_is_opened(service: Service, site: Site) -> None:
    """The hosts of the new index are watched. A host of the old one keeps its incident: no recovery was seen."""
    site.index = site.directory / "other.jsonl"
    site.upload("elsewhere", minutes_ago=40)
    site.configure()
    service.reload()
    expected = ("elsewhere", "silent")
    service.until(lambda: expected in site.alerted(), "the alert")
    states = "Watching 5 hosts: 3 firing, 1 unconfirmed, 1 well;"
    service.until(lambda: states in service.notify.status, "the hosts")
    # well, refused and unstamped are known from the journal.
    service.until(lambda: "3 firing (1 fatal-only, 1 silent, 1 unstamped)" in service.notify.status, "the findings")

    site.upload("later", minutes_ago=40)
    service.until(lambda: ("later", "silent") in site.alerted(), "what is appended to the new index")


def test_a_changed_journal_is_opened(service: Service, site: Site) -> None:
    """The hosts of the new journal are evaluated, those of the old one are forgotten."""
    site.journal_directory = site.directory / "other"
    site.answer("elsewhere", 503, times=10)
    site.sync_journal()
    site.configure()
    service.reload()
    service.until(lambda: ("elsewhere", "fatal-only") in site.alerted(), "the alert")
    service.until(lambda: "2 firing (1 fatal-only, 1 silent)" in service.notify.status, "the findings")


def test_a_changed_alert_log_is_used(service: Service, site: Site) -> None:
    """New alerts go to the new file. Alerts that were sent before are not repeated there."""
    site.alerts = site.directory / "other-alerts.jsonl"
    site.configure()
    service.reload()
    site.upload("newly-quiet", minutes_ago=31)
    service.until(site.alert_rows, "the alert")

    assert site.alerted() == [("newly-quiet", "silent")]


def test_a_longer_lookback_and_window_are_filled_from_the_past(site: Site, start_service: StartService) -> None:
    """The sources are read again, further back."""
    long_ago_us = 2 * 3_600_000_000
    site.upload("gone", minutes_ago=120)
    site.upload("well")
    for number in range(10):
        site.answer("refused", 412, at_us=clock.now() - long_ago_us + number)
    site.answer("well", 201)
    site.sync_journal()
    site.configure("[detectors.silent]\nlookback = '1h'\n")
    with start_service(site) as service:
        service.until_ready()
        service.until(lambda: "Watching 1 host:" in service.notify.status, "the hosts")
        nothing = site.alerted()
        site.configure(
            "[detectors.silent]\nlookback = '3h'\n[detectors.fatal-only]\nwindow = '3h'\n[detectors.unstamped]\n"
        )
        service.reload()
        service.until(lambda: len(site.alert_rows()) >= 2, "the alerts")

        assert nothing == []
        assert site.alerted() == [("gone", "silent"), ("refused", "fatal-only")]
        assert service.stop() == 0


def test_a_bad_configuration_is_refused_as_a_whole(service: Service, site: Site) -> None:
    """The old one stays in force, every problem is logged and in the status, and systemd gets READY=1."""
    site.config.write_text(
        "tick = '1h'\nticks = 5\n[detectors.silent]\nafter = 30\n[index]\npath = '/nowhere/index.jsonl'\n"
    )
    service.reload()
    refused = service.events("configuration refused, previous one kept")
    status = service.notify.having("READY")[-1]["STATUS"]
    service.until_evaluated_anew()

    assert sorted(str(line["problem"]).split(":")[0] for line in refused) == ["detectors.silent.after", "ticks"]
    assert {line["level"] for line in refused} == {"error"}
    assert status.startswith("reload refused: ")
    assert "3 firing" in service.notify.status
    assert "index following" in service.notify.status

    site.configure()
    service.reload()
    assert "refused" not in service.notify.having("READY")[-1]["STATUS"]


@pytest.mark.parametrize("spoil", ["missing", "directory", "empty TOML key"])
def test_a_missing_configuration_changes_nothing(spoil: str, service: Service, site: Site) -> None:
    """It is refused like a bad one, and not taken for an empty one."""
    site.config.unlink()
    if spoil == "directory":
        site.config.mkdir()
    elif spoil == "empty TOML key":
        site.config.write_text("= 1\n")
    service.reload()
    status = service.notify.having("READY")[-1]["STATUS"]
    service.until_evaluated_anew()

    assert status.startswith("reload refused: ")
    assert "3 firing" in service.notify.status


def test_a_configuration_with_an_unwritable_alert_log_is_refused(service: Service, site: Site) -> None:
    """The service does not switch to a file that cannot take alerts."""
    site.configure(alerts=site.directory / "missing" / "alerts.jsonl")
    service.reload()
    (refused,) = service.events("configuration refused, previous one kept")

    assert "alerts.path" in refused["problem"]
    assert "No such file or directory" in refused["problem"]


def test_many_reloads_at_once_are_few(service: Service) -> None:
    """Signals during a reload cause one more reload, which uses the last configuration."""
    before = len(service.notify.having("READY"))
    for _ in range(200):
        service.process.send_signal(signal.SIGHUP)
    service.until(lambda: len(service.notify.having("READY")) > before, "READY=1")
    service.until_evaluated_anew()
    messages = [one for one in service.notify.messages if {"RELOADING", "READY"} & one.keys()]

    assert "READY" in messages[-1]
    assert len(service.notify.having("READY")) == len(service.notify.having("RELOADING")) + 1


def test_a_configuration_with_a_missing_source_is_adopted(service: Service, site: Site, tmp_path: Path) -> None:
    """The status reports the missing source, and the service reads it when it appears."""
    site.index = tmp_path / "not-yet.jsonl"
    site.configure()
    service.reload()
    service.until(lambda: "index waiting" in service.notify.status, "the status")
    site.upload("elsewhere", minutes_ago=40)
    service.until(lambda: ("elsewhere", "silent") in site.alerted(), "the alert")
