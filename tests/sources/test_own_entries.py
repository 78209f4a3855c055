"""Which alerts a journal holds: of those that this user or root sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.errors import SourceFailing, SourceRefused
from fleet_health.model.instant import HOUR_US
from fleet_health.sources.journal.own_entries import OwnEntries, own_entries

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
MINE = str(os.getuid())
MARK = ("FLEET_MARK", "m1")


def entry(at: int, key: str, uid: str = MINE, message_id: str = "id", **fields: str) -> dict[str, Any]:
    """Make an entry that an alert leaves."""
    detected = {"FLEET_DEDUP_KEY": key, "FLEET_DETECTED_AT_WALL": "2026-11-23T12:00:00+00:00"}
    return {"at": at, "_UID": uid, "MESSAGE_ID": message_id, **detected, **fields}


class Reader:
    """A journal that holds some entries: what systemd-python offers of it, as far as it is used."""

    def __init__(self, entries: list[dict[str, Any]], flags: int, namespace: str | None = None) -> None:
        wanted = "" if namespace is None else namespace
        every = bool(flags & 1 << 5)
        self._entries = [one for one in entries if every or one.get("_NAMESPACE", "") == wanted]
        self._matches: dict[str, set[str]] = {}
        self._place = -1
        self.processed = 0

    def add_match(self, **fields: str) -> None:
        """Ask for entries with one of the values of each field."""
        for name, value in fields.items():
            self._matches.setdefault(name, set()).add(value)

    def seek_head(self) -> None:
        """Go before the first entry."""
        self._place = -1

    def seek_realtime(self, at: int) -> None:
        """Go before the first entry of an instant or later."""
        self._place = sum(one["at"] < at for one in self._entries) - 1

    def _next(self) -> bool:
        while (place := self._place + 1) < len(self._entries):
            self._place = place
            if all(self._entries[place].get(name) in values for name, values in self._matches.items()):
                return True
        return False

    def _get_realtime(self) -> int:
        at: int = self._entries[self._place]["at"]
        return at

    def _get(self, name: str) -> bytes:
        return str(self._entries[self._place][name]).encode()

    def process(self) -> None:
        """Count that it was asked to look for new files."""
        self.processed += 1

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the journal hold some entries, and the one that was sent last."""

    def hold(*entries: dict[str, Any], mark: dict[str, Any] | None = None) -> None:
        sent = [] if mark is None else [mark]

        def reader(flags: int = 0, namespace: str | None = None) -> Reader:
            return Reader([*entries, *sent], flags, namespace)

        monkeypatch.setattr("fleet_health.sources.journal.own_entries.journal.Reader", reader)
        monkeypatch.setattr("fleet_health.sources.journal.own_entries.journal._Reader", Reader)

    return hold


def marked(uid: str = MINE, **fields: str) -> dict[str, Any]:
    """Make the entry that was sent last."""
    return {"at": NOW, "_UID": uid, MARK[0]: MARK[1], **fields}


def read(since: int = NOW) -> OwnEntries:
    """Read what was sent since an instant; the mark is there, or never comes."""
    return own_entries(MARK, since, {"id", "other id"}, patience=0)


def test_alerts_of_this_user_and_of_root_are_known(holds: Callable[..., None]) -> None:
    """By the MESSAGE_IDs of alerts; entries of other users prove nothing."""
    holds(
        entry(NOW - 2, "a"),
        entry(NOW - 1, "b", uid="0", message_id="other id"),
        entry(NOW - 1, "c", uid="4000000001"),
        entry(NOW - 1, "d", message_id="of something else"),
        mark=marked(),
    )

    assert {key for key, _ in read().keys} == {"a", "b"}


def test_it_is_looked_for_as_far_back_as_the_clock_may_have_been_set(holds: Callable[..., None]) -> None:
    """By one hour, but never before the epoch."""
    holds(entry(NOW - HOUR_US - 1, "early"), entry(NOW - HOUR_US, "a"), mark=marked())

    assert {key for key, _ in read().keys} == {"a"}
    assert {key for key, _ in read(0).keys} == {"early", "a"}


@pytest.mark.parametrize(
    ("key", "at", "is_known"),
    [
        pytest.param("a", NOW, True, id="it is there"),
        pytest.param("a", NOW + 1, False, id="that of another evaluation is"),
        pytest.param("b", NOW, False, id="it is not there"),
        pytest.param("b", NOW - 10, False, id="it would be the oldest of all"),
        pytest.param("b", NOW - 11, True, id="the journal does not go back so far: nobody can tell"),
    ],
)
def test_what_cannot_be_told_is_not_sent_again(
    key: str, at: int, holds: Callable[..., None], *, is_known: bool
) -> None:
    """An alert in doubt would be sent twice."""
    holds(entry(NOW - 10, "a", uid="4000000001"), entry(NOW, "a"), mark=marked())

    assert read().knows(key, at) == is_known


def test_a_journal_without_entries_of_the_fields_has_no_key(holds: Callable[..., None]) -> None:
    """Such an entry is from another release, or damaged."""
    holds({"at": NOW, "_UID": MINE, "MESSAGE_ID": "id"}, mark=marked())

    assert read().keys == {("", "")}


def test_the_namespace_that_has_the_mark_is_read(holds: Callable[..., None]) -> None:
    """A service with LogNamespace= logs to a namespace of its own."""
    holds(entry(NOW - 1, "default"), entry(NOW - 1, "own", _NAMESPACE="lab"), mark=marked(_NAMESPACE="lab"))

    assert {key for key, _ in read().keys} == {"own"}


@pytest.mark.parametrize("mark", [None, marked(uid="4000000001"), {**marked(), MARK[0]: "m2"}])
def test_a_journal_that_does_not_show_the_mark_is_refused(
    mark: dict[str, Any] | None, holds: Callable[..., None]
) -> None:
    """Earlier entries may be missing as well."""
    holds(entry(NOW - 1, "a"), mark=mark)

    with pytest.raises(SourceRefused, match="does not show an entry that was sent 0 s ago"):
        read()


def test_the_mark_is_waited_for(holds: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Journald may take its time."""
    holds(entry(NOW - 1, "a"))
    rests: list[float] = []

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        holds(entry(NOW - 1, "a"), mark=marked())

    monkeypatch.setattr("fleet_health.sources.journal.own_entries.time.sleep", sleep)

    assert {key for key, _ in own_entries(MARK, NOW, {"id"}, patience=600).keys} == {"a"}
    assert rests == [0.1]


def test_a_journal_that_cannot_be_read_is_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the error of the system."""

    def refuse(**_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fleet_health.sources.journal.own_entries.journal.Reader", refuse)

    with pytest.raises(SourceFailing, match="the journal cannot be read: Input/output error"):
        read()
