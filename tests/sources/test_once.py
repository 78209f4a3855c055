"""Reading both sources once: what is delivered, and what is learned about the rest."""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.errors import SourceUnavailable
from fleet_health.model.coverage import NOT_UNDERSTOOD
from fleet_health.model.instant import HOUR_US, SECOND_US, isoformat
from fleet_health.model.observation import Response, UnitState, Upload
from fleet_health.sources.index.once import ensure_index_readable, read_every_row, read_index
from fleet_health.sources.inspection import Inspection, inspected
from fleet_health.sources.journal.once import (
    ensure_journal_readable,
    read_accepted,
    read_journal,
    read_messages,
    unit_states,
)

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.config.schema import ReceiverSettings

MINUTE_US = 60 * SECOND_US
NOW = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
UNIT = "cis490-receiver.service"


@pytest.fixture
def receiver(tmp_path: Path) -> ReceiverSettings:
    """A receiver whose sources are not there yet."""
    (tmp_path / "journal").mkdir()
    places = {"index.path": tmp_path / "index.jsonl", "journal.directory": tmp_path / "journal"}
    return load(None, {key: ("--option", str(place)) for key, place in places.items()}).receivers[0]


def row(host: str, at: int) -> str:
    """Make a row."""
    return f'{{"host_id": "{host}", "received_at_wall": "{isoformat(at)}"}}\n'


