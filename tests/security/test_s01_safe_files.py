"""S1, the rule itself: which paths are walked, which files are opened, and how an error names what is wrong."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from fleet_health.files.safe_files import SafeDirectory, UnsafePathError, led_astray
from tests.rig.descriptors import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

NOBODY, MALLORY = 65_534, 64_999


def reads(path: Path) -> bytes:
    """Read a file of up to 100 bytes."""
    with SafeDirectory(path.parent) as directory:
        return directory.read_file(path.name, 100)


@pytest.fixture
def file(public_directory: Path) -> Path:
    """Make a file below two directories, all root's."""
    file = public_directory / "a" / "b" / "file"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"content")
    return file


@pytest.mark.parametrize(
    ("owner_of_directory", "mode", "owner_of_link", "is_followed"),
    [
        pytest.param(0, 0o755, 0, True, id="root's link in root's directory"),
        pytest.param(NOBODY, 0o755, NOBODY, True, id="our link in our directory"),
        pytest.param(NOBODY, 0o755, 0, True, id="root's link in our directory"),
        pytest.param(0, 0o755, MALLORY, False, id="a stranger's link in root's directory"),
        pytest.param(MALLORY, 0o755, MALLORY, False, id="a stranger's link in their directory"),
        pytest.param(MALLORY, 0o755, 0, False, id="root's link in a stranger's directory: it can be moved there"),
        pytest.param(0, 0o775, 0, False, id="root's link where a group can write"),
        pytest.param(0, 0o1777, 0, False, id="root's link in a directory for all"),
        pytest.param(0, 0o1777, NOBODY, False, id="our link in a directory for all"),
    ],
)
@pytest.mark.parametrize("is_relative", [False, True], ids=["absolute", "relative"])
def test_a_link_is_followed_if_nobody_else_can_have_put_it_there(  # noqa: PLR0917 - a table
    owner_of_directory: int,
    mode: int,
    owner_of_link: int,
    is_followed: bool,  # noqa: FBT001
    is_relative: bool,  # noqa: FBT001
    file: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    """We are nobody here."""
    links = file.parents[2] / "links"
    links.mkdir()
    links.joinpath("link").symlink_to("../a/b" if is_relative else file.parent)
    os.lchown(links / "link", owner_of_link, owner_of_link)
    os.chown(links, owner_of_directory, owner_of_directory)
    links.chmod(mode)

    with as_nobody():
        if is_followed:
            assert reads(links / "link" / "file") == b"content"
        else:
            with pytest.raises(UnsafePathError) as refused:
                reads(links / "link" / "file")
            assert refused.value.filename == str(links / "link")


def test_for_root_even_its_own_users_links_are_a_strangers(file: Path, public_directory: Path) -> None:
    """Only root's count."""
    link = public_directory / "link"
    link.symlink_to(file.parent)
    assert reads(link / "file") == b"content"
    os.lchown(link, NOBODY, NOBODY)

    with pytest.raises(UnsafePathError, match="found a symbolic link that user nobody or others can change"):
        reads(link / "file")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda path: path.symlink_to(path), errno.ELOOP, id="a link to itself"),
        pytest.param(lambda path: path.symlink_to("nowhere"), errno.ENOENT, id="a dangling link"),
        pytest.param(lambda path: path.touch(), errno.ENOTDIR, id="a file"),
        pytest.param(os.mkfifo, errno.ENOTDIR, id="a FIFO"),
        pytest.param(lambda _: None, errno.ENOENT, id="nothing"),
    ],
)
def test_what_is_no_directory_is_an_error_with_its_path(
    make: Callable[[Path], object], expected: int, public_directory: Path
) -> None:
    """And never an endless walk."""
    make(public_directory / "odd")

    with pytest.raises(OSError, match=r".") as refused:
        reads(public_directory / "odd" / "deeper" / "file")

    assert refused.value.errno == expected
    assert str(public_directory) in str(refused.value.filename)


