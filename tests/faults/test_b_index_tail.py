"""The faults of the index tail (B1 to B18), each provoked for real on the real follower."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from asyncinotify import Inotify, Mask
from structlog.testing import capture_logs

from fleet_health.config.loading import load
from fleet_health.model.instant import isoformat
from fleet_health.service import clock
from fleet_health.sources.index.open_file import LINE_LIMIT
from fleet_health.sources.state import Phase
from tests.rig.index_rig import IndexRig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.conftest import AsyncEventually, DoWithout, Following, Service, Site

LOOKBACK_US = 3_600_000_000
MIB = 1 << 20

_QUEUE_LENGTH = Path("/proc/sys/fs/inotify/max_queued_events")


class Rig(IndexRig):
    """A follower of a site's index."""

    def __init__(self, site: Site) -> None:
        super().__init__(load(None, {"index.path": ("--index-path", str(site.index))}).receivers[0].index, LOOKBACK_US)


@pytest.fixture
async def rig(site: Site) -> AsyncIterator[Rig]:
    """Prepare a follower that looks when it is told to."""
    one = Rig(site)
    yield one
    await one.follower.close()


def do(*command: str | Path) -> None:
    """Run a command."""
    subprocess.run(command, check=True)


def rotate(path: Path) -> None:
    """Rename the file to `.1`, and what was `.1` to `.2` before, and so on."""
    for number in range(8, 0, -1):
        with suppress(FileNotFoundError):
            Path(f"{path}.{number}").rename(f"{path}.{number + 1}")
    path.rename(f"{path}.1")


def open_files() -> list[str]:
    """Return the names of what this process has open; `(deleted)` stands behind those that are."""
    names = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            names.append(str(link.readlink()))
    return names


def row(host: str, *, minutes_ago: int = 0) -> bytes:
    """Make a row; its note holds what others take for the end of a line."""
    text = json.dumps(
        {
            "received_at_wall": isoformat(clock.now() - minutes_ago * 60_000_000),
            "note": "grün\u2028 <",
            "host_id": host,
        },
        ensure_ascii=False,
    )
    return text.encode() + b"\n"


def append(path: Path, data: bytes) -> None:
    """Append."""
    with path.open("ab") as file:
        file.write(data)


@pytest.mark.fault("B1", rig="files", says="a line arrives in pieces")
async def test_B1_a_line_in_pieces(site: Site, rig: Rig) -> None:
    """However a row is cut, it is given once, when its newline has come; so is one that a block of many ends in."""
    site.index.touch()
    whole = row("in-pieces")
    seen = []
    for at in range(0, len(whole), 7):
        seen.append(await rig.look())
        append(site.index, whole[at : at + 7])
    assert not any(seen)
    assert await rig.look() == ["in-pieces"]

    many = [f"host-{number}" for number in range(6_000)]  # more than one read takes
    site.upload(*many)
    assert await rig.look() == many
    assert rig.rejected == {}


@pytest.mark.fault("B2", rig="files", says="renamed, and created anew, while the old writer goes on")
async def test_B2_rename_and_create(site: Site, rig: Rig) -> None:
    """The old file is drained to its end before the new one is begun; no row is lost, and none comes twice."""
    site.index.touch()
    await rig.look()
    seen, written = [], []
    for number in range(3):
        hosts = [f"{number}-{when}" for when in ("before", "after-the-rename", "beside-the-new", "new")]
        with site.index.open("ab", buffering=0) as old_writer:
            old_writer.write(row(hosts[0]))
            do("mv", site.index, f"{site.index}.{number}")
            old_writer.write(row(hosts[1]))
            append(site.index, row(hosts[3]))
            old_writer.write(row(hosts[2]))
        seen += await rig.look()
        written += hosts

    assert seen == written
    assert await rig.look() == []


@pytest.mark.fault("B2", rig="files", says="renamed before the first look, while the old writer goes on")
async def test_B2_renamed_just_before_the_start(site: Site, rig: Rig) -> None:
    """Who starts in the middle of a rotation reads what it left behind, and what its writer still adds to that."""
    with site.index.open("ab", buffering=0) as old_writer:
        old_writer.write(row("old"))
        do("mv", site.index, f"{site.index}.1")
        site.upload("new")
        first = await rig.look()
        old_writer.write(row("late"))

        assert first == ["old", "new"]
        assert await rig.look() == ["late"]
    assert await rig.look() == []


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.fault("B2", rig="files", says="renamed and created anew several times between two looks")
async def test_B2_renamed_several_times_between_two_looks(times: int, site: Site, rig: Rig) -> None:
    """The files that were at the path for a moment only are read, too, and none of the others is read again."""
    do("cp", "/dev/null", f"{site.index}.9")
    site.upload("before")
    seen, written = await rig.look(), ["before"]
    for turn in range(2):
        for number in range(times):
            hosts = [f"{turn}-{number}-{which}" for which in ("first", "last")]
            site.upload(*hosts)
            written += hosts
            rotate(site.index)
        site.upload(f"{turn}-now")
        written.append(f"{turn}-now")
        seen += await rig.look()

    assert sorted(seen) == sorted(written)
    assert await rig.look() == []


