"""S9: neither names that come and go nor one busy host fill the memory, the state file, or the time of a tick."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import tracemalloc
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from fleet_health.alerting.flapping import Flapping
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.scope import Scope
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate, evict, lookback_of
from fleet_health.model.fleet import Fleet
from fleet_health.model.history import History
from fleet_health.model.observation import Response, Upload
from fleet_health.model.window import EXACT_EVENTS, HostWindow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RunCommand, Site, StartService

NOW = 1_795_460_100_000_000
SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
TICK = 5 * MINUTE
UNIT = Path(__file__).parents[2] / "packaging" / "fleet-health.service"


def state_sizes(hosts: int, refusals_per_s: int, *ticks: int) -> list[int]:
    """Live for some ticks with refusals of ever new names, ten of each; return the bytes of what is saved after some.

    Args:
        hosts: How many hosts upload at each tick.
        refusals_per_s: How many refusals there are.
        ticks: After how many ticks the size is taken, in ascending order.

    """
    settings = load(None)
    detectors, fleet, incidents, history = settings.detectors(), Fleet(), Incidents(), History()
    incidents.tune(settings.policy, Scope(frozenset(detector.symptom for detector in detectors)))
    now, count, sizes = NOW, 0, list[int]()
    for number in range(1, ticks[-1] + 1):
        fleet.uploads.record(Upload(f"pi-{number:05}", now - SECOND) for number in range(hosts))
        names = [f"invented-{name // 10}" for name in range(count, count + refusals_per_s * 300)]
        count += len(names)
        fleet.traffic.record(
            Response(name, now - TICK + TICK * place // len(names), 422) for place, name in enumerate(names)
        )
        evict(fleet, lookback_of(detectors), now)
        history.note(fleet, now, now - 30 * MINUTE)
        incidents.update(evaluate(fleet, detectors, now, tuple(incidents.open)))
        fleet.protect(incidents.anchored)
        now += TICK
        if number in ticks:
            saved = incidents.snapshot(), history.snapshot, dict(fleet.uploads.items())
            sizes.append(sum(len(msgspec.json.encode(one)) for one in saved))
    return sizes


@pytest.mark.fault("S9", rig="core")
def test_S9_names_that_come_and_go_leave_no_trace_in_the_state() -> None:
    """55 refusals a second under ever new names: the state of 5,000 hosts stays within twice its size."""
    (quiet,), (an_hour, two_hours) = state_sizes(5_000, 0, 12), state_sizes(5_000, 55, 12, 24)

    assert two_hours < 2 * quiet
    assert two_hours < 1.1 * an_hour


@pytest.mark.fault("S9", rig="core")
def test_S9_openings_are_remembered_of_so_many_only() -> None:
    """What has opened most often stays: a host that flaps is not forgotten for names that come once."""
    flapping, limit = Flapping(), 100
    for number in range(3):
        flapping.open(("flaps", "fatal-only"), NOW + number, 5)
    for number in range(10_000):
        flapping.open((f"once-{number}", "fatal-only"), NOW + 10 + number, 5)
        if number % 1_000 == 0:
            flapping.settle(NOW + 10 + number, HOUR, limit)
    flapping.settle(NOW + 20_000, HOUR, limit)

    assert len(flapping.openings) == limit
    assert len(flapping.openings["flaps", "fatal-only"]) == 3


@pytest.mark.fault("S9", rig="core")
def test_S9_lost_hosts_are_remembered_of_so_many_only() -> None:
    """Names that upload once and are lost do not pile up for a month: the ones lost first are forgotten."""
    settings = load(None, {"hosts.limit": ("", 100)})
    incidents = Incidents()
    incidents.tune(settings.policy, Scope())
    for number in range(500):
        pair = (f"once-{number}", "silent")
        incidents.open[pair] = Incident(*pair, NOW - HOUR, last_notified_at=NOW, lost_at=NOW + number)

    incidents.update(evaluate(Fleet(), (), NOW + 1_000))

    assert [host for host, _ in incidents.open] == [f"once-{number}" for number in range(400, 500)]


@pytest.mark.fault("S9", rig="core")
def test_S9_a_busy_host_takes_little_memory_and_time() -> None:
    """10,000 events a second for half an hour take half a megabyte, and each figure of them some milliseconds."""
    window, step = HostWindow(), 100
    for number in range(30 * 60 * 10_000 // 10):  # a tenth of them, for more are no other
        window.add_response(NOW + number * step * 10, 422)
    tracemalloc.start()
    copied = deepcopy(window)  # what is traced from the first event on takes ten times as long
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    until = NOW + 30 * 60 * SECOND

    began_at = time.thread_time()
    for _ in range(10):
        counted = window.count(NOW + MINUTE, until - MINUTE)
        window.count_by_status(NOW + MINUTE, until - MINUTE)
        window.earliest((2,), NOW)
        window.latest((2,), until)
    spent_s = (time.thread_time() - began_at) / 10

    assert copied.totals == window.totals
    assert size < 512 * 1024
    assert spent_s < 0.1  # a second and more, if each event is gone through
    assert window.totals.refused == 30 * 60 * 1_000
    assert abs(counted.refused - 28 * 60 * 1_000) <= 2 * 1_000  # a step at either end


@pytest.mark.fault("S9", rig="core")
def test_S9_all_windows_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many busy hosts share a budget: the busiest are counted in steps, the others stay exact."""
    budget = 1 << 16
    monkeypatch.setattr("fleet_health.model.traffic._BUDGET", budget)
    fleet = Fleet()
    fleet.uploads.record(Upload(f"pi-{number}", NOW) for number in range(50))

    def events() -> Iterator[Response]:
        for number in range(4_000):
            for host in range(50):
                if host or number % 100 == 0:
                    yield Response(f"pi-{host}", NOW + number * 100_000, 422)

    for response in events():
        fleet.traffic.record([response])

    sizes = {host: window.size for host, window in fleet.traffic.items()}
    quiet = fleet.traffic.window("pi-0")
    assert sum(sizes.values()) <= budget + budget // 8
    assert quiet is not None
    assert (quiet.step_us, quiet.size) == (0, 40)
    assert {window.totals.refused for host, window in fleet.traffic.items() if host != "pi-0"} == {4_000}


