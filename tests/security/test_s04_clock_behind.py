"""S4: a clock that is behind must not end what stands, whether it is so at the start or is set back later."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.service.clock import is_confirmed
from tests.rig import zygote
from tests.rig.fake_clock import FakeClock, find_libfaketime
from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import Service, plain_environment
from tests.rig.site import now_us

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import DoWithout, RunCommand, Site, StartAlteredService, StartService

MINUTE = 60
HOUR_US = 3_600_000_000
RESOLVED = "alerts.resolved = true\n"


@pytest.fixture
def clock(tmp_path: Path, do_without: DoWithout) -> FakeClock:
    """Return a clock that can be set."""
    if (library := find_libfaketime()) is None:
        do_without("libfaketime is not installed")
    return FakeClock(library, tmp_path / "clock")


def state_path(site: Site) -> Path:
    """Name the saved state."""
    return site.directory / "state" / "state.json"


def state_of(site: Site) -> dict[str, Any]:
    """Read the saved state."""
    state: dict[str, Any] = json.loads(state_path(site).read_bytes())
    return state


def standing(site: Site) -> list[tuple[str, str]]:
    """Return what the saved state says is open."""
    if not state_path(site).exists():
        return []
    return sorted((incident["host"], incident["symptom"]) for incident in state_of(site)["incidents"]["open"])


def told(site: Site) -> list[tuple[str, str, str]]:
    """Return the host, symptom and status of the rows of the alert log, sorted; an alert's status is empty.

    An alert that was repeated in another hour is there once: any of these tests may run when an hour begins.
    """
    rows = site.alert_rows()
    keys = [(row["dedup_key"], row["detected_at_wall"][:13]) for row in rows if "status" not in row]
    assert len(set(keys)) == len(keys), "alerted twice"
    alerts = {(row["host"], row["symptom"], "") for row in rows if "status" not in row}
    return sorted([*alerts, *((row["host"], row["symptom"], row["status"]) for row in rows if "status" in row)])


ALERTED = [(*alert, "") for alert in [("quiet", "silent"), ("refused", "fatal-only"), ("unstamped", "unstamped")]]


def open_all(site: Site, service: Service) -> None:
    """Wait until every symptom has its alert, and all of it is saved."""
    service.until(lambda: told(site) == ALERTED, "the alerts")
    service.until(lambda: standing(site) == site.EVERY_ALERT, "the state")


@pytest.mark.parametrize("lag_s", [40, 59, 2 * MINUTE, 20 * MINUTE, 3 * 60 * MINUTE, 20 * 365 * 24 * 60 * MINUTE])
@pytest.mark.fault("S4", rig="libfaketime", says="a start with a clock that is behind, then set right")
def test_S4_start_with_a_clock_that_is_behind(
    lag_s: int, clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """Nothing ends, nothing is lost, nothing is alerted twice; neither then nor when the clock is set right."""
    site.configure(RESOLVED)
    # A journal that began only now would look as if entries of the time before had been removed.
    site.answer("well", 201, at_us=now_us() - 120 * MINUTE * 1_000_000)
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site, **clock.environment) as service:
        open_all(site, service)
        service.stop(signal.SIGKILL)
    saved_at = state_of(site)["incidents"]["at"]
    clock.set(-lag_s)
    with start_service(site, **clock.environment) as service:
        service.until(lambda: service.evaluations() >= 4, "some ticks")
        behind = told(site), standing(site)
        status = service.notify.status
        service.stop(signal.SIGKILL)
    still_saved_at = state_of(site)["incidents"]["at"]
    with start_service(site, **clock.environment) as service:
        service.until(lambda: service.evaluations() >= 2, "some ticks of another life")
        clock.set(0)
        for _ in range(2):
            service.until_evaluated_anew()
        right = told(site), standing(site), service.notify.status

        assert behind == (ALERTED, site.EVERY_ALERT)
        assert ("the clock is " in status) == (lag_s > MINUTE)
        assert still_saved_at >= saved_at
        assert right[:2] == (ALERTED, site.EVERY_ALERT)
        assert "the clock is " not in right[2]
        site.upload("quiet")
        site.answer("refused", 201)
        site.sync_journal()
        ends = [("quiet", "silent", "resolved"), ("refused", "fatal-only", "resolved")]
        service.until(lambda: told(site) == sorted([*ALERTED, *ends]), "the ends")


@pytest.mark.parametrize("back_s", [40, 20 * MINUTE])
@pytest.mark.fault("S4", rig="libfaketime", says="the clock is set back while the service runs")
def test_S4_clock_set_back_while_it_runs(
    back_s: int, clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """Nothing ends under it, nor when it is right again."""
    site.configure(RESOLVED)
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site, **clock.environment) as service:
        open_all(site, service)
        for offset_s in (-back_s, 0, -back_s, 0):
            clock.set(offset_s)
            for _ in range(2):
                service.until_evaluated_anew()

            assert (told(site), standing(site)) == (ALERTED, site.EVERY_ALERT)


@pytest.mark.fault("S4", rig="libfaketime", says="the status, explain and an alert say that the clock is behind")
def test_S4_a_clock_that_is_behind_is_reported(
    clock: FakeClock, site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """By STATUS=, by `status` with exit status 3, by `explain`, and by an alert when it lasts; until it is right."""
    site.configure(RESOLVED + 'blind_after = "1s"\n')
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        open_all(site, service)
        service.stop(signal.SIGKILL)
    clock.set(-20 * MINUTE)
    with start_service(site, **clock.environment) as service:
        service.until(lambda: ("*", "blind", "") in told(site), "the alert")
        shown = run_command("status", "--config", site.config)
        status = run_command("status", "--json", "--config", site.config)
        explained = run_command("explain", "quiet", "--config", site.config)
        (row,) = [row for row in site.alert_rows() if row["symptom"] == "blind"]
        clock.set(0)
        service.until(lambda: ("*", "blind", "resolved") in told(site), "the end")
        after = run_command("status", "--json", "--config", site.config)

    assert "cannot evaluate by the clock" in row["detail"]
    assert " min " in row["detail"]
    assert " behind the " in row["detail"]  # the state or the alert log, whichever is later
    assert "timedatectl" in row["suggested_fix"]
    assert (shown.status, status.status) == (3, 3)
    assert "the clock is 1" in shown.stdout
    (document,) = status.documents
    assert {"silent", "receiver-down"} <= set(document["not_evaluated"])
    assert [source["phase"] for source in document["sources"] if source["name"] == "clock"] == ["behind"]
    assert "the clock is 1" in explained.stdout
    assert "absence and resolutions are not evaluated" in explained.stdout
    # The clock is right again; what was written under the wrong one is a gap, which may hide a verdict.
    assert "clock" not in [source["name"] for source in after.documents[0]["sources"]]
    assert after.status == (3 if after.documents[0]["hidden_by_symptom"] else 1)
    assert [one for one in told(site) if one[2]] == [("*", "blind", "resolved")]


def only_state(site: Site) -> None:
    """Leave nothing but the state."""
    site.alerts.unlink()
    os.utime(site.index, (0, 0))


def only_alerts(site: Site) -> None:
    """Leave nothing but the alert log."""
    state_path(site).unlink()
    os.utime(site.index, (0, 0))


def only_journal(site: Site) -> None:
    """Leave nothing but the journal."""
    only_alerts(site)
    site.alerts.unlink()
    site.answer("well", 201)
    site.sync_journal()


def only_index(site: Site) -> None:
    """Leave nothing but the index."""
    state_path(site).unlink()
    site.alerts.unlink()
    site.upload("well")


@pytest.mark.parametrize(
    ("leave", "record"),
    [
        (only_state, "saved state"),
        (only_alerts, "alert log"),
        (only_journal, "journal"),
        (only_index, "index"),
    ],
)
@pytest.mark.fault("S4", rig="libfaketime", says="any one record alone contradicts the clock, for `check` as well")
def test_S4_each_record_contradicts_the_clock(
    leave: Callable[[Site], None], record: str, clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """Absence is not evaluated: neither by the service, nor by `check`, which says so and fails."""
    site.configure()
    site.answer("well", 201, at_us=now_us() - HOUR_US)
    site.sync_journal()
    site.upload("quiet", minutes_ago=75)
    with start_service(site) as service:
        service.until(lambda: standing(site) == [("quiet", "silent")], "the state")
        service.stop(signal.SIGKILL)
    leave(site)
    clock.set(-20 * MINUTE)
    checked = run_with(clock, "check", "--dry-run", "--json", "--config", str(site.config))
    with start_service(site, **clock.environment) as service:
        service.until(lambda: f"behind the {record}" in service.notify.status, "the status")
        service.until_evaluated_anew()
        not_evaluated = service.events("evaluated")[-1]["not_evaluated"]

    assert "silent" in not_evaluated
    assert (checked[0], f"behind the {record}" in checked[2]) == (1, True)
    assert '"silent"' not in checked[1]


def run_with(clock: FakeClock, *arguments: str) -> tuple[int, str, str]:
    """Run `fleet-health` by a clock."""
    done = zygote.run(arguments, env=plain_environment() | clock.environment, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.fault("S4", rig="service", says="a row dated far ahead does not switch absence off")
def test_S4_a_row_from_the_future_is_no_evidence(site: Site, start_service: StartService) -> None:
    """One from a host whose clock is wrong: the file itself was written now."""
    site.configure()
    site.answer("well", 201)
    site.sync_journal()
    site.upload("quiet", minutes_ago=45)
    site.upload("odd", minutes_ago=-600)
    with start_service(site) as service:
        service.until(lambda: told(site) == [("quiet", "silent", "")], "the alert")

        assert "the clock is" not in service.notify.status


STATE_AHEAD_US = 10 * 365 * 24 * HOUR_US


def save_ahead(site: Site) -> None:
    """Date all that stands in the state ten years ahead, as if the clock had been."""
    state = state_of(site)
    state["incidents"]["at"] += STATE_AHEAD_US
    for incident in state["incidents"]["open"]:
        for name in ("opened_at", "last_notified_at", "sign_at", "heard_at"):
            incident[name] = incident[name] and incident[name] + STATE_AHEAD_US
    state["uploads"] = {host: at + STATE_AHEAD_US for host, at in state["uploads"].items()}
    state_path(site).write_text(json.dumps(state))


def saved_ahead(site: Site, start_service: StartService) -> None:
    """Leave a state that was saved by a clock that was ahead, in which a host is silent."""
    site.configure(RESOLVED + 'blind_after = "1s"\n')
    site.answer("well", 201)
    site.sync_journal()
    site.upload("well")
    site.upload("quiet", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: standing(site) == [("quiet", "silent")], "the state")
        service.stop(signal.SIGKILL)
    save_ahead(site)


@pytest.mark.parametrize("is_synchronized", [False, True])
@pytest.mark.fault("S4", rig="service", says="a state that was saved by a clock far ahead is no silent deafness")
def test_S4_state_saved_by_a_clock_far_ahead(
    *,
    is_synchronized: bool,
    site: Site,
    start_service: StartService,
    start_altered_service: StartAlteredService,
) -> None:
    """It is reported and alerted as long as nobody confirms the clock; if a time server does, the watch goes on."""
    saved_ahead(site, start_service)
    (file := site.directory / "synchronized").touch()
    path = file if is_synchronized else site.directory / "nothing"
    code = f"from pathlib import Path\nfrom fleet_health.service import clock\nclock.SYNCHRONIZED = Path({str(path)!r})"
    site.upload("another", minutes_ago=45)
    with start_altered_service(site, code) as service:
        if is_synchronized:
            service.until(lambda: ("another", "silent", "") in told(site), "the alert of what is absent")
            site.upload("quiet")
            service.until(lambda: ("quiet", "silent", "resolved") in told(site), "the end")

            assert "the clock is" not in service.notify.status
        else:
            service.until(lambda: ("*", "blind", "") in told(site), "the alert")

            assert "behind the saved state" in service.notify.status
            assert ("quiet", "silent", "resolved") not in told(site)


@pytest.mark.fault(
    "S4", rig="service", says="root confirms a clock that was ahead; records dated ahead prove nothing then"
)
def test_S4_a_clock_that_root_confirms_is_believed(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The status names the way out; it holds for records of every kind, after a restart and for `check` as well."""
    saved_ahead(site, start_service)
    with site.alerts.open("a") as log:
        row = site.alert_rows()[0]
        log.write(json.dumps(row | {"detected_at_wall": "2031-01-01T00:00:00+00:00"}) + "\n")
    os.utime(site.alerts, (time.time() + 10 * STATE_AHEAD_US / 1e6,) * 2)
    site.answer("well", 201, at_us=now_us() + HOUR_US)
    site.sync_journal()
    confirmation = site.directory / "clock-is-right"
    with start_service(site) as service:
        service.until(lambda: f"confirm it as root: touch {confirmation}" in service.notify.status, "the way out")
        service.until_evaluated_anew()
        before = told(site)
        confirmation.touch()
        service.until(lambda: "the clock is" not in service.notify.status, "the status")
        site.upload("quiet")
        service.until(lambda: ("quiet", "silent", "resolved") in told(site), "the end")
        service.stop()
    confirmation.unlink()
    checked = run_command("check", "--config", site.config, "--dry-run")
    site.upload("another", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: ("another", "silent", "") in told(site), "the alert of what is absent")

        assert "the clock is" not in service.notify.status
    assert ("quiet", "silent", "resolved") not in before
    assert checked.status == 0