@pytest.mark.parametrize("size", [2, 20_000], ids=["two rows", "two megabytes"])
@pytest.mark.fault("B3", rig="files", says="a new file that already has rows when it is opened")
async def test_B3_new_file_is_read_from_its_start(size: int, site: Site, rig: Rig) -> None:
    """What was in the new file before anybody looked at it is read."""
    site.upload("old")
    await rig.look()
    do("mv", site.index, f"{site.index}.1")
    hosts = [f"host-{number}" for number in range(size)]
    site.upload(*hosts)

    assert await rig.look() == hosts


@pytest.mark.fault("B4", rig="files", says="truncated in place (cp; truncate), again and again")
async def test_B4_truncated_in_place(site: Site, rig: Rig) -> None:
    """Each time it is read from the start, and the half row that was carried is forgotten."""
    site.upload("first", "other")
    seen = [await rig.look()]
    for number in range(4):
        append(site.index, b'{"host_id": "half a ro')
        seen.append(await rig.look())
        do("cp", site.index, f"{site.index}.1")
        do("truncate", "--size=0", site.index)
        if number % 2:
            seen.append(await rig.look())  # it may be seen empty, or not
        site.upload(f"after-{number}")
        seen.append(await rig.look())

    assert [hosts for hosts in seen if hosts] == [["first", "other"], *([f"after-{number}"] for number in range(4))]
    assert rig.rejected == {}


@pytest.mark.parametrize("is_regrown", [False, True], ids=["smaller", "regrown"])
@pytest.mark.fault("B4", rig="files", says="copied and truncated (copytruncate) before all of it was read")
async def test_B4_what_was_cut_off_unread_is_read_from_the_copy(site: Site, rig: Rig, *, is_regrown: bool) -> None:
    """Of the copy only that is read which was not read before; it is the same each time."""
    site.upload("before")
    seen, written = await rig.look(), ["before"]
    for number in range(3):
        new = [f"{number}-new-{which}" for which in range(1 if not is_regrown else 5)]
        site.upload(f"{number}-unread")
        do("cp", site.index, f"{site.index}.new")
        if number:
            do("mv", f"{site.index}.1", f"{site.index}.{number + 1}")
        do("mv", f"{site.index}.new", f"{site.index}.1")
        do("truncate", "--size=0", site.index)
        site.upload(*new)
        seen += await rig.look()
        written += [f"{number}-unread", *new]

    assert seen == written
    assert await rig.look() == []
    assert rig.rejected == {}


@pytest.mark.parametrize("count", [2, 3, 5_000])
@pytest.mark.fault("B5", rig="files", says="truncated and grown past the old place between two looks")
async def test_B5_truncated_and_regrown_past_the_offset(count: int, site: Site, rig: Rig) -> None:
    """Though the size shows nothing, the rewritten file is read from its start, and no row is taken for half a one."""
    hosts = [f"b{number}" for number in range(count)]
    at_us = clock.now()
    site.upload("a1", "a2", at_us=at_us)
    await rig.look()
    before = site.index.stat()
    site.index, original = site.directory / "other", site.index
    site.upload(*hosts, at_us=at_us)
    do("cp", site.index, original)  # into the file that is there: truncated, then written
    os.utime(original, ns=(1, 1))  # however coarse the file system's clock is
    after = original.stat()

    assert after.st_ino == before.st_ino
    assert after.st_size >= before.st_size
    assert await rig.look() == hosts
    assert rig.rejected == {}


