"""What the ledger keeps of each destination, and what it forgets."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import Delivered
from fleet_health.notify.documents import Incident
from fleet_health.notify.grouping import key_of
from fleet_health.notify.ledger.ledger import FILE, KEPT_US, Ledger
from fleet_health.notify.message import Kind, Message
from fleet_health.notify.reconcile import Queue, notification

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE = 60 * SECOND_US
NOON = 1_795_435_200 * SECOND_US
SILENT = Incident("i1", "pi-1", "silent", "45 min", "look", NOON, NOON, NOON)
VERSION_1 = """
CREATE TABLE incidents (
    id TEXT PRIMARY KEY, alias TEXT NOT NULL, host TEXT NOT NULL, symptom TEXT NOT NULL, detail TEXT NOT NULL,
    suggested_fix TEXT NOT NULL, opened_at INTEGER NOT NULL, first_notified_at INTEGER NOT NULL,
    last_notified_at INTEGER NOT NULL, ended_at INTEGER, resolved_at INTEGER,
    is_over INTEGER NOT NULL CHECK (is_over IN (0, 1)), is_listed INTEGER NOT NULL CHECK (is_listed IN (0, 1)),
    seen_at INTEGER NOT NULL
) STRICT;
CREATE TABLE notifications (
    destination TEXT NOT NULL, incident TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('opening', 'repeat', 'resolution')), decided_at INTEGER NOT NULL,
    covers_until INTEGER NOT NULL, host TEXT NOT NULL, symptom TEXT NOT NULL, detail TEXT NOT NULL,
    suggested_fix TEXT NOT NULL, opened_at INTEGER NOT NULL, ended_at INTEGER,
    is_unannounced INTEGER NOT NULL CHECK (is_unannounced IN (0, 1)),
    state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'merged', 'withdrawn', 'dropped', 'refused')),
    queued_at INTEGER NOT NULL, attempts INTEGER NOT NULL, message TEXT, at INTEGER,
    PRIMARY KEY (destination, incident, kind, decided_at)
) STRICT;
CREATE TABLE messages (
    key TEXT PRIMARY KEY, destination TEXT NOT NULL, delayed INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'merged', 'withdrawn', 'dropped', 'refused')),
    began_at INTEGER NOT NULL, at INTEGER, answer TEXT NOT NULL, reference TEXT NOT NULL,
    may_be_taken INTEGER NOT NULL CHECK (may_be_taken IN (0, 1))
) STRICT;
CREATE TABLE destinations (
    name TEXT PRIMARY KEY, since INTEGER NOT NULL, identity TEXT NOT NULL,
    gone TEXT NOT NULL, last_success_at INTEGER, failing_since INTEGER, last_error TEXT NOT NULL,
    last_error_at INTEGER, dropped INTEGER NOT NULL
) STRICT;
CREATE INDEX waiting ON notifications (destination, state, decided_at);
CREATE INDEX members ON notifications (message);
CREATE INDEX sent ON messages (destination, state, at);
INSERT INTO incidents VALUES ('i1', 'i1', 'pi-1', 'silent', '45 min', 'look', 5, 6, 7, NULL, NULL, 0, 1, 8);
INSERT INTO notifications VALUES
    ('it', 'i1', 'opening', 6, 7, 'pi-1', 'silent', '45 min', 'look', 5, NULL, 0, 'sent', 6, 1, 'key', 9);
