"""S5: whoever reaches the receiver can name any host. Invented names hide no host, end no incident, and mail nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.alerting.alert import RESOLVED
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.scope import Scope
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate, evict, lookback_of
from fleet_health.model.counters import Counters
from fleet_health.model.fleet import HOST_LIMIT, Fleet
from fleet_health.model.observation import Response, Upload
from fleet_health.service.intake import Intake
from fleet_health.service.receiver_sources import KnownPast, KnownSources
from fleet_health.service.service_manager import Pulse
from fleet_health.sources.index.tail import Tail
from tests.rig.fake_clock import FakeClock, find_libfaketime
from tests.rig.site import now_us

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import AsyncEventually, DoWithout, RunCommand, Site, StartService

NOW = 1_795_460_100_000_000
SECOND, MINUTE = 1_000_000, 60_000_000
TICK = 5 * MINUTE
SMALL = "hosts.limit = 30\nalerts.resolved = true"
"""Three strangers have a place at a time."""


def flood(site: Site, names: int, *, first: int = 0, times: int = 1, at_us: int | None = None) -> None:
    """Have the receiver refuse requests under so many invented names."""
    for number in range(first, first + names):
        site.answer(f"invented-{number}", 422, times=times, at_us=at_us)


class Life:
    """The core as the service runs it: one tick after another."""

    def __init__(self, *, expected: Iterable[str] = (), host_limit: int = HOST_LIMIT) -> None:
        self.settings = load(None, {"hosts.expected": ("", list(expected)), "hosts.limit": ("", host_limit)})
        self.detectors = self.settings.detectors()
        self.fleet = Fleet(self.settings.host_limit, self.settings.ignored, self.settings.expected)
        self.incidents = Incidents()
        symptoms = frozenset(detector.symptom for detector in self.detectors)
        self.incidents.tune(self.settings.policy, Scope(symptoms, self.settings.ignored, frozenset(expected)))
        self.now = NOW
        self.alerts: list[tuple[str, str, str]] = []
        self.ends: list[tuple[str, str]] = []

    def refuse(self, hosts: Iterable[str], since: int, until: int) -> None:
        """Refuse one request under each name, evenly between two instants."""
        names = list(hosts)
        self.fleet.traffic.record(
            Response(name, since + (until - since) * number // len(names), 422) for number, name in enumerate(names)
        )

    def tick(self) -> Counter[str]:
        """Evaluate, and let a tick pass; return how many alerts there were of each symptom."""
        gone = evict(self.fleet, lookback_of(self.detectors), self.now)
        evaluation = evaluate(self.fleet, self.detectors, self.now, tuple(self.incidents.open))
        news = self.incidents.update(replace(evaluation, gone=gone))
        self.fleet.lost = self.incidents.once_uploaded
        self.fleet.protect(self.incidents.anchored)
        self.now += TICK
        self.alerts += [(one.finding.host, one.finding.symptom, one.finding.detail) for one in news.alerts]
        self.ends += [(one.host, one.status) for one in news.notices]
        return Counter(one.finding.symptom for one in news.alerts)


@pytest.mark.fault("S5", rig="core")
@pytest.mark.parametrize("kind", ["uploaded before", "expected by name", "expected by a glob"])
def test_S5_a_known_host_is_seen_in_a_flood_of_names(kind: str) -> None:
    """10,000 refused names, 5.6 a second, and in their midst 15 refusals of a host that was idle: it is alerted."""
    life = Life(expected=[] if kind == "uploaded before" else ["pi-07" if kind == "expected by name" else "pi-*"])
    if kind == "uploaded before":
        life.fleet.uploads.record([Upload("pi-07", NOW - 29 * MINUTE)])
    names = [f"invented-{number}" for number in range(10_000)]
    for place in range(0, 9_000, 600):
        names.insert(place, "pi-07")

    life.refuse(names, NOW - 30 * MINUTE, NOW)
    life.tick()

    assert [one for one in life.alerts if one[0] == "pi-07" and one[1] == "fatal-only"] == [
        ("pi-07", "fatal-only", "15 of 15 uploads in the last 30 min were refused: 15 x 422")
    ]


@pytest.mark.fault("S5", rig="core")
def test_S5_names_that_match_an_expected_glob_push_out_each_other_only() -> None:
    """Whoever knows the glob can invent names for it; hosts that have uploaded or are named keep their places."""
    life = Life(expected=["pi-*", "named"])
    life.fleet.uploads.record([Upload("pi-uploader", NOW - 29 * MINUTE)])
    names = [f"pi-{number:06}" for number in range(30_000)]
    for place in range(0, 15_000, 1_000):
        names[place:place] = ["pi-uploader", "named"]

    life.refuse(names, NOW - 30 * MINUTE, NOW)

    counted = {host: life.fleet.counts(NOW - 30 * MINUTE, NOW)[host].refused for host in ("pi-uploader", "named")}
    assert counted == {"pi-uploader": 15, "named": 15}
    assert len(list(life.fleet.traffic.items())) == life.settings.host_limit + 2


@pytest.mark.fault("S5", rig="core")
def test_S5_a_flood_of_refused_names_is_one_alert_an_hour() -> None:
    """Names that are refused often enough to be alerted each are alerted together: their number and ten names."""
    life = Life()
    by_hour: dict[int, Counter[str]] = {}
    for number in range(4 * 12):
        names = [f"invented-{name}" for name in range(number * 110, number * 110 + 110) for _ in range(15)]
        life.refuse(names, life.now - TICK, life.now)
        by_hour.setdefault(life.now // (60 * MINUTE), Counter()).update(life.tick())

    assert {hour: dict(alerts) for hour, alerts in by_hour.items()} == {hour: {"unknown-hosts": 1} for hour in by_hour}
    _, _, detail = life.alerts[-1]
    assert detail.count("invented-") == 20  # ten hosts, and ten of the alerts inhibited
    assert life.ends == []
    assert len(life.incidents.open) < 2_100


@pytest.mark.fault("S5", rig="core")
def test_S5_fewer_strangers_than_the_limit_are_alerted_each_as_ever() -> None:
    """Nine strangers are nine alerts; the tenth makes them one, and when there are nine again each is alerted again."""
    life = Life()
    nine = [f"new-{number}" for number in range(9)]
    life.refuse(nine * 12, NOW - MINUTE, NOW)
    assert life.tick() == Counter({"fatal-only": 9})

    life.refuse([*nine, "tenth"] * 12, life.now - MINUTE, life.now)
    assert life.tick() == Counter({"unknown-hosts": 1})


@pytest.mark.fault("S5", rig="core")
def test_S5_nine_strangers_in_each_window_are_one_group_in_the_end() -> None:
    """Other nine every half an hour, for a day: the first nine are alerted each, and the others as a group."""
    life = Life()
    for number in range(48):
        names = [f"invented-{number}-{name}" for name in range(9)]
        for name in names:
            life.refuse([name] * 10, life.now - 10 * MINUTE, life.now)
        for _ in range(6):
            life.tick()
    by_symptom = Counter(symptom for _, symptom, _ in life.alerts)

    assert len({host for host, symptom, _ in life.alerts if symptom == "fatal-only"}) == 9
    assert by_symptom["fatal-only"] <= 2 * 9  # again in the next hour, before there were more
    assert 0 < by_symptom["unknown-hosts"] <= 25


@pytest.mark.fault("S5", rig="core")
def test_S5_expected_hosts_are_alerted_each_by_itself() -> None:
    """Twenty hosts that are being set up, and named as expected, are twenty alerts."""
    life = Life(expected=["new-*"])
    life.refuse([f"new-{number}" for number in range(20)] * 12, NOW - MINUTE, NOW)

    alerts = life.tick()

    assert (alerts["fatal-only"], alerts["unknown-hosts"]) == (20, 0)


@pytest.mark.fault("S5", rig="core")
def test_S5_strangers_do_not_hide_that_the_receiver_fails() -> None:
    """All 50 hosts of the fleet get 503, and a thousand invented names get 422: the receiver is at fault."""
    life = Life()
    hosts = [f"pi-{number}" for number in range(50)]
    life.fleet.uploads.record(Upload(host, NOW - 29 * MINUTE) for host in hosts)
    life.fleet.traffic.record(Response(host, NOW - MINUTE, 503) for host in hosts for _ in range(12))
    life.refuse([f"invented-{number}" for number in range(1_000)], NOW - MINUTE, NOW)

    assert life.tick()["receiver-failing"] == 1
    assert "50 of 50 hosts" in life.alerts[0][2]


@pytest.mark.fault("S5", rig="core")
def test_S5_an_open_incident_outlives_a_flood_and_is_not_over() -> None:
    """A stranger that was alerted keeps its place while 20,000 names come and go; an upload ends it."""
    life = Life()
    life.refuse(["new-pi"] * 15, NOW - MINUTE, NOW)
    life.tick()
    for number in range(5):
        life.refuse(
            [f"invented-{number}-{name}" for name in range(4_000)] + ["new-pi"] * 2, life.now - TICK, life.now - SECOND
        )
        life.tick()

    assert life.ends == []
    assert {host for host, symptom, _ in life.alerts if symptom == "fatal-only"} == {"new-pi"}

    for _ in range(2):  # the flood goes on, and the host is accepted
        life.fleet.uploads.record([Upload("new-pi", life.now - SECOND)])
        life.fleet.traffic.record([Response("new-pi", life.now - SECOND, 201)])
        life.refuse([f"later-{life.now}-{name}" for name in range(4_000)], life.now - TICK, life.now)
        life.tick()
    assert life.ends == [("new-pi", RESOLVED)]


@pytest.mark.fault("S5", rig="core")
def test_S5_what_was_dropped_is_neither_whole_nor_over() -> None:
    """A stranger that has lost its place is not complete; when it comes back it is not for a window."""
    life = Life()
    fleet, since = life.fleet, NOW - 30 * MINUTE
    life.refuse(["new-pi"] * 15, NOW - 20 * MINUTE, NOW - 19 * MINUTE)
    life.refuse([f"invented-{name}" for name in range(2_000)], NOW - 19 * MINUTE, NOW - 10 * MINUTE)
    assert fleet.traffic.window("new-pi") is None
    assert fleet.is_left_out("new-pi", since)

    life.refuse(["new-pi"], NOW - MINUTE, NOW)

    (fatal,) = [detector for detector in life.detectors if detector.symptom == "fatal-only"]
    assert not fatal.is_over(fleet, "new-pi", NOW)
    assert fatal.conditions(fleet, "new-pi", NOW)[-1].value.startswith("earlier responses were dropped")
    # A window after the latest that was dropped it is whole again.
    assert fleet.is_complete("new-pi", fleet.traffic.strangers.lost_at + 1)


@pytest.mark.fault("S5", rig="core")
def test_S5_a_full_index_has_room_for_whoever_is_expected_or_open() -> None:
    """10,000 accepted names fill the table of uploads; an expected host and a lost one that come back are taken in."""
    life = Life(expected=["named", "pi-*"])
    life.fleet.lost = frozenset({"lost"})
    life.fleet.protect(["lost"])
    life.fleet.uploads.record(Upload(f"invented-{number}", NOW - MINUTE) for number in range(12_000))

    life.fleet.uploads.record(Upload(host, NOW) for host in ("lost", "named", "pi-1", "other"))

    assert [life.fleet.uploads.last_at(host) for host in ("lost", "named", "pi-1", "other")] == [NOW, NOW, NOW, None]


@pytest.mark.fault("S5", rig="service")
def test_S5_a_known_host_is_alerted_in_a_flood_also_after_a_restart(site: Site, start_service: StartService) -> None:
    """The journal is read after the index: refusals that stand in it before a flood are those of a known host."""
    site.begin_journal()
    site.upload("known")
    site.answer("known", 422, times=15)
    flood(site, 300)
    site.sync_journal()
    site.configure(SMALL)
    with start_service(site) as service:
        service.until(lambda: ("known", "fatal-only") in site.alerted(), "the alert of the known host")
        service.until(lambda: ("*", "too-many-hosts") in site.alerted(), "the alert of too many hosts")
        assert "15 of 15 uploads" in detail_of(site, "known")


@pytest.mark.fault("S5", rig="service")
def test_S5_a_restart_in_a_flood_resolves_nothing(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """A stranger with an open incident has its place before anything is read, so a later flood cannot hide it."""
    site.answer("new-pi", 422, times=15)
    site.sync_journal()
    site.index.touch()
    site.configure(SMALL)
    with start_service(site) as service:
        service.until(lambda: ("new-pi", "fatal-only") in site.alerted(), "the alert")
        service.until_evaluated_anew()
    flood(site, 300)
    site.sync_journal()
    with start_service(site) as service:
        service.until_ready()
        for _ in range(2):
            service.until_evaluated_anew()
        explained = run_command("explain", "new-pi", "--config", site.config, "--json").documents[0]

    assert [row for row in site.alert_rows() if row.get("status") == "resolved"] == []
    assert explained["state"] == "firing"
    assert explained["responses"]["4xx"] == 15


@pytest.mark.fault("S5", rig="service")
def test_S5_explain_says_of_a_stranger_that_it_was_left_out(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """It is neither well nor merely unknown; and one that is back for a moment is not well either."""
    site.upload("known")
    site.answer("new-pi", 422, times=15)
    flood(site, 300)
    site.sync_journal()
    site.configure(SMALL)
    with start_service(site) as service:
        service.until_ready().until_evaluated_anew()
        left_out = run_command("explain", "new-pi", "--config", site.config)
        site.answer("new-pi", 422)
        site.sync_journal()
        service.until(
            lambda: run_command("explain", "new-pi", "--config", site.config).status == 0, "the host to be seen"
        )
        back = run_command("explain", "new-pi", "--config", site.config)
        known = run_command("explain", "known", "--config", site.config)

    assert (left_out.status, left_out.stdout) == (2, "")
    assert left_out.stderr == (
        "new-pi is not evaluated: it has never uploaded and is not expected, and only 3 such hosts are counted at a"
        " time; if it is yours, name it in `hosts.expected`\n"
    )
    assert back.stdout.startswith("new-pi: unknown\n")
    assert "not evaluated responses up to " in " ".join(back.stdout.split())
    assert known.stdout.startswith("known: well\n")


@pytest.mark.fault("S5", rig="service")
def test_S5_many_refused_names_are_one_alert(site: Site, start_service: StartService) -> None:
    """A hundred names, each refused fifteen times: one row in the alert log, and each stands open by itself."""
    site.upload("known")
    for number in range(100):
        site.answer(f"invented-{number}", 422, times=15)
    site.sync_journal()
    site.configure()
    with start_service(site) as service:
        service.until(site.alerted, "an alert")
        service.until_evaluated_anew()

        assert site.alerted() == [("*", "unknown-hosts")]
        assert "1 firing (1 unknown-hosts)" in service.notify.status
        assert "100 inhibited" in service.notify.status
    assert "100 hosts that have never uploaded" in detail_of(site, "*")


@pytest.mark.fault("S5", rig="service")
async def test_S5_an_index_that_hangs_does_not_keep_the_journal_unread(
    site: Site, monkeypatch: pytest.MonkeyPatch, async_eventually: AsyncEventually
) -> None:
    """Whoever is remembered to have uploaded has a place all the same."""
    monkeypatch.setattr("fleet_health.service.intake._PROGRESS_TIME", 0.05)
    is_free = threading.Event()
    read = Tail.read

    def hang(tail: Tail) -> Any:
        is_free.wait()
        return read(tail)

    monkeypatch.setattr(Tail, "read", hang)
    site.upload("known")
    site.answer("known", 422, times=15)
    flood(site, 300)
    site.sync_journal()
    settings = load(site.configure(SMALL))
    tasks: list[asyncio.Task[Any]] = []

    def start(work: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    intake = Intake(
        clock=now_us, start=start, index_pulse=Pulse("i", 1e9), journal_pulse=Pulse("j", 1e9), counters=Counters()
    )
    known = KnownPast(sources={"": KnownSources(uploads={"known": now_us() - MINUTE})})
    starting = asyncio.create_task(intake.start(settings, lookback_of(settings.detectors()), known))
    await async_eventually(lambda: any(one.name == "journal" and one.read >= 300 for one in intake.states))
    is_free.set()
    await starting
    window = intake.fleet.traffic.window("known")

    assert window is not None
    assert len(window) == 15
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.fault("S5", rig="files")
def test_S5_check_sees_known_and_expected_hosts_in_a_flood(site: Site, run_command: RunCommand) -> None:
    """The index is read first, and who is expected has a place."""
    site.begin_journal()
    site.upload("known")
    for host in ("known", "named", "new-1"):
        site.answer(host, 422, times=15)
    flood(site, 300)
    site.sync_journal()
    site.configure(f"{SMALL}\nhosts.expected = ['named', 'new-*']")

    finished = run_command("check", "--config", site.config, "--json", "--dry-run")

    found = {(one["host"], one["symptom"]) for one in finished.documents if "symptom" in one}
    assert found >= {("known", "fatal-only"), ("named", "fatal-only"), ("new-1", "fatal-only"), ("*", "too-many-hosts")}


@pytest.mark.fault("S5", rig="files")
def test_S5_replay_sees_a_host_that_uploads_later_in_a_flood(site: Site, run_command: RunCommand) -> None:
    """What went wrong before a host's first upload is not lost among invented names."""
    now = now_us()
    # Between two ticks, so that none sees the host before the flood.
    tick_at = (now - 50 * MINUTE) // TICK * TICK
    site.answer("late", 422, times=15, at_us=tick_at + 10 * SECOND)
    flood(site, 300, at_us=tick_at + 20 * SECOND)
    site.upload("late", at_us=now - 5 * MINUTE)
    site.sync_journal()
    site.configure(SMALL, tick="5m")

    finished = run_command("replay", "--since", "1h", "--json", "--config", site.config)

    found = {(one["host"], one["symptom"]) for one in finished.documents[0]["incidents"]}
    assert ("late", "fatal-only") in found


