"""The file of silences: changed under a lock, replaced as a whole, and always readable by the service."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import pwd
import signal
from typing import TYPE_CHECKING

import msgspec
import pytest

from fleet_health.alerting.silences import ACTIVE_LIMIT, ENDED_LIMIT, Silence, TooManySilences, problem_of
from fleet_health.errors import SinkUnavailable
from fleet_health.files import safe_files
from fleet_health.model.instant import HOUR_US
from fleet_health.records import silence_file
from fleet_health.records.silence_file import KEPT_DAYS, SilenceFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.conftest import DoWithout

NOW = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""


ROW = (
    b'{"version": 1, "silences": [{"id": "a", "hosts": "pi-*", "symptom": null, "reason": "x", "author": "me",'
    b' "starts_at_wall": "2026-11-23T11:00:00Z", "ends_at_wall": "2026-11-23T13:00:00Z", %b}]}'
)


def lasting(name: str, ends_at: int) -> Silence:
    """Make a silence that ends at an instant."""
    return Silence(name, "pi-*", None, NOW - HOUR_US, ends_at, "a reason", "somebody")


def add(file: SilenceFile, silence: Silence) -> None:
    """Add one to the file."""
    file.add(silence, NOW)


@pytest.mark.parametrize(("written", "meant"), [("bür*", "b%C3%BCr*"), ("b%C3%BCr*", "b%C3%BCr*"), ("*@a", "*@a")])
def test_a_glob_is_read_for_the_names_that_hosts_are_known_by(written: str, meant: str, tmp_path: Path) -> None:
    """However a silence came into the file, it means what the command would make of it."""
    file = SilenceFile(tmp_path / "state")
    add(file, msgspec.structs.replace(lasting("a", NOW + 1), hosts=written))

    assert [one.hosts for one in file.load()] == [meant]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """To the microsecond, with and without a symptom."""
    file = SilenceFile(tmp_path / "state")
    one = lasting("a", NOW + 1)
    other = Silence("b", "*", "receiver-down", NOW - 1, NOW + HOUR_US, "„reason“ \\ \x1b", "root")
    add(file, one)
    add(file, other)

    assert file.load() == [one, other]
    assert sorted(entry.name for entry in file.path.parent.iterdir()) == ["silences.json", "silences.lock"]


def test_how_one_lasts_and_who_ended_it_is_read_back(tmp_path: Path) -> None:
    """It ended early by a user, or because everything that it acknowledged is resolved."""
    file = SilenceFile(tmp_path)
    for name in ("a", "b"):
        add(file, lasting(name, NOW + HOUR_US))
    for name in ("c", "d"):
        add(file, msgspec.structs.replace(lasting(name, NOW + HOUR_US), hosts="x-1", is_until_resolved=True))
    resolved = file.resolve({"b", "c", "none"}, NOW)
    ended = file.end("pi-*", NOW, "ann")

    assert ([one.id for one in resolved], [one.id for one in ended]) == (["c"], ["a", "b"])
    assert {one.id: (one.is_until_resolved, one.is_resolved, one.ended_by, one.ends_at) for one in file.load()} == {
        "a": (False, False, "ann", NOW),
        "b": (False, False, "ann", NOW),
        "c": (True, True, "", NOW),
        "d": (True, False, "", NOW + HOUR_US),
    }


def test_a_file_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """Its silences last until their end; who ended one is not known."""
    file = SilenceFile(tmp_path)
    file.path.write_bytes((ROW % b'"later": 1').replace(b', "later": 1', b""))

    assert file.load() == [Silence("a", "pi-*", None, NOW - HOUR_US, NOW + HOUR_US, "x", "me")]


@pytest.mark.parametrize(("hours", "kept"), [(KEPT_DAYS * 24 - 1, ["old"]), (KEPT_DAYS * 24, [])])
def test_an_ended_one_is_kept_for_some_days(hours: int, kept: list[str], tmp_path: Path) -> None:
    """So that a service that was down logs its end, and operators see who silenced what."""
    file = SilenceFile(tmp_path)
    add(file, lasting("old", NOW))
    file.end("none", NOW + hours * HOUR_US, "me")

    assert [one.id for one in file.load()] == kept


def test_root_writes_nothing_in_the_directory_of_another(tmp_path: Path, do_without: DoWithout) -> None:
    """The service could not use such a file, and root might follow a link."""
    if os.geteuid() != 0:
        do_without("only root can give a directory away")
    nobody = pwd.getpwnam("nobody")
    directory = tmp_path / "state"
    directory.mkdir()
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)

    with pytest.raises(SinkUnavailable, match=r"found one of user nobody, where root does not write; run this as n"):
        add(SilenceFile(directory), lasting("a", NOW + HOUR_US))

    assert list(directory.iterdir()) == []


def test_who_may_not_write_is_refused_for_want_of_permission(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """Before and after the first silence; then the command asks the service."""
    file = SilenceFile(public_directory)
    for _ in range(2):
        with as_nobody():
            with pytest.raises(SinkUnavailable) as adding:
                add(file, lasting("a", NOW + HOUR_US))
            with pytest.raises(SinkUnavailable) as ending:
                file.end("a", NOW, "me")
        assert isinstance(adding.value.__cause__, PermissionError)
        assert isinstance(ending.value.__cause__, PermissionError)
        add(file, lasting("b", NOW + HOUR_US))


def test_a_kill_before_the_new_one_is_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    """It is whole, and its lock is free."""
    file = SilenceFile(tmp_path)
    add(file, lasting("a", NOW + HOUR_US))

    def die_in_the_middle() -> None:
        safe_files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[attr-defined]
        add(file, lasting("b", NOW + HOUR_US))

    process = multiprocessing.get_context("fork").Process(target=die_in_the_middle)
    process.start()
    process.join()
    killed_with = file.load()
    add(file, lasting("c", NOW + HOUR_US))

    assert process.exitcode == -signal.SIGKILL
    assert [one.id for one in killed_with] == ["a"]
    assert [one.id for one in file.load()] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "damaged"),
        (b"[]", "damaged"),
        (b'{"version": 1, "silences": [{}]}', "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"silences": []}', "damaged"),
        (ROW % b'"is_until_resolved": 1', "damaged .*Expected `bool`"),
        (ROW % b'"ended_by": []', "damaged .*Expected `str . null`"),
        (b'{"version": 2, "silences": []}', "expected version 1, found version 2"),
        (b" " * ((2 << 20) + 1), "expected a file of at most 2097152 bytes, found a larger one"),
    ],
)
def test_what_is_not_understood_is_left_as_it_is(content: bytes, complaint: str, tmp_path: Path) -> None:
    """A change is refused, as reading is."""
    file = SilenceFile(tmp_path)
    file.path.write_bytes(content)

    with pytest.raises(SinkUnavailable, match=complaint):
        file.load()
    with pytest.raises(SinkUnavailable, match=complaint):
        add(file, lasting("a", NOW + HOUR_US))
    assert file.path.read_bytes() == content


def test_a_lock_that_is_not_let_go_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service answers, and nothing is changed."""
    monkeypatch.setattr("fleet_health.files.lock_wait.PATIENCE_S", 0.1)
    file = SilenceFile(tmp_path)
    with (tmp_path / "silences.lock").open("w") as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        with pytest.raises(SinkUnavailable, match=r"silences\.lock: another process has held its lock for 0\.1 s"):
            add(file, lasting("a", NOW + 1))

    assert file.load() == []
    add(file, lasting("a", NOW + 1))
    assert file.load() == [lasting("a", NOW + 1)]