@pytest.mark.parametrize("way", ["of another user", "a link", "of yesterday", "of tomorrow", "nobody's"])
@pytest.mark.fault("S4", rig="file", says="a confirmation of the clock by somebody else, or of another time, is none")
def test_S4_only_root_confirms_the_clock(way: str, tmp_path: Path, do_without: DoWithout) -> None:
    """Its file is root's or our own, regular, and was touched within the hour."""
    file, now = tmp_path / "clock-is-right", now_us()
    if way != "nobody's":
        file.touch()
    assert is_confirmed(now, file) == (way != "nobody's")
    if way == "of another user":
        if os.geteuid() != 0:
            do_without("only root gives a file away")
        os.chown(file, 65_534, 65_534)
    elif way == "a link":
        file.rename(tmp_path / "target")
        file.symlink_to(tmp_path / "target")
    elif way.startswith("of "):
        at_s = time.time() + (-2 if way == "of yesterday" else 2) * 3_600
        os.utime(file, (at_s, at_s))

    assert not is_confirmed(now, file)


@pytest.mark.parametrize("comes", ["row", "nothing"])
@pytest.mark.fault("S4", rig="service", says="a state that alone contradicts the clock for long is believed no more")
def test_S4_a_state_that_alone_contradicts_the_clock(
    comes: str, site: Site, start_service: StartService, start_altered_service: StartAlteredService
) -> None:
    """If something comes in meanwhile that agrees with the clock: without that nobody can tell."""
    saved_ahead(site, start_service)
    code = "from fleet_health.service import clock_check\nclock_check.STATE_ALONE_US = 1_000_000"
    with start_altered_service(site, code) as service:
        service.until(lambda: ("*", "blind", "") in told(site), "the alert, after more than a second")
        for _ in range(3):
            service.until_evaluated_anew()
        before = "behind the saved state" in service.notify.status
        if comes == "row":
            site.upload("well")
            service.until(lambda: "the clock is" not in service.notify.status, "the status")
            site.upload("quiet")
            service.until(lambda: ("quiet", "silent", "resolved") in told(site), "the end")
        service.until_evaluated_anew()

        assert before
        assert ("the clock is" in service.notify.status) == (comes == "nothing")