@pytest.mark.fault("B6", rig="files", says="deleted, and another file gets the same inode number")
async def test_B6_inode_number_used_again(site: Site, rig: Rig, do_without: DoWithout) -> None:
    """A file is known by more than its number: the other one is read from its start."""
    hosts = ["first", "second"]
    spare = (Path(f"{site.index}.spare.{number}") for number in itertools.count())
    for _ in range(20):  # for somebody else may get the number that is free
        site.upload("gone", "gone")
        assert await rig.look() == ["gone"]
        number = site.index.stat().st_ino
        do("rm", site.index)
        site.upload(*hosts)
        assert site.index.stat().st_ino != number, "the number was free while the file was still held"
        site.index.rename(next(spare))
        assert await rig.look() == []
        assert rig.state.phase is Phase.WAITING
        for _ in range(20):
            site.upload(*hosts)
            if site.index.stat().st_ino == number:
                assert await rig.look() == hosts
                return
            site.index.rename(next(spare))
    do_without("the file system of the temporary directory does not use an inode number again")


@pytest.mark.fault("B6", rig="mount", says="another file system with the same inode number at the same place")
async def test_B6_the_same_inode_number_on_another_device(site: Site, do_without: DoWithout, tmp_path: Path) -> None:
    """Two devices number their files alike: what was mounted over the index is another file."""
    site.index = tmp_path / "disk" / "index.jsonl"
    site.index.parent.mkdir()
    rig = Rig(site)
    numbers = []
    seen = []
    with contextlib.ExitStack() as mounted:
        for host in ("old", "new"):
            try:
                do("mount", "-t", "tmpfs", "tmpfs", site.index.parent)
            except subprocess.CalledProcessError:
                do_without("a file system cannot be mounted")
            mounted.callback(do, "umount", "--lazy", site.index.parent)
            site.upload(host)
            numbers.append(site.index.stat().st_ino)
            seen.append(await rig.look())
        await rig.follower.close()

    assert numbers[0] == numbers[1]
    assert seen == [["old"], ["new"]]


@pytest.mark.fault("B7", rig="files", says="the index, or its directory, absent at first, and removed later")
async def test_B7_absent_and_removed(site: Site, following: Following, async_eventually: AsyncEventually) -> None:
    """Whatever part of the path is missing, it is said, and the index is picked up when it comes, each time."""
    site.index = site.directory / "not" / "yet" / "there" / "index.jsonl"
    async with following(Rig(site)) as rig:
        for number in range(2):
            await async_eventually(lambda: rig.state.phase is Phase.WAITING, "the loss")
            assert rig.state.reason == f"{site.index}: No such file or directory"
            do("mkdir", "-p", site.index.parent)
            site.upload(f"host-{number}")
            await async_eventually(lambda number=number: f"host-{number}" in rig.hosts, "the row")  # type: ignore[misc]
            do("rm", "-r", site.directory / "not")

    assert rig.hosts == ["host-0", "host-1"]


@pytest.fixture
def short_inotify_queue(do_without: DoWithout) -> Iterator[None]:
    """Let inotify queue four events, as long as the test lasts."""
    before = _QUEUE_LENGTH.read_text()
    try:
        _QUEUE_LENGTH.write_text("4")
    except OSError as error:
        do_without(f"the queue of inotify cannot be made short: {error.strerror}")
    try:
        yield
    finally:
        _QUEUE_LENGTH.write_text(before)


@pytest.mark.usefixtures("short_inotify_queue")
@pytest.mark.fault("B8", rig="inotify", says="IN_Q_OVERFLOW: the hint that matters is not delivered")
async def test_B8_inotify_queue_overflows(site: Site, following: Following, async_eventually: AsyncEventually) -> None:
    """Nothing hints that the directory was exchanged; a look without a hint finds what comes in the new one."""
    directory = site.directory / "lib"
    directory.mkdir()
    site.index = directory / "index.jsonl"
    site.upload("before")
    control = Inotify(sync_timeout=0)
    control.add_watch(directory, Mask.CREATE | Mask.MODIFY | Mask.MOVE_SELF)
    with control:
        rig = Rig(site)
        rig.follower.longest_wait = 0.05
        async with following(rig):
            await async_eventually(lambda: rig.follower._inotify, "the watch")
            # No await from here to the exchange: the queue is full before anybody takes from it.
            for number in range(20):
                (directory / f"upload-{number}").touch()
            do("mv", directory, f"{directory}.old")
            directory.mkdir()
            # The file itself is the same as before, so that a look does not show that it is elsewhere now.
            do("mv", f"{directory}.old/index.jsonl", site.index)
            mask = Mask(0)
            while event := control.sync_get():
                mask |= event.mask
            for host in ("after", "later"):
                site.upload(host)
                await async_eventually(lambda host=host: host in rig.hosts, "the row")  # type: ignore[misc]

    assert Mask.Q_OVERFLOW in mask
    assert Mask.MOVE_SELF not in mask
    assert rig.hosts == ["before", "after", "later"]


