"""A source that can be read and yet shows nothing (G4 to G6), each provoked for real: no verdict may rest on that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.demo.journal import JournalFile
from fleet_health.parsing.local_time import local_wall
from tests.rig.journal_files import make_unknown
from tests.rig.site import iso, now_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Finished, RunCommand, Site, StartService

MINUTE = 60_000_000
UNIT = "cis490-receiver.service"


def naive_row(host: str, at_us: int) -> bytes:
    """Make a row whose time has no offset."""
    return json.dumps({"host_id": host, "received_at_wall": iso(at_us)[:19]}).encode() + b"\n"


def other_keys(host: str, at_us: int) -> bytes:
    """Make a row of other keys than those that are configured."""
    return json.dumps({"name": host, "at": iso(at_us)}).encode() + b"\n"


def as_list(host: str, at_us: int) -> bytes:
    """Make a row that is a list."""
    return json.dumps([host, iso(at_us)]).encode() + b"\n"


NGINX = '10.0.0.7 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/episodes/{host}/e HTTP/1.0" {status} 0 "-" "shipper"'
JSON = '{{"method":"PUT","path":"/v1/episodes/{host}/e","status":{status}}}'
COLOURED = (
    '\x1b[32mINFO\x1b[0m:     10.0.0.7:1 - "\x1b[1mPUT /v1/episodes/{host}/e HTTP/1.1\x1b[0m"'
    " \x1b[31m{status} Precondition Failed\x1b[0m"
)


@pytest.fixture(params=["service", "check", "replay"])
def symptoms(
    request: pytest.FixtureRequest, site: Site, start_service: StartService, run_command: RunCommand
) -> Callable[[], tuple[set[tuple[str, str]], str]]:
    """Return what is found of a site, by each of the three that evaluate: the symptoms, and the words of the first."""

    def found() -> tuple[set[tuple[str, str]], str]:
        site.sync_journal()
        if request.param == "replay":
            site.configure(tick="1m")
            report = run_command("replay", "--config", site.config, "--since", "20m", "--json").documents[0]
            rows = report["incidents"]
        elif request.param == "check":
            *rows, _ = run_command("check", "--config", site.config, "--dry-run", "--json").documents
        else:
            with start_service(site) as service:
                service.until(lambda: len(service.events("evaluated")) > 1, "two evaluations")
                service.stop()  # what is queued is delivered
            rows = site.alert_rows()
        pairs = {(row["host"], row["symptom"]) for row in rows}
        return pairs, next((row["detail"] for row in rows if row["symptom"] == "blind"), "")

    return found


@pytest.mark.fault("G4", rig="R0", says="the journal begins a few minutes ago")
@pytest.mark.parametrize("begin_at", [6, 40])
def test_G4_what_is_before_the_journals_begin_is_not_taken_for_seen(begin_at: int, site: Site, symptoms: Any) -> None:
    """A host that uploaded before it is not `fatal-only`, for the index shows that; an older journal would have it."""
    now = now_us()
    site.upload("a", at_us=now - 10 * MINUTE)
    for minutes in range(begin_at, 5, -6):
        site.journal.append("Application startup complete.", at_us=now - minutes * MINUTE)
    site.answer("a", 412, times=12, at_us=now - 5 * MINUTE)

    found, _ = symptoms()

    assert found == (set() if begin_at < 30 else {("a", "fatal-only")})


@pytest.mark.fault("G5", rig="R0", says="not one row of the index is understood")
@pytest.mark.parametrize("row", [naive_row, other_keys, as_list])
def test_G5_an_index_of_which_nothing_is_understood_is_blind(row: Any, site: Site, symptoms: Any) -> None:
    """Also with no host known: of an index whose rows are all rejected nothing can be said, and that is said."""
    now = now_us()
    site.index.write_bytes(b"".join(row(host, now - minutes * MINUTE) for minutes in (55, 50, 45) for host in "abc"))
    site.journal.append("Started server process [1]", at_us=now - 60 * MINUTE)

    found, detail = symptoms()

    assert found == {("*", "blind")}
    assert detail == "not one of 9 rows of the index was understood"


@pytest.mark.fault("G5", rig="R0", says="no line of the journal matches")
@pytest.mark.parametrize("line", [NGINX, JSON, COLOURED])
def test_G5_a_journal_of_which_nothing_is_understood_is_blind(line: str, site: Site, symptoms: Any) -> None:
    """One host is enough: it tells of uploads, and none of it matches."""
    now = now_us()
    site.journal.append("Started server process [1]", at_us=now - 60 * MINUTE)
    for _ in range(6):
        site.journal.append(line.format(host="a", status=412), at_us=now - 16 * MINUTE)
    site.index.touch()

    found, detail = symptoms()

    assert found == {("*", "blind")}
    assert detail == "not one of 6 upload lines of the journal was understood"


@pytest.mark.fault("G5", rig="R0", says="the journal has no entry of the unit")
def test_G5_a_journal_without_an_entry_of_the_unit_is_blind(site: Site, symptoms: Any) -> None:
    """The index has an upload of the time that the journal shows, and the unit has a name that nobody has."""
    now = now_us()
    site.upload("a", at_us=now - 5 * MINUTE)
    site.journal.append("a line of another unit", at_us=now - 60 * MINUTE, unit="other.service")

    found, detail = symptoms()

    assert found == {("*", "blind")}
    assert detail == f"the journal has not one entry of {UNIT}"


@pytest.mark.fault("G5", rig="R0", says="the journal is another one's, or the unit another")
def test_G5_uploads_of_which_the_unit_writes_nothing_are_blind(site: Site, symptoms: Any) -> None:
    """It did write once: since then the receiver has another unit, or this is a copy of its journal."""
    now = now_us()
    site.answer("a", 201, at_us=now - 90 * MINUTE)
    site.journal.append("a line of another unit", at_us=now - 2 * MINUTE, unit="other.service")
    for minutes in (75, 50, 25, 8):
        site.upload("a", at_us=now - minutes * MINUTE)

    found, detail = symptoms()

    assert found == {("*", "blind")}
    assert detail.startswith(f"the journal has no entry of {UNIT} since ")


@pytest.mark.fault("G5", rig="R0", says="a format changes")
def test_G5_what_is_understood_no_more_is_no_silence(site: Site, symptoms: Any) -> None:
    """Rows go on to come, in another format: the hosts are not silent, nobody can say what they are."""
    now = now_us()
    site.journal.append("Started server process [1]", at_us=now - 120 * MINUTE)
    site.upload("a", "b", at_us=now - 50 * MINUTE)
    with site.index.open("ab") as file:
        file.writelines(naive_row(host, now - minutes * MINUTE) for minutes in range(45, 0, -5) for host in "ab")

    found, detail = symptoms()

    assert found == {("*", "blind")}
    assert detail.startswith("the last 18 rows of the index were not understood, the one before them is of ")


def quiet_night(site: Site, now: int) -> None:
    """Nobody has uploaded for hours within the lookback of none: rows are rejected now and then."""
    site.upload("a", at_us=now - 20 * MINUTE)
    with site.index.open("ab") as file:
        file.write(b"\n\n\n" + b"".join(b"torn {\n" for _ in range(6)))
    site.journal.append("Started server process [1]", at_us=now - 60 * MINUTE)
    site.answer("a", 201, at_us=now - 20 * MINUTE)


def before_the_first_upload(site: Site, now: int) -> None:
    """The receiver runs, is asked for its health, and nobody has uploaded yet."""
    site.index.touch()
    for line in ("Started server process [1]", *['INFO:     10.0.0.7:1 - "GET /health HTTP/1.1" 200 OK'] * 30):
        site.journal.append(line, at_us=now - 20 * MINUTE)


def dashboard(site: Site, now: int) -> None:
    """What reads the same paths uploads nothing."""
    site.index.touch()
    for _ in range(30):
        site.journal.append('INFO:     10.0.0.7:1 - "GET /v1/episodes/a/e HTTP/1.1" 200 OK', at_us=now - 20 * MINUTE)


def half(site: Site, now: int) -> None:
    """Half of the lines are of a proxy, which logs each upload as well."""
    site.upload("a", at_us=now - 16 * MINUTE)
    site.journal.append("Started server process [1]", at_us=now - 60 * MINUTE)
    for _ in range(9):
        site.answer("a", 201, at_us=now - 16 * MINUTE)
        site.journal.append(NGINX.format(host="a", status=201), at_us=now - 16 * MINUTE)


def not_counted(site: Site, now: int) -> None:
    """Redirects are understood, though they are neither accepted nor refused."""
    site.index.touch()
    site.journal.append("Started server process [1]", at_us=now - 60 * MINUTE)
    site.answer("a", 307, times=30, at_us=now - 16 * MINUTE)


@pytest.mark.fault("G5", rig="R0", says="nothing comes in, and nothing is wrong")
@pytest.mark.parametrize("happens", [quiet_night, before_the_first_upload, dashboard, half, not_counted])
def test_G5_who_sees_little_is_not_blind(happens: Any, site: Site, symptoms: Any) -> None:
    """A few odd rows, no uploads, other requests, a proxy beside: all of that is seen."""
    happens(site, now_us())

    assert symptoms() == (set(), "")


@pytest.mark.fault("G6", rig="R0", says="of the file that is written to")
def test_G6_a_journal_of_an_unknown_format_is_not_followed(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Libsystemd passes over it without a word; it is an unavailable source, also beside a file that can be read."""
    site.configure('blind_after = "1s"')
    site.upload("a")
    site.answer("a", 412, times=12, at_us=now_us() - 20 * MINUTE)
    site.sync_journal()
    site.journal_name = "current.journal"
    site.answer("a", 412, times=12)
    site.sync_journal()
    make_unknown(site.journal_directory / "current.journal")

    checked = run_command("check", "--config", site.config, "--dry-run")
    with start_service(site) as service:
        service.until(lambda: ("*", "blind") in site.alerted(), "the alert")

    (row,) = (row for row in site.alert_rows() if row["symptom"] == "blind")
    assert "current.journal: libsystemd does not read this file (incompatible flags 0x9c)" in row["detail"]
    assert "not seen: journal from " in checked.stdout
    assert "current.journal: libsystemd does not read this file" in checked.stdout