@pytest.mark.fault("S4", rig="libfaketime", says="what a clock that was ahead has dated ends nothing")
def test_S4_what_a_clock_that_was_ahead_has_dated(clock: FakeClock, site: Site) -> None:
    """Neither a row nor an entry in the journal is news of its host; one that comes afterwards is."""
    site.configure(RESOLVED)
    clock.set(2 * 60 * MINUTE)
    ahead_us = now_us() + 2 * HOUR_US
    for host, minutes_ago in (("quiet", 45), ("well", 1)):
        site.answer(host, 201, at_us=ahead_us - minutes_ago * MINUTE * 1_000_000)
        site.upload(host, at_us=ahead_us - minutes_ago * MINUTE * 1_000_000)
    code = "import sys\nfrom fleet_health.__main__ import main\nfrom fleet_health.service import clock_check"
    program = f"{code}\nclock_check.STATE_ALONE_US = 1_000_000\nsys.exit(main())"
    with Service(site, clock.environment, "-c", program) as service:
        service.until(lambda: told(site) == [("quiet", "silent", "")], "the alert")
        clock.set(0)
        service.until(lambda: "behind the" in service.notify.status, "the status")
        site.answer("well", 201)
        site.upload("well")
        service.until(lambda: "the clock is" not in service.notify.status, "the clock is believed")
        for _ in range(5):
            service.until_evaluated_anew()
        alone = told(site), standing(site)
        site.upload("quiet")
        service.until(lambda: ("quiet", "silent", "resolved") in told(site), "the end")

    assert ("quiet", "silent", "resolved") not in alone[0]
    assert ("quiet", "silent") in alone[1]