def opened(service: Service) -> int:
    """Count how often a service has opened the index."""
    return sum(event["change"] == "opened" for event in service.events("index changed"))


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("max_inotify_instances", "Too many open files"), ("max_inotify_watches", "No space left on device")],
)
@pytest.mark.fault("B9", rig="user namespace", says="inotify is used up: EMFILE, ENOSPC")
def test_B9_inotify_used_up(
    limit: str, reason: str, site: Site, start_without_inotify: Callable[[Site, str], Service]
) -> None:
    """It is said once, and rows are found all the same, through rotations too."""
    site.configure(tick="1h")
    site.upload("well")
    with start_without_inotify(site, limit) as service:
        for number in range(2):
            # No tick looks at the index meanwhile, only the follower itself, which asks for inotify each time.
            service.until(lambda number=number: opened(service) > number, "the index")  # type: ignore[misc]
            do("mv", site.index, f"{site.index}.{number}")
            site.upload(f"quiet-{number}", minutes_ago=45)
        service.until(lambda: opened(service) > 2, "the index")
        site.configure()
        service.reload()
        service.until(lambda: len(site.alerted()) == 2, "the alerts")
        warnings = service.events("inotify not available, polling every 2 s")

    assert [line["reason"] for line in warnings] == [reason]


@pytest.mark.fault("B11", rig="files", says="the path is a symbolic link, and is swapped (ln -s; mv -T)")
async def test_B11_symlink_swapped(site: Site) -> None:
    """What the link pointed to is drained, then what it points to now is read, back and forth."""
    link, targets = site.index, [site.directory / "a", site.directory / "b"]
    link.symlink_to(targets[1])
    rig = Rig(site)
    seen, written = [], []
    for number in range(4):
        target = targets[number % 2]
        target.unlink(missing_ok=True)
        append(target, row(f"{number}-first"))
        do("ln", "-s", target.name, f"{link}.new")
        do("mv", "-T", f"{link}.new", link)
        seen += await rig.look()
        append(target, row(f"{number}-last"))  # not looked at until the link has been swapped
        written += [f"{number}-first", f"{number}-last"]
    seen += await rig.look()
    await rig.follower.close()

    assert seen == written


@pytest.mark.fault("B12", rig="files", says="deleted while it is open")
async def test_B12_deleted_while_open(site: Site, rig: Rig) -> None:
    """What was still written to it is read, the descriptor is given back, and the next file is waited for."""
    site.upload("first")
    await rig.look()
    with site.index.open("ab", buffering=0) as writer:
        do("rm", site.index)
        writer.write(row("late"))
        late = await rig.look()
    held = open_files()
    phase = rig.state.phase
    site.upload("next")

    assert late == ["late"]
    assert phase is Phase.WAITING
    assert not [name for name in held if name.startswith(str(site.index))]
    assert await rig.look() == ["next"]


@pytest.mark.fault("B13", rig="files", says="a line without end")
async def test_B13_line_without_end(site: Site, rig: Rig) -> None:
    """It is cut at 1 MiB, passed over up to its newline as it comes, counted once, and the next row is read."""
    site.upload("before")
    seen = await rig.look()
    for _ in range(5):
        append(site.index, b"x" * (700 << 10))
        seen += await rig.look()
    append(site.index, b"\n" + row("after"))
    seen += await rig.look()

    assert seen == ["before", "after"]
    assert rig.rejected == {f"line longer than {LINE_LIMIT} bytes": 1}


@pytest.mark.parametrize("size", [1, 4096, MIB - 1, MIB, 3 * MIB + 5])
@pytest.mark.fault("B14", rig="files", says="a run of NUL, as a power cut leaves it")
async def test_B14_run_of_nul(size: int, site: Site, rig: Rig) -> None:
    """It is passed over and counted; the row right behind it is read, however long the run."""
    site.upload("before")
    do("truncate", f"--size=+{size}", site.index)  # grown, and not filled
    seen = await rig.look()
    site.upload("behind", "after")
    seen += await rig.look()

    assert seen == ["before", "behind", "after"]
    assert sum(rig.rejected.values()) >= 1