@pytest.mark.fault("G6", rig="R0", says="it comes while the service runs")
def test_G6_a_file_of_an_unknown_format_that_comes_later_is_noticed(site: Site, start_service: StartService) -> None:
    """Journald is upgraded, and rotates into a format that the library in our memory does not know."""
    site.configure('blind_after = "1s"')
    site.upload("a")
    site.answer("a", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: service.events("evaluated"), "an evaluation")
        later = site.directory / "later.journal"
        with JournalFile(later) as journal:
            journal.append("Started server process [2]")
        make_unknown(later)
        later.rename(site.journal_directory / later.name)
        service.until(lambda: ("*", "blind") in site.alerted(), "the alert")


@pytest.mark.fault("G6", rig="R0", says="of an archived file")
def test_G6_an_archived_file_that_is_not_read_is_a_gap(site: Site, run_command: RunCommand) -> None:
    """What it would show is not known: in it the host may have been accepted."""
    now = now_us()
    site.journal.append("Started server process [1]", at_us=now - 60 * MINUTE)
    site.sync_journal()
    site.journal_name = "archived@1.journal"
    site.answer("a", 201, at_us=now - 20 * MINUTE)
    site.sync_journal()
    make_unknown(site.journal_directory / "archived@1.journal")
    site.journal_name = "system.journal"
    site.answer("a", 412, times=12, at_us=now - 5 * MINUTE)
    site.sync_journal()
    site.upload("a", at_us=now - 20 * MINUTE)

    done = run_command("check", "--config", site.config, "--dry-run")

    assert done.last_line == "1 host checked, 0 new alerts"
    assert "a journal file is damaged, or of a format that libsystemd does not read" in done.stdout