@pytest.mark.fault("S4", rig="libfaketime", says="the receiver started by a clock that was ahead, and is set right")
def test_S4_a_start_by_a_clock_that_was_ahead_excuses_nobody(clock: FakeClock, site: Site) -> None:
    """A host that falls silent afterwards is alerted in time, not once the start has come."""
    site.configure('[detectors.silent]\nafter = "3s"\n')
    clock.set(2 * 60 * MINUTE)
    ahead_us = now_us() + 2 * HOUR_US
    site.journal.append(
        "Started Receiver.",
        at_us=ahead_us,
        unit="init.scope",
        _PID="1",
        UNIT="cis490-receiver.service",
        MESSAGE_ID="39f53479d3a045ac8e11786248231fbf",
    )
    code = "import sys\nfrom fleet_health.__main__ import main\nfrom fleet_health.service import clock_check"
    program = f"{code}\nclock_check.STATE_ALONE_US = 1_000_000\nsys.exit(main())"
    with Service(site, clock.environment, "-c", program) as service:
        service.until(lambda: service.evaluations() > 1, "two evaluations")
        clock.set(0)
        service.until(lambda: "behind the" in service.notify.status, "the status")
        service.do_until(
            lambda: site.upload("well"), lambda: "the clock is" not in service.notify.status, "the clock is believed"
        )
        service.until(lambda: ("well", "silent") in site.alerted(), "the alert")


