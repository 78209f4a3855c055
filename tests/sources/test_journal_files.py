"""Journal files that libsystemd leaves out: what they would hold, by their headers."""

from __future__ import annotations

import os
import pwd
import struct
from typing import TYPE_CHECKING

import pytest

from fleet_health.errors import SourceRefused
from fleet_health.sources.journal.directories import no_permission
from fleet_health.sources.journal.files import has_entries, headers_of, left_out_files, refuse_current

if TYPE_CHECKING:
    from pathlib import Path

OFFLINE, ONLINE, ARCHIVED = 0, 1, 2


def write(path: Path, *, state: int = OFFLINE, count: int = 1, until: int = 2, flags: int = 4, cut: int = 0) -> Path:
    """Write the header of a journal file (https://systemd.io/JOURNAL_FILE_FORMAT), and nothing else."""
    head = bytearray(272)
    head[:8] = b"LPKSHHRH"
    struct.pack_into("<I", head, 12, flags)
    head[16] = state
    struct.pack_into("<Q", head, 152, count)
    struct.pack_into("<QQ", head, 184, 1, until)
    path.write_bytes(bytes(head)[: len(head) - cut])
    return path


def test_a_file_of_this_test_is_one(tmp_path: Path) -> None:
    """Its entries, features and times are where the header has them."""
    (found,) = left_out_files([tmp_path, write(tmp_path / "a.journal", until=7, flags=12).parent / "missing"])

    assert (found.path.name, found.incompatible_flags, found.since, found.until) == ("a.journal", 12, 1, 7)


@pytest.mark.parametrize(
    ("name", "state", "is_current"),
    [
        pytest.param("system.journal", OFFLINE, True, id="that of services, though nobody has it open"),
        pytest.param("other.journal", ONLINE, True, id="one that is open for writing"),
        pytest.param("other.journal", OFFLINE, False, id="one that is closed"),
        pytest.param("other.journal", ARCHIVED, False, id="one that is finished"),
        pytest.param("other@1.journal", ONLINE, False, id="one that was renamed, whatever it says"),
        pytest.param("other.journal~", ONLINE, False, id="one that was set aside"),
    ],
)
def test_a_file_is_current_if_entries_are_still_written_to_it(
    name: str, state: int, tmp_path: Path, *, is_current: bool
) -> None:
    """Then nothing of the present can be seen."""
    newer = write(tmp_path / "newer.journal", until=9)
    found = headers_of([write(tmp_path / name, state=state)], [newer])

    assert [one.is_current for one in found] == [is_current]
    if is_current:
        with pytest.raises(SourceRefused, match="incompatible flags 0x4"):
            refuse_current(found)
    else:
        assert refuse_current(found) == found


@pytest.mark.parametrize(("until", "is_current"), [(8, False), (9, True)])
def test_the_file_with_the_newest_entry_of_all_is_current(until: int, tmp_path: Path, *, is_current: bool) -> None:
    """Unless its name shows that it is archived."""
    newer = write(tmp_path / "newer.journal", until=9)
    files = [write(tmp_path / "a.journal", until=until), write(tmp_path / "b@1.journal", until=until)]

    assert [one.is_current for one in headers_of(files, [newer, *files])] == [is_current, False]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"name": "user-1000.journal"}, id="of a user"),
        pytest.param({"name": "user-1000@1.journal"}, id="of a user, and renamed"),
        pytest.param({"name": "a.journal", "count": 0}, id="without entries"),
        pytest.param({"name": "a.journal", "cut": 100}, id="shorter than a header"),
        pytest.param({"name": "a.log"}, id="no journal by its name"),
    ],
)
def test_what_holds_nothing_that_is_wanted_is_not_missed(options: dict[str, object], tmp_path: Path) -> None:
    """Nor is a file that is open already."""
    name = str(options.pop("name"))
    write(tmp_path / name, **options)  # type: ignore[arg-type]

    assert left_out_files([tmp_path]) == []


def test_a_file_that_this_process_has_open_is_not_left_out(tmp_path: Path) -> None:
    """It is recognised by its inode, whatever its name is now."""
    with write(tmp_path / "a.journal").open("rb"):
        assert left_out_files([tmp_path]) == []
    assert len(left_out_files([tmp_path])) == 1


@pytest.mark.parametrize(("count", "cut", "has_any"), [(1, 0, True), (0, 0, False), (1, 100, False)])
def test_whether_a_file_has_entries_stands_in_its_header(
    count: int, cut: int, tmp_path: Path, *, has_any: bool
) -> None:
    """A file that is too short is not a journal."""
    assert has_entries(write(tmp_path / "a.journal", count=count, cut=cut)) == has_any


def test_whoever_may_not_read_a_file_learns_how_to(tmp_path: Path) -> None:
    """The command names the user, or the number of a user without a name."""
    problem = no_permission(tmp_path / "system.journal")

    assert f"usermod -aG systemd-journal {pwd.getpwuid(os.geteuid()).pw_name}`" in str(problem)


def test_a_user_without_a_name_is_named_by_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_001)

    assert "systemd-journal 4000000001`" in str(no_permission(tmp_path))