def rows_in_json(done: Finished) -> list[dict[str, Any]]:
    """Return what a command says it has not read."""
    rows: list[dict[str, Any]] = done.documents[-1]["not_read"]
    return rows


@pytest.mark.fault("G4", rig="R0", says="the result says what was not read")
def test_G4_what_was_not_read_stands_beside_the_result(site: Site, run_command: RunCommand) -> None:
    """Of both sources, in words and for programs: the span that was asked for goes further back than they do."""
    site.configure(tick="1h")
    now = now_us()
    site.upload("a", at_us=now - 120 * MINUTE)
    site.upload("a", at_us=now - 6 * MINUTE)
    site.answer("a", 201, at_us=now - 6 * MINUTE)
    site.sync_journal()

    replayed = run_command("replay", "--config", site.config, "--since", "7d", "--json")
    in_words = run_command("replay", "--config", site.config, "--since", "7d").stdout
    checked = run_command("check", "--config", site.config, "--dry-run", "--json")
    check_in_words = run_command("check", "--config", site.config, "--dry-run").stdout

    begins = [("index", iso(now - 120 * MINUTE)), ("journal", iso(now - 6 * MINUTE))]
    for done in (replayed, checked):
        rows = rows_in_json(done)
        assert [(row["source"], row["until_wall"]) for row in rows] == begins
        assert [row["reason"] for row in rows] == ["the index begins later", "the journal begins later"]
        assert done.documents[-1]["understood"]["journal"] == {"came_in": 1, "understood": 1}
    for source, begin in begins:
        shown = local_wall(begin)
        assert f"the {source} has no data before {shown}" in in_words
        assert f"to {shown}: the {source} begins later\n" in check_in_words