@pytest.mark.fault("S4", rig="libfaketime", says="a boot with the hardware clock two hours ahead, then set right")
def test_S4_what_only_a_clock_that_was_ahead_found_is_not_alerted(clock: FakeClock, site: Site) -> None:
    """Under that clock all hosts looked silent, and the receiver down. Its end must not alert for each host."""
    site.configure(RESOLVED)
    for host in ("one", "two", "three"):
        site.answer(host, 201, at_us=now_us() - 5 * MINUTE * 1_000_000)
        site.upload(host, minutes_ago=5)
    site.sync_journal()
    clock.set(2 * 60 * MINUTE)
    with Service(site, clock.environment) as service:
        service.until(lambda: ("*", "receiver-down", "") in told(site), "the alert")
        clock.set(0)
        (site.directory / "clock-is-right").touch()
        service.do_until(
            lambda: site.upload("one", "two"), lambda: ("*", "receiver-down", "resolved") in told(site), "the end"
        )
        for _ in range(5):
            service.until_evaluated_anew()

    assert told(site) == [("*", "receiver-down", ""), ("*", "receiver-down", "resolved")]
    assert standing(site) == []


@pytest.mark.fault("S4", rig="service", says="refusals that merely stop are no end")
def test_S4_refusals_that_stop_are_no_end(site: Site, start_service: StartService) -> None:
    """Nor is an accepted upload that is older than the opening, read late. One that is newer ends it."""
    site.configure(RESOLVED + 'detectors.fatal-only.window = "20s"\ndetectors.unstamped.window = "20s"\n')
    expected = [("refused", "fatal-only", ""), ("unstamped", "unstamped", "")]
    site.answer("refused", 412, times=12, at_us=now_us() - 12_000_000)
    site.warn_unstamped("unstamped", times=12, at_us=now_us() - 12_000_000)
    site.sync_journal()
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: told(site) == expected, "the alerts")
        (opened_at,) = {one["opened_at"] for one in service_state(service, site)}
        for host in ("refused", "unstamped"):
            site.upload(host, at_us=opened_at - 30_000_000)
        service.until(lambda: "2 unconfirmed" in service.notify.status, "that it is not found")
        for _ in range(3):
            service.until_evaluated_anew()

        assert told(site) == expected
        for host in ("refused", "unstamped"):
            site.upload(host)
        ends = [(*one[:2], "resolved") for one in expected]
        service.until(lambda: told(site) == sorted([*expected, *ends]), "the ends")


def service_state(service: Service, site: Site) -> list[dict[str, Any]]:
    """Return the open incidents as saved, once two are."""
    service.until(lambda: len(standing(site)) == 2, "the state")
    incidents: list[dict[str, Any]] = state_of(site)["incidents"]["open"]
    return incidents


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.fault("S4", rig="service", says="limits that were changed still end what is none any more by them")
def test_S4_changed_limits_end_what_they_no_longer_find(
    *, restarts: bool, site: Site, start_service: StartService
) -> None:
    """By a reload and by a restart, without a new upload; as `reload --dry-run` foretells."""
    site.configure(RESOLVED)
    site.begin_journal()
    site.show_all_symptoms()
    site.sync_journal()
    lax = (
        RESOLVED
        + 'detectors.silent.after = "2h"\ndetectors.fatal-only.min_count = 20\ndetectors.unstamped.min_count = 20\n'
    )
    ends = [(*alert[:2], "resolved") for alert in ALERTED]
    with start_service(site) as service:
        open_all(site, service)
        site.configure(lax)
        if not restarts:
            # The unstamped one, too, though nothing of it is accepted.
            service.reload()
            service.until(lambda: told(site) == sorted([*ALERTED, *ends]), "the ends")
            return
        service.stop(signal.SIGKILL)
    with start_service(site) as service:
        service.until(lambda: told(site) == sorted([*ALERTED, *ends]), "the ends")