INSERT INTO messages VALUES ('key', 'it', 0, 'sent', 6, 9, '200 OK', 'id-7', 0);
INSERT INTO destinations VALUES ('it', 1, 'a', '', 9, NULL, '', NULL, 0);
PRAGMA user_version = 1;
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Open one that knows a destination."""
    ledger = Ledger(tmp_path)
    ledger.open()
    ledger.meet({"it": "a"}, NOON)
    yield ledger
    ledger.close()


def queued(ledger: Ledger, incident: Incident = SILENT, at: int = NOON) -> Message:
    """Queue the opening of an incident; return it as a message."""
    one = notification(incident, Kind.OPENING, incident.first_notified_at)
    ledger.outbox("it").apply([Queue(one, one.decided_at)], at)
    return Message(key_of("it", [one]), (one,))


def test_what_waits_too_long_is_dropped_and_counted(ledger: Ledger) -> None:
    """What may have been taken is dropped as well; what was queued exactly at the limit is not."""
    first = queued(ledger)
    ledger.outbox("it").begin(first, NOON)
    ledger.outbox("it").note_failed(first, "reset", NOON, is_response_lost=True)
    queued(ledger, replace(SILENT, id="i2"), NOON + MINUTE)

    assert ledger.outbox("it").give_up(NOON, NOON + 2 * MINUTE) == 0
    assert ledger.outbox("it").give_up(NOON + MINUTE, NOON + 2 * MINUTE) == 1
    standing = ledger.standings()["it"]
    assert (standing.dropped, standing.waiting, standing.waiting_since) == (1, 1, NOON + MINUTE)
    assert ledger.outbox("it").unfinished() is None
    assert sorted(one.state for one in ledger.history(None, 10)) == ["dropped", "queued"]


def test_a_refused_message_is_dropped_and_what_comes_after_is_not(ledger: Ledger) -> None:
    """A refused message counts as dropped, and the history has the response."""
    message = queued(ledger)
    ledger.outbox("it").begin(message, NOON)
    ledger.outbox("it").note_refused(message, "400 Bad Request", NOON)

    assert ledger.standings()["it"].dropped == 1
    assert ledger.outbox("it").waiting() == []
    (record,) = ledger.history("pi-1", 10)
    assert (record.state, record.response, record.attempts, record.key) == (
        "refused",
        "400 Bad Request",
        1,
        message.key,
    )


def test_a_destination_is_gone_until_it_is_configured_anew(ledger: Ledger) -> None:
    """The message that was being sent waits, unless it may have been taken."""
    message = queued(ledger)
    ledger.outbox("it").begin(message, NOON)
    ledger.outbox("it").note_gone(message, "410 Gone", NOON)
    ledger.meet({"it": "a"}, NOON + MINUTE)
    still = ledger.standings()["it"]
    ledger.meet({"it": "b"}, NOON + MINUTE)
    anew = ledger.standings()["it"]

    assert (still.gone, anew.gone) == ("410 Gone", "")
    assert (still.since, anew.since) == (NOON, NOON)
    assert len(ledger.outbox("it").waiting()) == 1


def test_a_success_ends_a_failure(ledger: Ledger) -> None:
    """The last error is still shown after a success."""
    message = queued(ledger)
    ledger.outbox("it").begin(message, NOON)
    ledger.outbox("it").note_failed(message, "503", NOON + MINUTE, is_response_lost=False)
    failing = ledger.standings()["it"]
    ledger.outbox("it").begin(message, NOON + 2 * MINUTE)
    ledger.outbox("it").note_delivered(message, Delivered("200 OK", "id-7"), NOON + 3 * MINUTE)
    well = ledger.standings()["it"]

    assert (failing.failing_since, failing.last_success_at, failing.last_error) == (NOON + MINUTE, None, "503")
    assert (well.failing_since, well.last_success_at, well.last_error) == (None, NOON + 3 * MINUTE, "503")
    (record,) = ledger.history(None, 10)
    assert (record.state, record.attempts, record.response, record.reference) == ("sent", 2, "200 OK", "id-7")
    assert ledger.outbox("it").sent_since(NOON) == [NOON + 3 * MINUTE]


def test_an_incident_keeps_its_id_when_the_daemon_names_it_anew(ledger: Ledger) -> None:
    """An incident that the daemon had to open again, with another id, is not notified again."""
    ledger.incidents.take([SILENT], NOON)
    vanished = ledger.incidents.take([], NOON + MINUTE)
    again = ledger.incidents.take([replace(SILENT, id="i2", opened_at=NOON + MINUTE)], NOON + 2 * MINUTE)
    ended = replace(SILENT, id="i2", ended_at=NOON + 3 * MINUTE, resolved_at=NOON + 3 * MINUTE, suggested_fix="")
    over = ledger.incidents.take([ended], NOON + 3 * MINUTE)

    assert vanished == []
    assert [one.id for one in again] == ["i1"]
    assert [(one.id, one.resolved_at, one.suggested_fix) for one in over] == [("i1", NOON + 3 * MINUTE, "look")]
    assert ledger.incidents.still_open() == []


def test_what_is_over_is_forgotten_after_a_month_and_what_stands_is_not(ledger: Ledger) -> None:
    """The ledger does not grow without end, and nothing is sent again."""
    over = replace(SILENT, id="over", ended_at=NOON, resolved_at=NOON)
    ledger.incidents.take([SILENT, over], NOON)
    for incident in (SILENT, over):
        message = queued(ledger, incident)
        ledger.outbox("it").begin(message, NOON)
        ledger.outbox("it").note_delivered(message, Delivered("200"), NOON)
    ledger.prune(NOON + KEPT_US)
    before = len(ledger.history(None, 10))
    ledger.prune(NOON + KEPT_US + 1)

    assert before == 2
    assert [one.host for one in ledger.history(None, 10)] == ["pi-1"]
    assert set(ledger.outbox("it").entries()) == {"i1"}


def test_a_ledger_of_version_1_goes_on(tmp_path: Path) -> None:
    """An upgraded ledger still holds what was sent, and can hold a loss."""
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(VERSION_1)
    ledger = Ledger(tmp_path)
    ledger.open()
    (incident,) = ledger.incidents.still_open()
    loss = notification(incident, Kind.LOSS, 20)
    ledger.outbox("it").apply([Queue(loss, 20)], 20)
    records = ledger.history(None, 10)
    ledger.close()

    assert incident == replace(SILENT, opened_at=5, first_notified_at=6, last_notified_at=7)
    assert [(one.kind, one.state, one.response, one.reference) for one in records] == [
        ("lost", "queued", "", ""),
        ("opening", "sent", "200 OK", "id-7"),
    ]
