"""Which notifications follow from what the daemon lists: each once, whatever was missed, and none of before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.documents import Incident
from fleet_health.notify.message import Kind
from fleet_health.notify.reconcile import Change, Cover, Entry, Queue, Recipient, Settle, State, changes, successors
from tests.rig.destinations import configured

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE = 60 * SECOND_US
NOON = 1_795_435_200 * SECOND_US
STANDS = Incident("i1", "pi-1", "silent", "45 min", "look", NOON, NOON, NOON)
REPEATED = replace(STANDS, last_notified_at=NOON + 60 * MINUTE)
RESOLVED = replace(STANDS, ended_at=NOON + 80 * MINUTE, resolved_at=NOON + 90 * MINUTE)
DROPPED = replace(STANDS, ended_at=NOON + 80 * MINUTE)
LOST = replace(REPEATED, loss_notified_at=NOON + 70 * MINUTE)
RETURNED = replace(STANDS, last_notified_at=NOON + 75 * MINUTE)
LOST_AGAIN = replace(RETURNED, loss_notified_at=NOON + 85 * MINUTE)
LOST_AND_RESOLVED = replace(RESOLVED, loss_notified_at=LOST.loss_notified_at)
LOST_AND_DROPPED = replace(DROPPED, loss_notified_at=LOST.loss_notified_at)
BEFORE = NOON - MINUTE
NOW = NOON + 100 * MINUTE


def entry(kind: Kind, state: State, at: int = NOON, *, unannounced: bool = False) -> Entry:
    """Return what the ledger holds of the incident."""
    return Entry("i1", kind, at, at, state, is_unannounced=unannounced)


def in_words(found: Sequence[Change]) -> list[str]:
    """Return changes in words."""
    words = []
    for one in found:
        if isinstance(one, Queue):
            both = " of both" if one.notification.is_unannounced else ""
            words.append(f"{one.notification.kind}{both} at {(one.notification.decided_at - NOON) // MINUTE}")
        elif isinstance(one, Settle):
            words.append(f"{one.entry.kind} {one.state}")
        elif isinstance(one, Cover):
            words.append(f"{one.entry.kind} covers {(one.covers_until - NOON) // MINUTE}")
    return words


def due(
    incident: Incident, *held: Entry, since: int = BEFORE, now: int = NOW, is_level: bool = False, **keys: object
) -> list[str]:
    """Return what follows for one incident."""
    settings = configured("webhook", url="https://example.org", **keys)
    return in_words(changes([incident], {"i1": held}, Recipient(settings, since, is_level), now))


SENT, QUEUED, SENDING = State.SENT, State.QUEUED, State.SENDING
OPENING, REPEAT, LOSS, RESOLUTION = Kind
OPENED = entry(OPENING, SENT)
AT_LOSS = NOON + 70 * MINUTE


@pytest.mark.parametrize(
    ("incident", "held", "expected"),
    [
        pytest.param(STANDS, [], ["opening at 0"], id="what stands is opened"),
        pytest.param(STANDS, [entry(OPENING, QUEUED)], [], id="an opening is queued once"),
        pytest.param(STANDS, [entry(OPENING, SENDING)], [], id="also while it is being sent"),
        pytest.param(STANDS, [entry(OPENING, SENT)], [], id="and is sent once"),
        pytest.param(REPEATED, [entry(OPENING, SENT)], ["repeat at 60"], id="a later alert is a repeat"),
        pytest.param(REPEATED, [], ["opening at 0"], id="what was repeated unseen is opened, and not repeated"),
        pytest.param(REPEATED, [entry(OPENING, QUEUED)], ["opening covers 60"], id="an opening that waits covers it"),
        pytest.param(
            REPEATED,
            [entry(OPENING, SENT), entry(REPEAT, QUEUED, NOON + MINUTE)],
            ["repeat merged", "repeat at 60"],
            id="of several repeats the latest is sent",
        ),
        pytest.param(
            REPEATED,
            [entry(OPENING, SENT), entry(REPEAT, SENDING, NOON + MINUTE)],
            ["repeat at 60"],
            id="and one that may have been taken stays",
        ),
        pytest.param(RESOLVED, [entry(OPENING, SENT)], ["resolution at 90"], id="what is over is resolved"),
        pytest.param(RESOLVED, [entry(OPENING, SENT), entry(RESOLUTION, SENT, NOON)], [], id="once"),
        pytest.param(RESOLVED, [], ["resolution of both at 90"], id="what came and went unseen is one message"),
        pytest.param(
            RESOLVED,
            [entry(OPENING, QUEUED)],
            ["opening merged", "resolution of both at 90"],
            id="so is what resolved before its opening was delivered",
        ),
        pytest.param(
            RESOLVED, [entry(OPENING, SENDING)], ["resolution at 90"], id="unless the opening may have been taken"
        ),
        pytest.param(
            RESOLVED,
            [entry(OPENING, QUEUED), entry(RESOLUTION, QUEUED, NOON + 90 * MINUTE)],
            ["opening merged", "resolution of both at 90"],
            id="also if that turns out to be wrong",
        ),
        pytest.param(
            RESOLVED,
            [entry(OPENING, State.MERGED), entry(RESOLUTION, QUEUED, NOON + 90 * MINUTE, unannounced=True)],
            [],
            id="and that is the end of it",
        ),
        pytest.param(
            RESOLVED,
            [entry(OPENING, QUEUED), entry(RESOLUTION, SENT, NOON + 90 * MINUTE)],
            ["opening merged"],
            id="no opening follows a resolution",
        ),
        pytest.param(
            RESOLVED,
            [entry(OPENING, State.DROPPED)],
            ["resolution of both at 90"],
            id="a dropped opening is reported with the resolution",
        ),
        pytest.param(
            RESOLVED,
            [entry(OPENING, SENT), entry(REPEAT, QUEUED)],
            ["repeat merged", "resolution at 90"],
            id="nothing is repeated that is over",
        ),
        pytest.param(DROPPED, [entry(OPENING, SENT)], [], id="what is dropped is not resolved"),
        pytest.param(DROPPED, [entry(OPENING, QUEUED)], ["opening withdrawn"], id="and not opened if it waits to be"),
        pytest.param(DROPPED, [], [], id="nor if nobody knew of it"),
        pytest.param(replace(STANDS, is_over=True), [], [], id="what is over and suppressed is not opened"),
    ],
)
def test_each_is_sent_once(incident: Incident, held: list[Entry], expected: list[str]) -> None:
    """What is in the ledger is not queued again."""
    assert due(incident, *held) == expected


@pytest.mark.parametrize(
    ("incident", "held", "expected"),
    [
        pytest.param(LOST, [OPENED], ["lost at 70"], id="a loss is sent, and the alerts before it are not"),
        pytest.param(LOST, [OPENED, entry(LOSS, QUEUED, AT_LOSS)], [], id="once"),
        pytest.param(LOST, [OPENED, entry(LOSS, State.DROPPED, AT_LOSS)], [], id="and not again if it was dropped"),
        pytest.param(LOST, [OPENED, entry(REPEAT, QUEUED)], ["repeat merged", "lost at 70"], id="nothing is repeated"),
        pytest.param(
            LOST,
            [entry(OPENING, QUEUED)],
            ["opening merged", "lost of both at 70"],
            id="before the opening was delivered, one message reports both",
        ),
        pytest.param(LOST, [entry(OPENING, SENDING)], ["lost at 70"], id="unless the opening may have been taken"),
        pytest.param(LOST, [], ["lost of both at 70"], id="so is a loss that nobody saw coming"),
        pytest.param(LOST_AND_DROPPED, [OPENED], ["lost at 70"], id="a loss is sent after its incident was dropped"),
        pytest.param(LOST_AND_DROPPED, [OPENED, entry(LOSS, QUEUED, AT_LOSS)], [], id="and is not withdrawn by that"),
        pytest.param(LOST_AND_RESOLVED, [OPENED], ["resolution at 90"], id="a resolution stands for a missed loss"),
        pytest.param(
            LOST_AND_RESOLVED,
            [OPENED, entry(LOSS, QUEUED, AT_LOSS)],
            ["lost merged", "resolution at 90"],
            id="and for one that waits",
        ),
        pytest.param(
            LOST_AND_RESOLVED, [OPENED, entry(LOSS, SENT, AT_LOSS)], ["resolution at 90"], id="and it follows one"
        ),
        pytest.param(
            LOST_AND_RESOLVED,
            [entry(OPENING, State.MERGED), entry(LOSS, QUEUED, AT_LOSS, unannounced=True)],
            ["lost merged", "resolution of both at 90"],
            id="all three are one message",
        ),
        pytest.param(
            LOST_AND_RESOLVED,
            [entry(OPENING, State.MERGED), entry(LOSS, SENT, AT_LOSS, unannounced=True)],
            ["resolution at 90"],
            id="unless the loss reported the opening",
        ),
        pytest.param(
            RETURNED, [OPENED, entry(LOSS, SENT, AT_LOSS)], ["opening at 75"], id="an alert after a loss opens anew"
        ),
        pytest.param(STANDS, [OPENED, entry(LOSS, SENT, AT_LOSS)], [], id="a sign of the host alone does not"),
        pytest.param(
            RETURNED,
            [OPENED, entry(LOSS, QUEUED, AT_LOSS)],
            ["lost merged", "repeat at 75"],
            id="after a loss that was not delivered it is a repeat",
        ),
        pytest.param(
            RETURNED,
            [entry(OPENING, State.MERGED), entry(LOSS, QUEUED, AT_LOSS, unannounced=True)],
            ["lost merged", "opening at 0"],
            id="and if that would have reported the opening, the opening",
        ),
        pytest.param(
            RETURNED,
            [OPENED, entry(LOSS, QUEUED, AT_LOSS), entry(OPENING, QUEUED, NOON + 75 * MINUTE)],
            [],
            id="a loss that turns out to wait still goes before what follows it",
        ),
        pytest.param(
            LOST_AGAIN,
            [OPENED, entry(LOSS, SENT, AT_LOSS), entry(OPENING, SENT, NOON + 75 * MINUTE)],
            ["lost at 85"],
            id="each loss is sent",
        ),
        pytest.param(
            LOST_AGAIN,
            [OPENED, entry(LOSS, SENT, AT_LOSS), entry(OPENING, QUEUED, NOON + 75 * MINUTE)],
            ["opening merged", "lost at 85"],
            id="also if what came before it was not delivered",
        ),
    ],
)
def test_a_loss_is_sent_once(incident: Incident, held: list[Entry], expected: list[str]) -> None:
    """A loss closes the incident at the destination until the next alert or its resolution."""
    assert due(incident, *held) == expected
    assert sorted(due(incident, *reversed(held))) == sorted(expected)  # in whatever order the ledger has them


@pytest.mark.parametrize("incident", [LOST, LOST_AND_DROPPED])
def test_a_new_destination_is_not_sent_a_loss_of_before(incident: Incident) -> None:
    """A loss counts like a resolution, also for a destination with `after`."""
    assert due(incident, since=AT_LOSS) == due(incident, after="71m") == []
    assert due(incident, since=AT_LOSS - 1) == due(incident, after="70m") == ["lost of both at 70"]


@pytest.mark.parametrize(
    ("since", "expected"),
    [(RESOLVED.resolved_at, []), ((RESOLVED.resolved_at or 0) - 1, ["resolution of both at 90"])],
)
def test_a_new_destination_is_not_sent_what_ended_before(since: int, expected: list[str]) -> None:
    """An end counts as earlier up to the evaluation at which the destination was first known."""
    assert due(RESOLVED, since=since) == expected


def test_a_new_destination_is_sent_what_stands() -> None:
    """It is sent the opening, however long ago the incident was notified."""
    assert due(REPEATED, since=NOW) == ["opening at 0"]


@pytest.mark.parametrize(
    ("send", "incident", "held", "expected"),
    [
        (["opening"], REPEATED, [entry(OPENING, SENT)], []),
        (["opening"], RESOLVED, [entry(OPENING, SENT)], []),
        (["opening"], RESOLVED, [], ["resolution of both at 90"]),
        (["opening"], RESOLVED, [entry(OPENING, QUEUED)], ["opening merged", "resolution of both at 90"]),
        (["resolution"], STANDS, [], []),
        (["resolution"], RESOLVED, [], ["resolution at 90"]),
        (["repeat"], STANDS, [], []),
        (["repeat"], REPEATED, [], ["repeat at 60"]),
        (["repeat"], REPEATED, [entry(REPEAT, SENT, NOON + 60 * MINUTE)], []),
        (["repeat"], RESOLVED, [], []),
        (["repeat", "resolution"], RESOLVED, [entry(REPEAT, QUEUED)], ["repeat merged", "resolution at 90"]),
        (["opening", "resolution"], LOST, [OPENED], []),
        (["opening"], LOST, [entry(OPENING, QUEUED)], ["opening merged", "lost of both at 70"]),
        (["lost"], STANDS, [], []),
        (["lost"], LOST, [], ["lost at 70"]),
        (["lost", "resolution"], LOST_AND_RESOLVED, [entry(LOSS, SENT, AT_LOSS)], ["resolution at 90"]),
        (["repeat", "lost"], RETURNED, [entry(LOSS, SENT, AT_LOSS)], ["repeat at 75"]),
    ],
)
def test_only_the_kinds_that_are_wanted_are_sent(
    send: list[str], incident: Incident, held: list[Entry], expected: list[str]
) -> None:
    """A message that reports opening and end is sent to destinations that want openings."""
    assert due(incident, *held, send=send) == expected


def test_filters_choose_incidents() -> None:
    """An incident that was opened is resolved, even if the filters exclude it now."""
    assert due(STANDS, hosts=["lab-*"]) == due(STANDS, symptoms=["blind"]) == []
    assert due(RESOLVED, hosts=["lab-*"]) == []
    assert due(RESOLVED, entry(OPENING, SENT), hosts=["lab-*"]) == ["resolution at 90"]


def test_escalation_waits_and_leaves_out_what_is_over_by_then() -> None:
    """`after` counts from the first notification, to the microsecond."""
    after: dict[str, Any] = {"after": "30m"}

    assert due(STANDS, now=NOON + 30 * MINUTE - 1, **after) == []
    assert due(STANDS, now=NOON + 30 * MINUTE, **after) == ["opening at 0"]
    assert due(replace(RESOLVED, resolved_at=NOON + 30 * MINUTE - 1), **after) == []
    assert due(RESOLVED, **after) == ["resolution of both at 90"]


def test_a_level_is_not_repeated() -> None:
    """A destination that gets everything at each evaluation is sent no repeats."""
    assert due(REPEATED, entry(OPENING, SENT), is_level=True) == []


def test_an_incident_goes_on_under_another_id_if_the_daemon_has_lost_its_state() -> None:
    """A new incident continues one of the same host and symptom that is no longer listed."""
    known = [("i1", STANDS)]

    assert successors(known, [replace(STANDS, id="i2")]) == {"i2": "i1"}
    assert successors(known, [replace(STANDS, id="i2", host="pi-2")]) == {}
    assert successors(known, [replace(STANDS, id="i2"), STANDS]) == {}
    assert successors(known, [replace(STANDS, id="i2"), RESOLVED]) == {}
    assert successors(known, [replace(RESOLVED, id="i2")]) == {}