@pytest.mark.parametrize("is_back_and_forth", [False, True])
@pytest.mark.fault(
    "S4", rig="libfaketime", says="a clock that is set at every tick is reported: absence is never evaluated"
)
def test_S4_a_clock_that_is_set_again_and_again_is_reported(
    *, is_back_and_forth: bool, clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """Two time services that disagree, or a machine that is paused all the time, must not hide who is silent."""
    site.configure(RESOLVED + 'blind_after = "3s"\n', tick="1s")
    site.answer("well", 201)
    site.sync_journal()
    site.upload("well")
    with start_service(site, **clock.environment) as service:
        service.until_ready()

        def set_and_look() -> bool:
            before = service.evaluations()
            clock.set(0 if is_back_and_forth and clock.offset_s else clock.offset_s + 90)
            service.until(lambda: service.evaluations() > before, "a tick")
            return ("*", "blind", "") in told(site)

        clock.set(90)
        service.until_evaluated_anew()
        assert "the clock is" not in service.notify.status  # set once, it is all right
        service.until(set_and_look, "the alert")
        clock.set(max(clock.offset_s, 90))  # ahead of all that was written
        service.until(lambda: ("*", "blind", "resolved") in told(site), "the end")


SLOW_WHILE_READING_AGAIN = """
import time
from fleet_health.service.intake import Intake
from fleet_health.sources.index.tail import Tail

read, reread, delay_s = Tail.read, Intake.reread, 0.0

def slow(tail):
    if delay_s and tail.path.name == "index.jsonl":
        time.sleep(delay_s)
    return read(tail)

async def read_again(intake, gap, **clock):
    global delay_s
    delay_s = 1.0
    await reread(intake, gap, **clock)
    delay_s = 0.0

Tail.read, Intake.reread = slow, read_again
"""


@pytest.mark.fault("S4", rig="libfaketime", says="a reload while everything is read again because the clock was set")
def test_S4_a_reload_while_everything_is_read_again(clock: FakeClock, site: Site) -> None:
    """What is read again by the old configuration does not replace what the new one has opened."""
    site.configure(RESOLVED)
    site.answer("well", 201)
    site.sync_journal()
    site.upload("well")
    with Service(site, clock.environment, prelude=SLOW_WHILE_READING_AGAIN) as service:
        service.until_ready().until_evaluated_anew()
        clock.set(100)
        service.until(lambda: "clock set or machine suspended" in service.stderr, "the step")
        site.index = site.directory / "other.jsonl"
        site.configure(RESOLVED)
        site.upload("well")
        site.upload("quiet", minutes_ago=45)
        service.reload()
        service.until(lambda: ("quiet", "silent", "") in told(site), "the alert by the new index")


@pytest.mark.parametrize("step_s", [60 * MINUTE, 25 * 60 * MINUTE])
@pytest.mark.fault(
    "S4", rig="libfaketime", says="a clock that is set ahead makes no host silent, lost or over; nor a kill"
)
def test_S4_time_that_the_clock_skipped_is_no_silence(
    step_s: int, clock: FakeClock, site: Site, start_service: StartService
) -> None:
    """Who uploaded before has as long as ever to upload again; who is silent by then is alerted in time."""
    site.configure(RESOLVED)
    site.answer("well", 201)
    site.sync_journal()
    site.upload("well", "another", minutes_ago=10)
    site.upload("long quiet", minutes_ago=45)
    site.upload("soon quiet", minutes_ago=29.7)
    before, soon = {("long%20quiet", "silent", "")}, {("soon%20quiet", "silent", "")}
    with start_service(site, **clock.environment) as service:
        service.until(lambda: before <= set(told(site)), "the alert")
        service.until_evaluated_anew()
        clock.set(step_s)
        for _ in range(2):
            service.until_evaluated_anew()
        service.until(lambda: " silent)" in service.notify.status, "that it is silent still")
        service.stop(signal.SIGKILL)
    assert set(told(site)) - soon == before
    with start_service(site, **clock.environment) as service:
        service.until(lambda: set(told(site)) == before | soon, "the alert of who is silent by now")
        service.until_evaluated_anew()

    assert set(told(site)) == before | soon