@pytest.mark.fault("G21", rig="R3", says="the journal shows no upload any more: one incident, whatever finds it first")
@pytest.mark.parametrize(
    ("before", "first"),
    [
        pytest.param("30m", "journal-lossy", id="the journal lacks uploads, and then shows nothing at all"),
        pytest.param("20m", "blind", id="both are found at once"),
    ],
)
def test_G21_a_journal_that_shows_no_upload_any_more(
    before: str, first: str, site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The other one is open and inhibited, also after a restart."""

    def configure(window: str) -> None:
        limits = (f'detectors.{symptom}.window = "{window}"' for symptom in ("fatal-only", "unstamped"))
        site.configure("\n".join(limits))

    def states() -> dict[str, str]:
        document = run_command("status", "--json", "--config", site.config).documents[0]
        return {one["symptom"]: one["state"] for one in document["fleet_incidents"]}

    now = now_us()
    for host in "abc":
        site.answer(host, 201, at_us=now - 24 * MINUTE)
    for minutes in range(23, 0, -2):
        site.upload(*"abc", at_us=now - minutes * MINUTE)
    site.sync_journal()
    configure(before)
    expected = {"blind": "inhibited", "journal-lossy": "inhibited"} | {first: "firing"}
    with start_service(site) as service:
        service.until(site.alerted, "the alert")
        configure("20m")
        service.reload()
        service.until(lambda: states() == expected, "the other one")
        service.stop()
    with start_service(site) as service:
        service.until_evaluated_anew()
        after_restart = states()

    assert site.alerted() == [("*", first)]
    assert after_restart == expected


@pytest.mark.fault("G5", rig="R0", says="busy hosts leave rows, and the journal nearly nothing")
@pytest.mark.parametrize("lines", [1, 25], ids=["one line in half an hour", "every line but a few"])
def test_G5_a_journal_that_lacks_uploads_of_busy_hosts(lines: int, site: Site, symptoms: Any) -> None:
    """Of every host each row of the window is compared, also by whoever has just begun to read."""
    now, hosts = now_us(), "abcdefgh"
    for minute in range(29, 0, -1):
        for host in hosts if minute >= 30 - lines else ():
            site.answer(host, 201, at_us=now - minute * MINUTE)
        site.journal.append("Saved an episode", at_us=now - minute * MINUTE)
        site.upload(*hosts, at_us=now - minute * MINUTE)

    found, _ = symptoms()

    assert found == ({("*", "journal-lossy")} if lines == 1 else set())


@pytest.mark.fault("G5", rig="R0", says="in the past the journal had nothing of the receiver for an hour")
def test_G5_a_replay_finds_a_journal_that_was_quiet(site: Site, run_command: RunCommand) -> None:
    """One host that uploads meanwhile is enough; before that and after it all is well."""
    site.configure(tick="1m")
    now = now_us()
    for minute in range(239, 0, -3):
        if not 90 < minute < 150:
            site.answer("a", 201, at_us=now - minute * MINUTE)
        site.upload("a", at_us=now - minute * MINUTE)
    site.sync_journal()
    report = run_command("replay", "--config", site.config, "--since", "3h", "--json").documents[0]

    (incident,) = report["incidents"]
    assert incident["symptom"] == "blind"
    assert incident["detail"].startswith(f"the journal has no entry of {UNIT} since ")
    assert incident["ended_wall"]


@pytest.mark.fault("G4", rig="R3", says="a replay of a time of which the index holds nothing any more")
def test_G4_what_is_before_the_indexs_begin_is_not_taken_for_missing(site: Site, run_command: RunCommand) -> None:
    """The journal was kept for longer, of some hosts: no index has stalled, and no host has never uploaded before."""
    site.configure('hosts.expected = ["c", "never"]', tick="5m")
    now = now_us()
    for minute in range(8 * 60, 0, -5):
        for host in ("a", "b", "c"):
            if minute < 4 * 60 or host != "c":
                site.answer(host, 201, at_us=now - minute * MINUTE)
            if minute < 4 * 60:
                site.upload(host, at_us=now - minute * MINUTE)
    site.sync_journal()
    report = run_command("replay", "--config", site.config, "--since", "7h", "--json").documents[0]

    assert [(one["host"], one["symptom"]) for one in report["incidents"]] == [("never", "never-seen")]
    assert report["incidents"][0]["opened_wall"] > iso(now - 3 * 60 * MINUTE)


@pytest.mark.fault("G23", rig="R3", says="journald drops about half of the lines, for hours, and then none")
def test_G23_a_journal_that_lacks_about_half_of_the_uploads(site: Site, run_command: RunCommand) -> None:
    """One incident, however often the share crosses the limit; it ends when the journal has clearly more."""
    site.configure(tick="5m")
    now = now_us()
    for number, minute in enumerate(range(479, 0, -3)):
        is_logged = number % 5 < (2 if number // 10 % 2 else 3) or minute < 60
        for host in ("a", "b", "c"):
            if is_logged:
                site.answer(host, 201, at_us=now - minute * MINUTE)
            site.upload(host, at_us=now - minute * MINUTE)
    site.sync_journal()
    report = run_command("replay", "--config", site.config, "--since", "7h", "--json").documents[0]

    (incident,) = report["incidents"]
    assert incident["symptom"] == "journal-lossy"
    assert incident["ended_wall"]


@pytest.mark.fault("G21", rig="R3", says="a host that is refused falls silent: one incident, with its cause")
def test_G21_a_host_that_was_refused_until_it_is_silent(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Where limits are learned; where they are fixed, each symptom is alerted, as the rules find it."""
    now = now_us()
    site.answer("a", 201, at_us=now - 31 * MINUTE)
    site.answer("a", 412, times=12, at_us=now - 20 * MINUTE)
    site.sync_journal()
    site.upload("a", at_us=now - 31 * MINUTE)
    site.configure('detectors.silent.cadence = "learned"')

    with start_service(site) as service:
        service.until(site.alerted, "the alert")
        service.until_evaluated_anew()
        (host,) = run_command("status", "--json", "--config", site.config).documents[0]["hosts"]

    assert site.alerted() == [("a", "fatal-only")]
    assert {one["symptom"]: one["state"] for one in host["incidents"]} == {
        "fatal-only": "firing",
        "silent": "inhibited",
    }