@pytest.mark.parametrize(
    ("written", "hosts", "rejected"),
    [
        pytest.param(b"\xef\xbb\xbf" + row("a") + row("b"), ["a", "b"], 0, id="a BOM at the start"),
        pytest.param((row("a") + row("b")).replace(b"\n", b"\r\n"), ["a", "b"], 0, id="CRLF"),
        pytest.param(row("a") + b'{"host_id": "\xff\xfe"}\n' + row("b"), ["a", "b"], 1, id="invalid UTF-8"),
        pytest.param(
            row("a") + row("x").replace("ü".encode(), b"\xfc") + row("b"),
            ["a", "b"],
            1,
            id="Latin-1 in what is skipped",
        ),
        pytest.param(row("a").replace(b"<", b"\x0b\x0c\x85".decode("latin-1").encode()), [], 1, id="controls"),
        pytest.param(row("a").replace(b"<", "\u2028\u2029\u0085".encode()), ["a"], 0, id="other line separators"),
        pytest.param(row("a").decode().encode("utf-16") + b"\n" + row("b"), ["b"], 1, id="UTF-16"),
    ],
)
@pytest.mark.fault("B15", rig="files", says="BOM, CRLF, U+2028, other encodings")
async def test_B15_odd_encodings(written: bytes, hosts: list[str], rejected: int, site: Site, rig: Rig) -> None:
    """Lines end at the newline alone; what is not UTF-8 is counted and never fatal, and the rows around it are read."""
    append(site.index, written)

    assert await rig.look() == hosts
    assert min(sum(rig.rejected.values()), 1) == rejected
    site.upload("next")
    assert await rig.look() == ["next"]
    assert rig.state.phase is Phase.FOLLOWING


@contextmanager
def fifo(path: Path) -> Iterator[None]:
    """Put a FIFO at a path; whoever hangs in it is set free in the end."""
    do("mkfifo", path)
    try:
        yield
    finally:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


@contextmanager
def directory(path: Path) -> Iterator[None]:
    """Put a directory at a path."""
    path.mkdir()
    yield


@contextmanager
def device(path: Path) -> Iterator[None]:
    """Put a link to an endless device at a path."""
    path.symlink_to("/dev/zero")
    yield


@contextmanager
def gzip_file(path: Path) -> Iterator[None]:
    """Put a compressed index at a path."""
    path.write_bytes(gzip.compress(row("compressed")))
    yield


@pytest.mark.parametrize(
    ("put", "kind"),
    [(fifo, "a FIFO"), (directory, "a directory"), (device, "a character device"), (gzip_file, "a gzip file")],
    ids=["FIFO", "directory", "device", "gzip"],
)
@pytest.mark.fault("B17", rig="files", says="a FIFO, a directory, a device, a gzip file at the path")
async def test_B17_no_file_of_lines(
    put: Callable[[Path], AbstractContextManager[None]], kind: str, site: Site, rig: Rig
) -> None:
    """It is refused, said once and shown with what it is, never hung in; the real index is read when it comes."""
    site.upload("before")
    await rig.look()
    site.index.rename(f"{site.index}.1")
    with capture_logs() as logs, put(site.index):
        for _ in range(2):
            assert await rig.look() == []
        refused = (rig.state.phase, rig.state.reason)
    site.index.rename(f"{site.index}.odd")
    site.upload("after")
    said = [line["reason"] for line in logs if line["log_level"] == "warning"]

    assert refused[0] is Phase.REFUSED
    assert kind in refused[1]
    assert said == [refused[1]]
    assert await rig.look() == ["after"]


# Root without its privileges is a user like others: it may not read what another keeps to himself.
UNPRIVILEGED = """
import ctypes

version_3, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
if ctypes.CDLL(None).capset(version_3, none):
    sys.exit("capset failed")
"""


@pytest.mark.fault("B18", rig="another user", says="the new file after a rotation may not be read")
def test_B18_permission_denied_after_rotation(
    site: Site, start_altered_service: Callable[[Site, str], Service], do_without: DoWithout
) -> None:
    """STATUS and the log say that it is refused, and what would mend it; it is followed as soon as it may be read."""
    if os.geteuid() != 0:
        do_without("only root can give a file to somebody else")
    site.upload("well")
    with start_altered_service(site, UNPRIVILEGED) as service:
        service.until(lambda: "index following" in service.notify.status, "the index")
        new = site.directory / "new"
        new.write_bytes(row("quiet", minutes_ago=45))
        os.chown(new, 65_534, 65_534)
        new.chmod(0o600)
        do("mv", site.index, f"{site.index}.1")
        do("mv", new, site.index)
        service.until(lambda: "index refused" in service.notify.status, "the refusal")
        status = service.notify.status
        said = service.events("source not available")
        service.until_evaluated_anew()
        before = site.alerted()
        do("chmod", "0644", site.index)
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        service.until(lambda: "index following" in service.notify.status, "the index")

    assert f"{site.index}: permission denied; let the user of this service read it" in status
    assert [line["state"] for line in said if line["source"] == "index"] == ["refused"]
    assert before == []
