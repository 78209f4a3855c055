"""S7: a flood makes journald drop the receiver's lines. A host that is refused in it must not look well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.sources.journal.system_messages import DROPPED_ID
from tests.rig.site import now_us

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService

MINUTE = 60_000_000
UNIT = "cis490-receiver.service"
# A host that delivers less often than every half an hour is none that is silent.
PATIENT = 'detectors.silent.after = "12h"'


def suppress(site: Site, count: int, since: int, until: int) -> None:
    """Let journald drop so many of the receiver's lines between two instants, and say so, as it does in a flood."""
    site.answer("flood", 404, at_us=since)
    site.journal.append(
        f"Suppressed {count} messages from {UNIT}",
        at_us=until,
        unit="systemd-journald.service",
        _TRANSPORT="driver",
        MESSAGE_ID=DROPPED_ID,
    )


def hosts(document: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """Return the state of each host, and what cannot be ruled out of it."""
    return {one["host"]: (one["state"], one["hidden"]) for one in document["hosts"] if one["host"] != "flood"}


@pytest.mark.fault("S7", rig="a process, a journal file")
def test_S7_who_may_have_been_refused_in_a_gap_is_not_well(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The victim's 30 refusals are among 40,000 lost lines. Its next upload says that it is well."""
    now = now_us()
    site.configure(PATIENT)
    site.upload("victim", "idle", minutes_ago=40)
    site.upload("steady", minutes_ago=2)
    site.answer("logged", 201, at_us=now - 12 * MINUTE)
    suppress(site, 40_000, now - 10 * MINUTE, now - 9 * MINUTE)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: service.evaluations() >= 2, "some ticks")
        line = service.notify.status
        found = run_command("status", "--json", "--config", site.config)
        screen = run_command("status", "--no-pager", "--config", site.config).stdout
        explained = run_command("explain", "victim", "--config", site.config).stdout
        filtered = run_command("status", "steady", "--json", "--config", site.config)
        site.upload("victim")
        site.answer("idle", 201)
        site.answer("flood", 201)
        site.sync_journal()
        service.until(lambda: "cannot be ruled out" not in service.notify.status, "the end of the doubt")
        after = run_command("status", "--json", "--config", site.config)

    both = ["fatal-only", "unstamped"]
    assert hosts(found.documents[0]) == {
        "victim": ("unknown", both),
        "idle": ("unknown", both),
        "steady": ("well", []),
        "logged": ("well", []),
    }
    assert found.documents[0]["hidden_by_symptom"] == {"fatal-only": 3, "unstamped": 3}
    assert (found.status, filtered.status, after.status) == (3, 3, 0)
    assert "1 gap in the last 12 h (journald suppressed 40000 messages, " in line
    assert "cannot be ruled out: fatal-only of 3 hosts, unstamped of 3 hosts" in line
    assert "cannot be ruled out: fatal-only of 3 hosts, unstamped of 3 hosts" in screen
    assert "fatal-only: cannot be ruled out, the journal does not show the whole window" in explained
    assert {state for state, _ in hosts(after.documents[0]).values()} == {"well"}
    assert site.alerted() == []


@pytest.mark.fault("S7", rig="a process, a journal file")
def test_S7_a_gap_is_known_before_the_next_tick(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Whoever asks in between is notified what was lost since."""
    now = now_us()
    site.configure(PATIENT, tick="24h")
    site.begin_journal()
    site.upload("victim", minutes_ago=40)
    site.answer("steady", 201, at_us=now - 2 * MINUTE)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: service.evaluations() == 1, "the first tick")
        before = run_command("status", "--json", "--config", site.config)
        suppress(site, 40_000, now - MINUTE, now_us())
        site.sync_journal()
        service.until(lambda: "1 gap" in service.notify.status, "the gap")
        after = run_command("status", "--json", "--config", site.config)

    assert (before.status, after.status) == (0, 3)
    assert hosts(after.documents[0])["victim"][0] == "unknown"


@pytest.mark.fault("S7", rig="a process, a journal file")
def test_S7_a_flood_that_lasts_is_an_alert(site: Site, start_service: StartService) -> None:
    """Over a restart too, and until a window was whole; one gap alone is none."""
    brief = 'alerts.resolved = true\nblind_after = "2s"\n' + "".join(
        f'detectors.{symptom}.window = "4s"\n' for symptom in ("fatal-only", "unstamped")
    )
    now = now_us()
    site.configure(PATIENT)
    site.upload("steady")
    suppress(site, 40_000, now - 3 * MINUTE, now - 2 * MINUTE)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: service.evaluations() >= 2, "some ticks")
        once = site.alerted()
    for age in (25, 19, 13, 7):
        suppress(site, 1_000, now - age * MINUTE, now - (age - 1) * MINUTE)
    site.sync_journal()
    (site.directory / "state" / "state.json").unlink()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("*", "blind")], "the alert")
        service.process.kill()
        service.process.wait()
    (row,) = site.alert_rows()
    site.configure(f"{PATIENT}\n{brief}")
    with start_service(site) as service:
        service.until(lambda: [one.get("status") for one in site.alert_rows()] == [None, "resolved"], "the end")

    assert once == []
    assert re.fullmatch(
        r"the journal has kept having gaps for 25 min[^:]*: 5 gaps since .*Z, journald suppressed 44000 messages",
        row["detail"],
    )
    assert "receiver-rate-limit.conf" in row["suggested_fix"]


@pytest.mark.fault("S7", rig="a process, a journal file")
def test_S7_a_check_says_what_it_cannot_rule_out(site: Site, run_command: RunCommand) -> None:
    """On stderr, beside its findings."""
    now = now_us()
    site.configure(PATIENT)
    site.upload("victim", minutes_ago=40)
    suppress(site, 40_000, now - 3 * MINUTE, now - 2 * MINUTE)
    site.sync_journal()
    done = run_command("check", "--dry-run", "--config", site.config)

    assert (
        "The journal does not show the whole window, so symptoms cannot be ruled out for this many hosts: "
        in done.stderr
    )
    assert "fatal-only: 2" in done.stderr