def write_index(receiver: ReceiverSettings, *lines: str) -> None:
    """Write the index anew; it was written at noon."""
    receiver.index.path.write_text("".join(lines))
    os.utime(receiver.index.path, (NOW // SECOND_US, NOW // SECOND_US))


def access(host: str, status: int = 201) -> str:
    """Make an access line."""
    return f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e1 HTTP/1.1" {status}'


def write_journal(receiver: ReceiverSettings, *entries: tuple[str, int], **fields: Any) -> None:
    """Append entries of the receiver's unit."""
    directory = receiver.journal.directory
    assert directory is not None
    with JournalFile(directory / "receiver.journal") as file:
        for message, at in entries:
            file.append(message, at_us=at, **fields)


def hosts_of(receiver: ReceiverSettings, since: int, **options: Any) -> tuple[list[Upload], Any]:
    """Read the index; return what was handed on, and what was learned."""
    found: list[Upload] = []
    past = read_index(receiver.index, since, NOW, found.extend, **options)
    return found, past


def test_rows_from_an_instant_on_are_handed_on(receiver: ReceiverSettings) -> None:
    """Including one at the instant itself, and one without its newline."""
    since = NOW - HOUR_US
    write_index(receiver, row("early", since - 1), row("a", since), row("b", NOW).rstrip("\n"))
    found, past = hosts_of(receiver, since)

    assert found == [Upload("a", since), Upload("b", NOW)]
    assert past.coverage.begins_at == since - 1
    assert (past.coverage.share.came_in, past.coverage.share.understood) == (3, 3)
    assert past.rejections.by_reason == {}


def test_every_row_is_handed_on_where_it_is_wanted(receiver: ReceiverSettings) -> None:
    """Before the instant from which every row matters, perhaps only the latest row of each host."""
    rows = [("a", NOW - 3 * MINUTE_US), ("a", NOW - 2 * MINUTE_US), ("b", NOW - MINUTE_US)]
    write_index(receiver, *(row(*one) for one in rows))
    every: list[Upload] = []
    read_every_row(receiver.index, NOW - HOUR_US, every.extend)

    assert every == [Upload(*one) for one in rows]
    assert {one.at for one in hosts_of(receiver, 0)[0]} >= {rows[1][1], rows[2][1]}
    assert len(hosts_of(receiver, 0, every_since=NOW - 4 * MINUTE_US)[0]) == 3


def test_what_of_an_index_is_not_understood_is_learned(receiver: ReceiverSettings) -> None:
    """How many rows, why, and over which time nothing was understood."""
    write_index(receiver, row("a", NOW - HOUR_US), *["nonsense\n"] * 10, "\n", row("b", NOW - MINUTE_US), "more\n")
    found, past = hosts_of(receiver, 0)
    share = past.coverage.share

    assert [one.host for one in found] == ["a", "b"]
    assert past.rejections.by_reason == {"not JSON": 11, "blank line": 1}
    assert (share.came_in, share.understood, share.missed, share.last_at) == (13, 2, 1, NOW - MINUTE_US)
    assert [(one.since, one.until, one.reason, one.messages) for one in past.coverage.misses] == [
        (NOW - HOUR_US, NOW - MINUTE_US, NOT_UNDERSTOOD, 10)
    ]


def test_a_row_dated_ahead_counts_as_now_and_is_rejected(receiver: ReceiverSettings) -> None:
    """By the clock of the reader."""
    write_index(receiver, row("a", NOW + HOUR_US))
    found, past = hosts_of(receiver, 0)
    later, _ = hosts_of(receiver, 0, now=NOW + 2 * HOUR_US)

    assert found == [Upload("a", NOW)]
    assert past.rejections.total == 1
    assert later == [Upload("a", NOW + HOUR_US)]


def test_an_empty_index_shows_nothing_of_any_time(receiver: ReceiverSettings) -> None:
    """A missing one cannot be read."""
    write_index(receiver)

    assert not hosts_of(receiver, 0)[1].coverage.reaches(NOW)
    receiver.index.path.unlink()
    with pytest.raises(SourceUnavailable):
        hosts_of(receiver, 0)


def test_rotated_files_are_read_and_those_that_cannot_be_are_named(receiver: ReceiverSettings) -> None:
    """In order; if an older file is left out, the index reaches further back."""
    path = receiver.index.path
    write_index(receiver, row("new", NOW - MINUTE_US))
    first, second, broken = (path.with_name(f"{path.name}.{name}") for name in ("1", "2.gz", "3.gz"))
    first.write_text(row("first", NOW - HOUR_US))
    second.write_bytes(gzip.compress(row("second", NOW - 2 * HOUR_US).encode()))
    broken.write_bytes(gzip.compress(row("third", NOW - 3 * HOUR_US).encode())[:30])
    for number, file in enumerate((first, second, broken), 1):
        os.utime(file, (NOW // SECOND_US - 3_600 * number,) * 2)
    found, past = hosts_of(receiver, NOW - 12 * HOUR_US)
    late, late_past = hosts_of(receiver, NOW - 90 * MINUTE_US)

    assert [one.host for one in found] == ["second", "first", "new"]
    assert {file.name: reason for file, reason in past.unread.items()}.keys() == {broken.name}
    assert [one.host for one in late] == ["first", "new"]
    assert late_past.coverage.begins_at is None
    assert late_past.unread == {}


def test_what_a_journal_shows_is_handed_on(receiver: ReceiverSettings) -> None:
    """Between two instants, both included; its begin and how much was understood are known."""
    since, until = NOW - HOUR_US, NOW
    write_journal(
        receiver,
        (access("early"), since - 1),
        (access("a"), since),
        ("PUT /v1/episodes of something else", since + 1),
        (access("b", 412), until),
        (access("late"), until + 1),
    )
    found: list[Any] = []
    past = read_journal(receiver.journal, since, until, found.extend)

    assert found == [Response("a", since, 201), Response("b", until, 412)]
    assert (past.count, past.first_at, past.last_at, past.coverage.quiet_since) == (3, since, until, until)
    assert (past.coverage.begins_at, past.coverage.void_since, past.coverage.read_since) == (since - 1, None, since)
    assert past.coverage.share.understood == 2
    assert past.coverage.quiet == ((since + 1, until),)
    assert past.skips == ()


def test_a_journal_without_an_entry_of_the_unit_is_void(receiver: ReceiverSettings) -> None:
    """Since it was read; entries of others do not count."""
    write_journal(receiver, (access("a"), NOW), unit="other.service")
    found: list[Any] = []
    past = read_journal(receiver.journal, NOW - HOUR_US, NOW, found.extend)

    assert found == []
    assert (past.coverage.void_since, past.coverage.quiet_since) == (NOW - HOUR_US, NOW - HOUR_US)
    assert (past.first_at, past.count) == (None, 0)
    assert [*read_messages(receiver.journal, 0, NOW)] == []


def test_the_lines_of_a_unit_are_those_between_two_instants(receiver: ReceiverSettings) -> None:
    """Both included."""
    write_journal(receiver, *((f"line {number}", NOW + number) for number in range(5)))

    assert [*read_messages(receiver.journal, NOW + 1, NOW + 3)] == [b"line 1", b"line 2", b"line 3"]


@pytest.mark.parametrize(
    ("most", "hosts"),
    [
        pytest.param(200, ["h5", "h4", "h3", "h2", "h1", "h0"], id="there is room for all"),
        pytest.param(8, ["h5", "h4", "h3", "h2", "h1", "h0"], id="no stretch is like to have more than are left"),
        pytest.param(7, ["h3", "h2", "h1", "h0"], id="the third stretch is like to have one more than are left"),
        pytest.param(4, ["h2", "h1", "h0"], id="the second stretch is as short as the first, and the last"),
        pytest.param(3, ["h0"], id="the latest stretch is read whatever it holds"),
    ],
)
def test_of_what_was_accepted_the_latest_is_read_first(most: int, hosts: list[str], receiver: ReceiverSettings) -> None:
    """The result is in order of time, before an exclusive instant, and without refusals."""
    begin = NOW - 6 * HOUR_US
    entries = [(access(f"h{age}"), NOW - (age + 1) * 40 * MINUTE_US + MINUTE_US) for age in range(6)]
    entries += [
        (access("refused", 412), NOW - MINUTE_US // 2),
        (access("early"), begin - HOUR_US),
        (access("end"), NOW),
    ]
    write_journal(receiver, *sorted(entries, key=lambda one: one[1]))
    found = read_accepted(receiver.journal, begin, NOW, most=most)

    assert [one.host for one in found] == hosts
    assert [one.at for one in found] == sorted(one.at for one in found)


STARTED, STOPPED = "39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286"


def test_the_states_of_a_unit_are_known_from_the_one_before_an_instant_on(receiver: ReceiverSettings) -> None:
    """The state at that instant, and its changes up to another."""
    for message_id, at in ((STARTED, 1), (STOPPED, 2), (STARTED, 3), (STOPPED, 4)):
        fields = {"unit": "init.scope", "_PID": "1", "_UID": "0", "UNIT": UNIT, "MESSAGE_ID": message_id}
        write_journal(receiver, ("systemd says so", NOW + at), **fields)
    states = unit_states(receiver.journal, NOW + 2, NOW + 3)

    assert [(state.at - NOW, state.is_running) for state in states if isinstance(state, UnitState)][-1] == (3, True)
    assert all(state.at <= NOW + 3 for state in states)


def test_a_missing_source_is_reported_before_it_is_read(receiver: ReceiverSettings) -> None:
    """A command that needs a source fails at once if it is not there, and goes on if it is."""
    with pytest.raises(SourceUnavailable):
        ensure_index_readable(receiver.index, 0)
    with pytest.raises(SourceUnavailable):
        ensure_journal_readable(receiver.journal)
    write_index(receiver, row("a", NOW))
    write_journal(receiver, (access("a"), NOW))

    ensure_index_readable(receiver.index, 0)
    ensure_journal_readable(receiver.journal)


def test_an_inspection_of_good_sources_finds_nothing(receiver: ReceiverSettings) -> None:
    """It looks at the rows of the last day and the lines of the last half hour."""
    write_index(receiver, row("b", NOW - 23 * HOUR_US), row("a", NOW - 30 * MINUTE_US))
    write_journal(receiver, (access("a"), NOW - 29 * MINUTE_US))

    assert inspected(receiver, NOW) == Inspection(hosts=frozenset("ab"))


def test_an_inspection_says_what_is_wrong(receiver: ReceiverSettings) -> None:
    """Rows that are not understood, with the reasons, and a unit without an entry in the journal."""
    write_index(receiver, "nonsense\n", '{"host": 1}\n')
    write_journal(receiver, (access("a"), NOW), unit="other.service")
    found = inspected(receiver, NOW)
    problem = "not one of 2 rows was understood (not JSON, host or time missing, or not a string)"

    assert found.problems == (
        f"{receiver.index.path}: {problem}; check `index.path`, `index.host_field` and `index.time_field`",
        f"{UNIT}: the journal has no entry of it; check `journal.unit`, or run `fleet-health setup`",
    )
    assert (found.notes, found.of_service) == ((), found.problems)


def test_an_inspection_says_that_no_line_matches_though_rows_come(receiver: ReceiverSettings) -> None:
    """It points to the patterns."""
    write_index(receiver, row("a", NOW - MINUTE_US))
    write_journal(receiver, ("took an upload", NOW - 29 * MINUTE_US), ("took an upload", NOW))
    (problem,) = inspected(receiver, NOW).problems

    assert "journal.response" in problem


def test_the_rows_of_a_busy_host_show_that_no_line_matches(receiver: ReceiverSettings) -> None:
    """Its last row is too new for that: the line may still come."""
    write_index(receiver, *(row("a", NOW - age * 5 * SECOND_US) for age in range(60, -1, -1)))
    write_journal(receiver, ("took an upload", NOW - 29 * MINUTE_US), ("took an upload", NOW))
    (problem,) = inspected(receiver, NOW).problems

    assert "journal.response" in problem


def test_an_inspection_says_that_upload_lines_are_not_understood(receiver: ReceiverSettings) -> None:
    """Also right after the start of the receiver, when the journal does not reach back far enough."""
    other_format = re.compile("PUT /v1/episodes/(?P<host>[a-z]+)/e1 answered (?P<status>[0-9]+)$")
    receiver = replace(receiver, journal=replace(receiver.journal, response=other_format))
    write_index(receiver, row("a", NOW - MINUTE_US))
    lines = [(access("a"), NOW - age * SECOND_US) for age in range(60, 10, -10)]
    write_journal(receiver, *lines[:4])
    few = inspected(receiver, NOW).problems
    write_journal(receiver, lines[4])
    (problem,) = inspected(receiver, NOW).problems

    assert few == ()
    assert problem.startswith("not one of 5 upload lines of the journal was understood")
    assert "check `journal.response`" in problem


@pytest.mark.parametrize(
    ("indexed", "has_problem"),
    [
        pytest.param(["a"], False, id="one of them has a row"),
        pytest.param([], True, id="the index is empty"),
        pytest.param(["z1", "z2", "z3", "z4"], True, id="the rows are those of other hosts"),
    ],
)
def test_an_index_without_the_hosts_that_upload_is_another_ones(
    indexed: list[str], receiver: ReceiverSettings, *, has_problem: bool
) -> None:
    """Or the pattern takes the wrong text for the host. A response of this moment needs no row yet."""
    write_index(receiver, *(row(host, NOW - MINUTE_US) for host in indexed))
    write_journal(receiver, (access("a"), NOW - MINUTE_US), (access("b", 412), NOW - MINUTE_US), (access("c"), NOW))
    problems = inspected(receiver, NOW).problems

    named = "z1, z2, z3 and 1 more" if indexed else "none"
    assert bool(problems) == has_problem
    assert all(
        f"of the hosts that the journal shows uploading (a), none has a row within 24 h (hosts with one: {named})"
        in one
        for one in problems
    )


@pytest.mark.parametrize(
    ("late_us", "count", "problem"),
    [
        pytest.param(5 * MINUTE_US, 6, None, id="as much as the clocks may differ"),
        pytest.param(5 * MINUTE_US + SECOND_US, 6, "is dated 5 min 1 s or more before its latest line", id="behind"),
        pytest.param(-2 * HOUR_US, 4, None, id="a few rows that are ahead"),
        pytest.param(-2 * HOUR_US, 5, "5 rows dated ahead of the clock", id="ahead"),
    ],
)
def test_rows_by_another_clock_or_zone_are_a_problem(
    late_us: int, count: int, problem: str | None, receiver: ReceiverSettings
) -> None:
    """Such as those of a receiver that writes local time as if it were UTC."""
    ats = [NOW - age * MINUTE_US for age in range(count, 0, -1)]
    write_index(receiver, *(row("a", at - late_us) for at in ats))
    write_journal(receiver, *((access(host), at) for at in ats for host in ("a", "new")))

    problems = inspected(receiver, NOW).problems

    assert [problem in one for one in problems if problem is not None] == [True] * (problem is not None)
    assert len(problems) == (problem is not None)


def test_an_inspection_on_another_machine_says_that_only_the_file_was_checked(receiver: ReceiverSettings) -> None:
    """One missing source is a problem, two are not; for the service both are."""
    neither = inspected(receiver, NOW)
    write_journal(receiver, (access("a"), NOW))
    one = inspected(receiver, NOW)

    assert neither.problems == ()
    assert neither.notes == ("neither the index nor the journal is on this machine: only the file was checked",)
    assert len(neither.of_service) == 2
    assert len(one.problems) == len(one.of_service) == 1
    assert str(receiver.index.path) in one.problems[0]


def test_entries_behind_one_that_is_dated_otherwise_are_read(receiver: ReceiverSettings) -> None:
    """The clock was set: one entry is later than wanted, the next one is not."""
    ats = [NOW - 3 * MINUTE_US, NOW + MINUTE_US, NOW - MINUTE_US]
    write_journal(receiver, *((access("a"), at) for at in ats), unit=UNIT)
    found: list[Any] = []

    read_journal(receiver.journal, NOW - HOUR_US, NOW, found.extend)

    assert [one.at for one in found if isinstance(one, Response)] == [ats[0], ats[2]]


def test_lines_that_may_be_missing_behind_broken_ones_are_a_gap_a_minute(receiver: ReceiverSettings) -> None:
    """Each states how many lines; a client can cause any number of them."""
    ats = [NOW - 10 * MINUTE_US + seconds * SECOND_US for seconds in (0, 1, 59, 60)]
    for number, at in enumerate(ats):
        stream = {"unit": UNIT, "_STREAM_ID": f"{number}"}
        write_journal(receiver, (3_000 * "a", at), **stream, _LINE_BREAK="line-max")
        write_journal(receiver, (access("a"), at), **stream)

    past = read_journal(receiver.journal, NOW - HOUR_US, NOW, lambda _: None)

    assert [(one.since, one.until, one.messages) for one in past.coverage.gaps] == [
        (ats[0], ats[2], 3),
        (ats[3], ats[3], 1),
    ]