def detail_of(site: Site, host: str) -> str:
    """Return the detail of a host's first alert."""
    return next(str(row["detail"]) for row in site.alert_rows() if row["host"] == host)


@pytest.mark.fault("S5", rig="core")
def test_S5_accepted_names_that_fall_silent_are_one_alert_an_hour() -> None:
    """200 names upload once and fall silent: one alert an hour, none when lost, and the fleet's own as ever.

    The limit is a fortieth of the default: a full table is evaluated 312 times, and its size changes only the duration.
    """
    count = HOST_LIMIT // 40
    life = Life(expected=["new-*"], host_limit=count)
    uploads = life.fleet.uploads
    uploads.record(Upload(f"pi-{number}", NOW) for number in range(50))
    uploads.notes_newcomers = True
    life.tick()
    uploads.record(Upload(f"invented-{number}", life.now) for number in range(count + 500))
    uploads.record([Upload("new-1", life.now)])
    by_hour: dict[int, Counter[str]] = {}
    for _ in range(26 * 12):  # beyond the lookback of 24 hours
        # One of the fleet stops with the invented names; all others go on.
        uploads.record(Upload(f"pi-{number}", life.now) for number in range(49))
        by_hour.setdefault(life.now // (60 * MINUTE), Counter()).update(life.tick())

    silent = {host for host, symptom, _ in life.alerts if symptom == "silent"}
    assert silent == {"pi-49", "new-1"}
    # Two hosts of the fleet, the group, and once that the journal has nothing of all these uploads.
    assert max(alerts.total() for alerts in by_hour.values()) <= 4
    assert {host for host, _ in life.ends} == {"pi-49", "new-1", "*"}
    assert {host for host, symptom in life.incidents.open if symptom == "silent"} == {"pi-49", "new-1"}


@pytest.mark.fault("S5", rig="service")
def test_S5_accepted_names_are_one_alert_also_after_a_restart(site: Site, start_service: StartService) -> None:
    """Which names turned up in the flood, and that there was no room for more, outlives a kill."""
    site.upload("known", "other")
    site.answer("known", 201)
    site.sync_journal()
    site.configure(SMALL)
    with start_service(site) as service:
        service.until_ready().until_evaluated_anew()
        site.upload(*(f"invented-{number}" for number in range(100)))
        service.until(lambda: ("*", "too-many-hosts") in site.alerted(), "the alert of too many hosts")
        service.until_evaluated_anew()
    # All fall silent at once, and not because the receiver is down.
    site.configure(f"{SMALL}\ndetectors.silent.after = '1s'\nreceiver.enabled = false")
    with start_service(site) as service:
        service.until(lambda: ("known", "silent") in site.alerted(), "the silence of a host of the fleet")
        service.until(lambda: "28 inhibited" in service.notify.status, "the silence of the invented ones")

    assert {host for host, symptom in site.alerted() if symptom == "silent"} == {"known", "other"}


@pytest.mark.fault("S5", rig="service", says="an invented name is no option and no path in a suggested command")
def test_S5_an_invented_name_is_no_option(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """`ssh $host` of a host `-F.config`, `rm -r spool/$host` of one named `..`: each is escaped, and found again."""
    site.configure("detectors.fatal-only.suggested_fix_412 = 'Run `ssh $host`, then `rm -r spool/$host`.'")
    site.upload("well")
    for host in ("-F.config", ".."):
        site.answer(host, 412, times=12)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) == 2, "the alerts")
        explained = run_command("explain", "--config", site.config, "--json", "--", "-F.config")

    assert {row["host"]: row["suggested_fix"] for row in site.alert_rows()} == {
        "%2DF.config": "Run `ssh %2DF.config`, then `rm -r spool/%2DF.config`.",
        "%2E.": "Run `ssh %2E.`, then `rm -r spool/%2E.`.",
    }
    assert explained.documents[0]["host"] == "%2DF.config"


@pytest.mark.fault(
    "S5", rig="libfaketime", says="a clock that is set back makes no known host one of the invented ones"
)
def test_S5_a_clock_set_back_makes_no_newcomer(site: Site, start_service: StartService, do_without: DoWithout) -> None:
    """While the table is full, the silence of whoever is new is alerted as a group: not of a host known before."""
    if (library := find_libfaketime()) is None:
        do_without("libfaketime is not installed")
    clock = FakeClock(library, site.directory / "clock")
    site.configure(SMALL, tick="3s")
    site.answer("known", 201)
    site.sync_journal()
    site.upload("known")
    with start_service(site, **clock.environment) as service:
        service.until_ready()
        site.upload(*(f"invented-{number}" for number in range(100)))
        service.until(lambda: ("*", "too-many-hosts") in site.alerted(), "the alert of too many hosts")
        service.until_evaluated_anew()
        site.upload("known")  # later than any evaluation
        clock.set(-100)
        service.until_evaluated_anew()
        newcomers = json.loads((site.directory / "state" / "state.json").read_bytes())["newcomers"]

    assert "invented-1" in newcomers
    assert "known" not in newcomers
