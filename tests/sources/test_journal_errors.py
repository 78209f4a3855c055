"""A journal that libsystemd cannot read any more: each call makes the source unavailable."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.errors import SourceUnavailable
from fleet_health.sources.journal.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_795_435_200_000_000


class Broken:
    """Lets matches be set, for that asks nothing of the files; everything else fails."""

    flush_matches = add_match = add_disjunction = lambda *_: None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_: object) -> None:
            raise OSError(errno.EBADMSG, "Bad message")

        return fail


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JournalReader]:
    """A reader that was opened while all was well."""
    with JournalFile(tmp_path / "a.journal") as file:
        file.append("line", at_us=NOW, unit="r@1.service")
    options = {"journal.directory": ("", str(tmp_path)), "journal.unit": ("", "r@*.service")}
    one = JournalReader(load(None, options).receivers[0].journal)
    whole = one._reader
    monkeypatch.setattr(one, "_reader", Broken())
    yield one
    whole.close()


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda reader: list(reader.read()), id="what comes next"),
        pytest.param(lambda reader: reader.seek_cursor("c"), id="a place"),
        pytest.param(lambda reader: reader.oldest_at(), id="the oldest entry"),
        pytest.param(lambda reader: reader.has_any(["_PID=1"]), id="whether there is an entry"),
        pytest.param(lambda reader: reader.values_of("_SYSTEMD_UNIT"), id="the values of a field"),
        pytest.param(lambda reader: reader.latest_entries(["_PID=1"], 0, 1), id="the latest entries"),
        pytest.param(lambda reader: reader.find_instances(0), id="the instances of a glob"),
        pytest.param(lambda reader: reader.process(), id="what has changed"),
        pytest.param(lambda reader: reader.unit_messages("c"), id="the messages about units"),
    ],
)
def test_a_question_that_fails_makes_the_source_unavailable(
    ask: Callable[[JournalReader], object], reader: JournalReader
) -> None:
    """With libsystemd's own words; the journal is opened again later."""
    with pytest.raises(SourceUnavailable, match="Bad message"):
        ask(reader)


def test_a_journal_that_fails_while_it_is_read_back_is_unavailable(
    reader: JournalReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a part is not mistaken for everything."""
    monkeypatch.setattr(reader, "seek", lambda _: None)

    with pytest.raises(SourceUnavailable, match="Bad message"):
        list(reader.read_back(NOW))


def test_what_an_entry_lacks_is_no_failure(reader: JournalReader) -> None:
    """A damaged entry is left out, and has no fields."""
    assert reader.monotonic() is None
    assert not reader.is_of_journald()


class Timed:
    """Says when it wants to be asked again, by the monotonic clock."""

    def __init__(self, at_us: int | None) -> None:
        self.get_timeout = lambda: at_us


@pytest.mark.parametrize(
    ("at_us", "rest_s"),
    [
        pytest.param(None, None, id="never: there is a descriptor"),
        pytest.param(1_002_500_000, 2.5, id="in a while"),
        pytest.param(999_000_000, 0.0, id="a while ago: at once"),
    ],
)
def test_when_libsystemd_wants_to_be_asked_again(
    at_us: int | None, rest_s: float | None, reader: JournalReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deadline is a time of the monotonic clock."""
    monkeypatch.setattr("fleet_health.sources.journal.entry_reader.time.monotonic", lambda: 1_000.0)
    monkeypatch.setattr(reader, "_reader", Timed(at_us))

    assert reader.timeout() == rest_s