def test_no_more_hold_than_may(tmp_path: Path) -> None:
    """Until one has ended; ended ones are kept up to a limit too."""
    file = SilenceFile(tmp_path)
    for number in range(ACTIVE_LIMIT):
        add(file, lasting(f"s{number}", NOW + HOUR_US))
    with pytest.raises(TooManySilences, match=r"200 silences are active already.*end some of them"):
        add(file, lasting("one more", NOW + HOUR_US))
    for number in range(ENDED_LIMIT + 5):
        file.end(f"s{number % ACTIVE_LIMIT}" if number < ACTIVE_LIMIT else f"again{number - 1}", NOW + number, "me")
        file.add(lasting(f"again{number}", NOW + HOUR_US), NOW + number)
    ended = [one for one in file.load() if one.ends_at < NOW + ACTIVE_LIMIT + 50]

    assert (len(ended), len(file.load())) == (ENDED_LIMIT, ENDED_LIMIT + ACTIVE_LIMIT)


def test_the_longest_silences_that_may_be_fit_into_the_file(tmp_path: Path) -> None:
    """Any file that we write can be read again."""
    file = SilenceFile(tmp_path)
    worst = "\x1b"
    silences = [
        Silence(
            f"{number:0>64}",
            "x" * 128,
            "s" * 20,
            NOW,
            NOW + HOUR_US,
            worst * 200,
            worst * 64,
            ended_by=worst * 64,
        )
        for number in range(ACTIVE_LIMIT)
    ]
    for one in silences[:-1]:
        assert problem_of(one) == ""
    rows = [msgspec.convert(one.row(), silence_file._Row) for one in silences * 2]
    content = msgspec.json.format(msgspec.json.encode(silence_file._Document(rows)))
    file.path.write_bytes(content)

    assert file.load() == silences * 2