@pytest.mark.fault("S9", rig="core")
def test_S9_a_strangers_window_is_smaller() -> None:
    """A thousand strangers that are refused without end keep some megabytes at most."""
    fleet = Fleet()
    for number in range(10_000):
        fleet.traffic.record([Response("invented", NOW + number * 50_000, 422)])
    window = fleet.traffic.window("invented")

    assert window is not None
    assert window.totals.refused == 10_000
    assert window.size <= 1_024


@pytest.mark.fault("S9", rig="service")
def test_S9_explain_and_the_alert_say_that_a_busy_host_is_counted_in_steps(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Figures that are not exact are not given as if they were."""
    site.begin_journal()
    site.upload("busy")
    site.answer("busy", 422, times=EXACT_EVENTS + 100)
    site.sync_journal()
    site.configure()
    with start_service(site) as service:
        service.until(site.alerted, "the alert")
        explained = run_command("explain", "busy", "--config", site.config).stdout
    (row,) = site.alert_rows()

    assert f"{EXACT_EVENTS + 100} x 422 (so many that they are counted in steps of 1 s)" in row["detail"]
    assert "counted in steps of      1s, because there are so many" in explained
    assert (
        f"responses in the last 30 min: {EXACT_EVENTS + 100} (so many that they are counted in steps of 1 s)"
        in explained
    )


@pytest.mark.fault("S9", rig="files")
def test_S9_the_unit_limits_memory_and_lets_the_receiver_come_first(tmp_path: Path) -> None:
    """Should all else fail, it is fleet-health that is stopped; and systemd 252 knows each of the settings."""
    text = UNIT.read_text()
    found = dict(re.findall(r"^(MemoryHigh|MemoryMax|CPUWeight|IOWeight)=(\d+)M?$", text, re.MULTILINE))

    assert 256 <= int(found["MemoryHigh"]) < int(found["MemoryMax"]) <= 1024
    assert int(found["CPUWeight"]) < 100
    assert int(found["IOWeight"]) < 100
    if shutil.which("systemd-analyze") is None:
        return
    unit = tmp_path / UNIT.name
    # What it starts and what it documents need not be installed here.
    bare = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)
    unit.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", bare, flags=re.MULTILINE))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert [line for line in verified.stderr.splitlines() if UNIT.name in line] == []
