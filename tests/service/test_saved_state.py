"""When the state is saved, and how older states are restored."""

from __future__ import annotations

from fleet_health.alerting.incident import Incident
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.model.fleet import Fleet
from fleet_health.model.history import HistorySnapshot
from fleet_health.service.examining import with_present_names
from fleet_health.service.saved_state import SavedReceiver, SavedState
from fleet_health.service.saving import Saving

SECOND = 1_000_000
NEW, OLD = "b%C3%BCro", "b%25C3%25BCro"


def state(at: int, *incidents: Incident) -> SavedState:
    """Make a state."""
    return SavedState(incidents=Snapshot(at=at, open=list(incidents)), journal_seen_until=at)


def test_the_state_is_saved_when_it_changes_and_else_once_a_minute() -> None:
    """The passing of time is no change. A clock that is set back does not stop it."""
    saving = Saving()
    one = Incident("a", "silent", 0)
    states = [
        (state(0), 0),
        (state(1), SECOND),
        (state(2, one), 2 * SECOND),
        (state(3, one), 62 * SECOND - 1),
        (state(4, one), 62 * SECOND),
        (state(5, one), 30 * SECOND),
    ]

    assert [saving.due(state, now, Fleet()) is not None for state, now in states] == [
        True,
        False,
        True,
        False,
        True,
        True,
    ]


def named(host: str, *, uploader: str, are_urls_undone: bool) -> SavedState:
    """Make a state in which an incident of a host inhibits that of another one, with a history."""
    pair = (host, "fatal-only")
    return SavedState(
        incidents=Snapshot(
            open=[Incident(*pair, 0, inhibits=frozenset({(host, "unstamped")}))],
            released=[(pair, 1)],
            openings=[(pair, [0])],
        ),
        history=HistorySnapshot(0, 1, {host: 1}),
        uploads={uploader: 1},
        are_urls_undone=are_urls_undone,
    )


def test_names_in_a_state_from_before_0_1_0_are_decoded() -> None:
    """A name with the encoding of an access line is decoded once, and not if the index has that name."""
    old = named(OLD, uploader=NEW, are_urls_undone=False)
    rest = [
        named(OLD, uploader=OLD, are_urls_undone=False),
        named("50%25", uploader=NEW, are_urls_undone=False),
        named(OLD, uploader=NEW, are_urls_undone=True),
    ]

    assert with_present_names(old) == named(NEW, uploader=NEW, are_urls_undone=False)
    assert [with_present_names(one) for one in rest] == rest


def test_decomposed_names_in_an_older_state_are_composed() -> None:
    """`bu%CC%88ro`, which is `büro` in NFD, becomes the name in NFC."""
    old = named("bu%CC%88ro", uploader="bu%CC%88ro", are_urls_undone=True)

    assert with_present_names(old) == named(NEW, uploader=NEW, are_urls_undone=True)


def test_punctuation_after_a_name_in_an_older_state_is_removed() -> None:
    """Two hosts become one, with the later of both uploads."""
    old = named("pi-07:", uploader="pi-07.", are_urls_undone=True)
    old.uploads["pi-07"] = 0
    old.receivers["lab"] = SavedReceiver(uploads={"pi-07,": 2})

    new = named("pi-07", uploader="pi-07", are_urls_undone=True)
    new.receivers["lab"] = SavedReceiver(uploads={"pi-07": 2})

    assert with_present_names(old) == new