def test_the_kernels_limits_are_errors_with_their_path(public_directory: Path) -> None:
    """Names and paths that are too long."""
    for path in (public_directory / ("x" * 300), public_directory / ("x" * 300) / "y", public_directory / "x\0y"):
        with pytest.raises((OSError, ValueError)):
            reads(path)


def test_dots_lead_where_they_lead(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`..` is the real parent, and a relative path begins where we are."""
    assert reads(file.parent / ".." / "b" / "file") == b"content"
    monkeypatch.chdir(file.parent)
    for relative in ("file", "./file", "../b/file"):
        assert reads(type(file)(relative)) == b"content"


@pytest.mark.parametrize(
    ("owner_of_directory", "owner", "reader", "may_read", "may_write"),
    [
        pytest.param(NOBODY, NOBODY, NOBODY, True, True, id="all ours"),
        pytest.param(NOBODY, 0, NOBODY, True, True, id="root's file in our directory"),
        pytest.param(MALLORY, MALLORY, NOBODY, True, True, id="the file of whoever owns the directory"),
        pytest.param(0, MALLORY, NOBODY, False, False, id="a stranger's file in root's directory"),
        pytest.param(MALLORY, 64_997, NOBODY, False, False, id="a third user's file"),
        pytest.param(0, 0, 0, True, True, id="root in its own"),
        pytest.param(NOBODY, NOBODY, 0, True, False, id="root reads a user's file, and does not write it"),
        pytest.param(0, NOBODY, 0, False, False, id="a user's file in root's directory"),
        pytest.param(NOBODY, 0, 0, True, False, id="root writes nothing in a user's directory"),
    ],
)
def test_the_owner_must_be_one_that_is_trusted(  # noqa: PLR0917 - a table
    owner_of_directory: int,
    owner: int,
    reader: int,
    may_read: bool,  # noqa: FBT001
    may_write: bool,  # noqa: FBT001
    file: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    """For reading and for writing."""
    file.chmod(0o666)
    os.chown(file, owner, owner)
    os.chown(file.parent, owner_of_directory, owner_of_directory)

    def can(flags: int) -> bool:
        with SafeDirectory(file.parent) as directory:
            try:
                os.close(directory.open_file(file.name, flags))
            except UnsafePathError:
                return False
            return True

    if reader == 0:
        assert (can(os.O_RDONLY), can(os.O_RDWR)) == (may_read, may_write)
    else:
        with as_nobody():
            assert (can(os.O_RDONLY), can(os.O_RDWR)) == (may_read, may_write)


def test_a_file_that_is_created_was_not_there(public_directory: Path) -> None:
    """A dangling link at its name is no place to create one."""
    (public_directory / "name").symlink_to(public_directory / "elsewhere")
    with SafeDirectory(public_directory) as directory, pytest.raises(UnsafePathError, match="found a symbolic link"):
        directory.open_file("name", os.O_RDWR, create_mode=0o600)

    assert not (public_directory / "elsewhere").exists()


def test_no_descriptor_is_left_open(file: Path) -> None:
    """Whether it goes well or not."""
    before = open_descriptors()
    (file.parents[1] / "loop").symlink_to("loop")
    os.mkfifo(file.with_name("fifo"))
    for path in (file, file.with_name("fifo"), file.parents[1] / "loop" / "x", file / "x", file.with_name("none")):
        for _ in range(3):
            try:
                reads(path)
            except OSError:
                continue

    assert not open_descriptors() - before


def test_only_root_can_be_led_astray(file: Path, as_nobody: Callable[[], AbstractContextManager[None]]) -> None:
    """Another user reads nothing by a link that they could not read without it."""
    link = file.parents[2] / "link"
    link.symlink_to(file)
    os.lchown(link, NOBODY, NOBODY)
    os.chown(link.parent, NOBODY, NOBODY)

    assert "found a link to one of user root" in led_astray(link, file.stat())
    with as_nobody():
        assert led_astray(link, file.stat()) == ""
