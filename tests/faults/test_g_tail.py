"""The faults of the tail by their kinds (G17 to G19): rotation by any scheme, compression, and what a place hides."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.loading import load
from fleet_health.service import clock
from fleet_health.sources.index import open_file
from fleet_health.sources.index.once import read_every_row
from fleet_health.sources.state import Phase
from tests.rig.index_rig import IndexRig
from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import Service
from tests.rig.site import index_row, now_us

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.config.schema import IndexSettings
    from fleet_health.model.observation import Upload
    from tests.conftest import DoWithout, RunCommand, Site, StartService

DAY_US = 86_400_000_000


class Rig(IndexRig):
    """A follower of a site's index."""

    def __init__(self, site: Site, rotated: Sequence[str] = ()) -> None:
        super().__init__(index_settings(site, rotated), DAY_US)


def index_settings(site: Site, rotated: Sequence[str] = ()) -> IndexSettings:
    """Return the settings of a site's index."""
    options: dict[str, tuple[str, Any]] = {"index.path": ("", str(site.index)), "index.rotated": ("", list(rotated))}
    return load(None, options).receivers[0].index


async def first_look(site: Site, rotated: Sequence[str] = ()) -> list[str]:
    """Return the hosts that a follower finds which begins now."""
    rig = Rig(site, rotated)
    hosts = await rig.look()
    assert await rig.look() == []
    await rig.follower.close()
    return hosts


def read_once(site: Site, rotated: Sequence[str] = ()) -> tuple[list[str], dict[Path, str]]:
    """Return the hosts that a command finds, and what it could not read."""
    uploads: list[Upload] = []
    unread = read_every_row(index_settings(site, rotated), 0, uploads.extend).unread
    return [upload.host for upload in uploads], unread


def packed_by_program(program: str) -> Callable[[bytes], bytes]:
    """Return what compresses by a program."""
    return lambda data: subprocess.run([program, "--stdout"], input=data, stdout=subprocess.PIPE, check=True).stdout


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": packed_by_program("zstd"),
}


@pytest.fixture
def zstd(do_without: DoWithout) -> None:
    """Skip where zstd is not installed."""
    if shutil.which("zstd") is None:
        do_without("zstd is not installed")


def rotate(site: Site) -> None:
    """Let logrotate rotate the index; then let a while pass, for `%s` would give the next file the same name."""
    state, configuration = site.directory / "logrotate.state", site.directory / "logrotate.conf"
    subprocess.run(["logrotate", "--force", "--state", state, configuration], check=True)
    for file in sorted([*site.directory.glob("index*"), *(site.directory / "old").iterdir()]):
        file.rename(re.sub(r"1\d{9}", lambda second: str(int(second[0]) - 1000), str(file)))


def pack(source: str, target: str, size: int | None = None) -> None:
    """Compress a file into another one, or so much of it."""
    Path(target).write_bytes(gzip.compress(Path(source).read_bytes())[:size])


# What logrotate is told -> the globs that are needed beside the defaults.
SCHEMES: dict[str, Sequence[str]] = {
    "create": (),
    "nocreate": (),
    "create\ncompress": (),
    "create\ncompress\ndelaycompress": (),
    "nocreate\ncompress": (),
    "copytruncate": (),
    "copytruncate\ncompress": (),
    "copy": (),
    "dateext\ndateformat -%Y%m%d-%s\ncreate": (),
    "dateext\ndateformat -%Y-%m-%d_%H-%s\ncreate": (),
    "dateext\ndateformat .%s\ncreate\ncompress": (),
    "extension .jsonl\ncreate": (),
    "extension .jsonl\ndateext\ndateformat -%Y-%m-%d_%H-%s\nnocreate\ncompress": (),
    "addextension .bak\ncreate": (),
    "addextension .jsonl\ncreate\ncompress": (),
    "compress\ncompresscmd /usr/bin/zstd\ncompressext .zst\ncreate": (),
    "olddir old\ncreate": ["old/*"],
    "olddir old\ndateext\ndateformat -%s\nnocreate\ncompress": ["old/index.jsonl-*"],
    "olddir old\ncopytruncate\nextension .jsonl": ["old/*"],
}


@pytest.mark.parametrize("looks", [True, False], ids=["seen between", "two rotations between two looks"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.usefixtures("zstd")
@pytest.mark.fault("G17", rig="logrotate")
async def test_G17_rotated_by_any_scheme(scheme: str, site: Site, do_without: DoWithout, *, looks: bool) -> None:
    """Whatever logrotate is told to do, no row is lost, none is given twice, and a later start finds every row."""
    if shutil.which("logrotate") is None:
        do_without("logrotate is not installed")
    (site.directory / "old").mkdir()
    configuration = site.directory / "logrotate.conf"
    configuration.write_text(f"{site.index} {{\nsu root root\nrotate 9\nmissingok\n{scheme}\n}}\n")
    configuration.chmod(0o600)
    site.index.touch()
    rig, written, seen = Rig(site, SCHEMES[scheme]), [], []
    seen += await rig.look()
    for number in range(4):
        hosts = [f"{number}-{which}" for which in ("first", "last")]
        site.upload(*hosts)
        written += hosts
        rotate(site)
        if looks or number % 2:
            seen += await rig.look()
    await rig.follower.close()

    assert sorted(seen) == sorted(written)
    assert rig.state.phase is Phase.FOLLOWING
    assert rig.state.unread == {}
    found = await first_look(site, SCHEMES[scheme])
    assert sorted(set(found)) == sorted(written)
    once, unread = read_once(site, SCHEMES[scheme])
    assert sorted(set(once)) == sorted(written)
    assert unread == {}


HEADER = json.dumps({"schema": 1}).encode() + b"\n"


class Writing:
    """A receiver and a rotation that do what chance tells them to, each in its own way."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site, self.chance = site, chance
        self.how = chance.choice(["create", "nocreate", "copytruncate"])
        self.compresses = chance.choice([0, 1, 2])  # which of the files; 2 is with `delaycompress`
        self.suffix = chance.choice(["", ".jsonl"])  # in front of it is the number
        self.held: int | None = None
        self.header = chance.choice([b"", HEADER])
        self.hosts: list[str] = []

    def upload(self) -> None:
        """Append some rows to the file at the path, or to the one that is still open."""
        for _ in range(self.chance.randrange(1, 4)):
            self.hosts.append(f"host-{len(self.hosts)}")
            row = index_row(self.hosts[-1], now_us())
            if self.held is not None and self.how != "copytruncate":
                os.write(self.held, row)
            else:
                self.begin()
                with self.site.index.open("ab") as file:
                    file.write(row)

    def begin(self) -> None:
        """Write the header if the file at the path has no line."""
        if self.held is None:
            with self.site.index.open("ab") as file:
                file.write(b"" if file.tell() else self.header)

    def open_or_close(self) -> None:
        """Keep the file that is at the path open from now on, or no longer."""
        if self.held is not None:
            os.close(self.held)
            self.held = None
        elif self.site.index.exists():
            self.held = os.open(self.site.index, os.O_WRONLY | os.O_APPEND)

    def rotate(self) -> None:
        """Rotate as logrotate does."""
        if not self.site.index.exists():
            return
        for number in range(len(self.hosts) + 20, 0, -1):
            for end in ("", ".gz"):
                if (file := Path(self.name(number) + end)).exists():
                    file.rename(self.name(number + 1) + end)
        if self.how == "copytruncate":
            shutil.copyfile(self.site.index, self.name(1))
            os.truncate(self.site.index, 0)
        else:
            self.site.index.rename(self.name(1))
            if self.how == "create":
                self.site.index.touch()
        plain = Path(self.name(self.compresses))
        if self.compresses and plain.exists() and self.held is None:
            pack(str(plain), f"{plain}.gz")
            plain.unlink()

    def name(self, number: int) -> str:
        """Return what a rotated file is called."""
        return f"{str(self.site.index).removesuffix(self.suffix)}.{number}{self.suffix}"


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.fault("G17", rig="files", says="rotations, uploads and looks in any order")
async def test_G17_in_any_order_each_row_is_given_once(seed: int, site: Site) -> None:
    """Whatever the receiver, logrotate and we do in turn, no row is lost, none comes twice, and none is rejected."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    writing, rig, seen = Writing(site, chance), Rig(site), []
    for _ in range(chance.randrange(5, 40)):
        step = chance.choice(
            [writing.upload] * 3 + [writing.rotate] * 2 + [writing.open_or_close, writing.begin, None, None]
        )
        if step is None:
            seen += await rig.look()
        else:
            step()
    writing.upload()
    seen += await rig.look()
    await rig.follower.close()
    if writing.held is not None:
        writing.open_or_close()

    assert sorted(seen) == sorted(writing.hosts)
    assert rig.state.rejections.total == 0 or writing.header
    assert set(await first_look(site)) == set(writing.hosts)
    assert set(read_once(site)[0]) == set(writing.hosts)


@pytest.mark.parametrize("is_absolute", [False, True])
@pytest.mark.fault("G17", rig="files", says="the path is a link, and what it leads to is rotated, in its own directory")
async def test_G17_the_rotations_of_a_links_target(site: Site, *, is_absolute: bool) -> None:
    """They are found where they are, by the name of the link or of its target, also when the target's has a date."""
    data = site.directory / "data"
    data.mkdir()
    link, site.index = site.index, data / "episodes-20261125.jsonl"
    site.upload("dated-before")
    site.index = data / "episodes-20261126.jsonl.1.gz"
    site.index.write_bytes(gzip.compress(index_row("packed", now_us())))
    site.index = data / "index.jsonl.1"
    site.upload("by-the-links-name")
    site.index = data / "episodes-20261126.jsonl"
    site.upload("now")
    link.symlink_to(site.index if is_absolute else "data/episodes-20261126.jsonl")
    site.index = link

    assert sorted(await first_look(site)) == ["by-the-links-name", "dated-before", "now", "packed"]


@pytest.mark.fault("G17", rig="files", says="another name than any scheme gives")
async def test_G17_files_that_match_a_glob(site: Site) -> None:
    """What `index.rotated` matches is read, once each; neither the index itself nor what is no file."""
    elsewhere = site.directory / "elsewhere"
    (elsewhere / "directory").mkdir(parents=True)
    site.index, index = elsewhere / "monday", site.index
    site.upload("monday")
    os.link(site.index, elsewhere / "monday-again")
    site.index = index
    site.upload("now")
    globs = [str(elsewhere / "*"), "elsewhere/mon*", "index*"]

    assert sorted(await first_look(site, globs)) == ["monday", "now"]


@pytest.mark.fault(
    "G17", rig="files", says="moved to directories of their own, at any depth, which a glob with `**` finds"
)
async def test_G17_files_in_directories_of_any_depth(site: Site) -> None:
    """`**` stands for any directories, none of them included."""
    archive = site.directory / "archive"
    (archive / "2026" / "11").mkdir(parents=True)
    for name in ("2026/11/27.jsonl", "2026/old.jsonl", "older.jsonl"):
        site.upload(name)
        site.index.rename(archive / name)
    site.upload("now")

    assert sorted(await first_look(site, ["archive/**/*.jsonl"])) == [
        "2026/11/27.jsonl".replace("/", "%2F"),
        "2026%2Fold.jsonl",
        "now",
        "older.jsonl",
    ]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.fault("G17", rig="files", says="all files begin with the same header")
async def test_G17_files_that_begin_alike(site: Site, suffix: str, *, looks: bool) -> None:
    """Each row is read once, by a follower and by a reader that starts later."""
    header = json.dumps({"schema": "-" * 1000}).encode() + b"\n"
    rig, seen = Rig(site), []
    for number in range(3):
        site.index.write_bytes(header)
        if looks:
            seen += await rig.look()
        site.upload(f"host-{number}")
        if looks or not number:
            seen += await rig.look()
        if number < 2:
            rotated = site.index.rename(site.directory / f"index.jsonl.{2 - number}")
            if suffix:
                pack(str(rotated), f"{rotated}.gz")
                rotated.unlink()
    seen += await rig.look()
    await rig.follower.close()

    assert sorted(seen) == ["host-0", "host-1", "host-2"]
    assert sorted(await first_look(site)) == sorted(seen)
    assert sorted(read_once(site)[0]) == sorted(seen)


@pytest.mark.fault("G17", rig="files", says="a rotation that is taken back, while its writer goes on")
async def test_G17_a_file_that_comes_back_to_the_path(site: Site) -> None:
    """It is read on where it was left, and nothing of it is counted again."""
    rig, seen = Rig(site), []
    site.upload("a", "b")
    seen += await rig.look()
    rotated = site.index.rename(site.directory / "index.jsonl.1")
    site.upload("c")
    seen += await rig.look()
    rotated.rename(site.index)
    site.upload("d")
    seen += await rig.look()
    site.upload("e")
    seen += await rig.look()
    await rig.follower.close()

    assert seen == ["a", "b", "c", "d", "e"]
    assert rig.state.read == len(seen)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.fault(
    "G17", rig="files", says="a mirror of the index: every file in it is a new one, also the rotated ones"
)
async def test_G17_a_mirror_that_rotates(site: Site, suffix: str) -> None:
    """Of the copy under the rotated name only what its file did not hold before is read, also if it is compressed."""
    site.upload("a", "b")
    rig = Rig(site)
    seen = await rig.look()
    rows = site.index.read_bytes() + index_row("c", now_us())
    rotated = site.directory / f"index.jsonl.1{suffix}"
    rotated.write_bytes(gzip.compress(rows) if suffix else rows)
    (site.directory / "tmp").write_bytes(index_row("d", now_us()))
    (site.directory / "tmp").rename(site.index)
    seen += await rig.look()
    await rig.follower.close()

    assert seen == ["a", "b", "c", "d"]
    assert rig.state.read == len(seen)


@pytest.mark.fault("G17", rig="files", says="nothing at the path, and rotated files beside it")
async def test_G17_rotated_away_before_the_first_look(site: Site) -> None:
    """It is no missing index: it is read, with what its writer still adds to it, until there is a new one."""
    with site.index.open("ab", buffering=0) as writer:
        writer.write(index_row("a", now_us()))
        site.index.rename(f"{site.index}.1")
        rig = Rig(site)
        first, phase = await rig.look(), rig.state.phase
        writer.write(index_row("b", now_us()))
        second = await rig.look()
    site.upload("c")
    third = await rig.look()
    await rig.follower.close()

    assert (first, second, third) == (["a"], ["b"], ["c"])
    assert phase is Phase.FOLLOWING
    assert read_once(site)[0] == ["a", "b", "c"]


@pytest.mark.fault("G17", rig="files", says="removed, not rotated, beside older rotated files")
async def test_G17_an_index_that_is_removed_is_missing(site: Site) -> None:
    """Only where the file that was last at the path is among the rotated ones, nothing is missing."""
    site.upload("old")
    site.index.rename(f"{site.index}.1")
    site.upload("new")
    rig = Rig(site)
    first = await rig.look()
    site.index.rename(site.directory / "kept")
    await rig.look()
    (site.directory / "kept").unlink()
    await rig.look()
    missing = rig.state.phase
    pack(f"{site.index}.1", f"{site.index}.2.gz")
    await rig.look()
    await rig.follower.close()

    assert first == ["old", "new"]
    assert (missing, rig.state.phase) == (Phase.WAITING, Phase.WAITING)


@pytest.mark.fault("G17", rig="service", says="nothing at the path for longer than blind_after, and `.1` beside it")
def test_G17_an_index_that_waits_for_its_next_row_is_not_blind(site: Site, start_service: StartService) -> None:
    """The host is known, and no alert is given."""
    site.configure('blind_after = "1s"')
    site.upload("well")
    site.index.rename(f"{site.index}.1")
    site.answer("well", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until_ready()
        time_of_start = time.monotonic()
        service.until(lambda: time.monotonic() - time_of_start > 1.2, "more than blind_after")
        service.until_evaluated_anew()
        status = service.notify.status

    assert "1 host" in status
    assert site.alerted() == []


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.usefixtures("zstd")
@pytest.mark.fault("G18", rig="files", says="a rotated file that is compressed")
async def test_G18_compressed_rotations_are_read(suffix: str, site: Site) -> None:
    """At a first start and by a command, with several parts in a file, and a last row without a newline."""
    packed = PACKINGS[suffix]
    rows = [index_row(f"host-{number}", now_us()) for number in range(30_000)]  # more than one read takes
    with open(f"{site.index}-20261125{suffix}", "wb") as file:  # noqa: ASYNC230, PTH123 - it is the test that waits
        file.write(packed(b"".join(rows[:1_000])) + packed(b"".join(rows[1_000:]).rstrip(b"\n")))
    site.upload("now")
    expected = [*(f"host-{number}" for number in range(30_000)), "now"]

    assert await first_look(site) == expected
    assert read_once(site) == (expected, {})


@pytest.mark.fault("G18", rig="files", says="compressed by a program whose files are not read")
async def test_G18_what_another_program_compressed_is_not_taken_for_lines(site: Site) -> None:
    """It is named, and counts as no rejected rows."""
    packed = site.directory / "index.jsonl.1.lz4"
    packed.write_bytes(b"\x04\x22\x4d\x18" + bytes(range(256)) * 100)
    site.upload("now")
    rig = Rig(site)
    reason = "compressed by lz4, which is not supported; use gzip, bzip2, xz or zstd"

    assert await rig.look() == ["now"]
    await rig.follower.close()
    assert rig.state.rejections.total == 0
    assert rig.state.unread == {str(packed): reason}
    assert read_once(site) == (["now"], {packed: reason})


@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.fault("G18", rig="files", says="compressed between two looks, or while both files are there")
async def test_G18_what_was_read_before_it_was_compressed_is_not_read_again(site: Site, *, is_seen: bool) -> None:
    """A compressed file is known by what it holds."""
    site.upload("a")
    rig = Rig(site)
    seen = await rig.look()
    plain = f"{site.index}.1"
    for host, packed in (("b", f"{site.index}.2.gz"), ("c", f"{site.index}.1.gz")):
        site.index.rename(plain)
        site.upload(host)
        seen += await rig.look() if is_seen else []
        pack(plain, f"{plain}.gz", 30)  # it is being made
        seen += await rig.look()
        pack(plain, packed)
        os.unlink(plain)  # noqa: PTH108 - a text
        seen += await rig.look()
    await rig.follower.close()

    assert seen == ["a", "b", "c"]
    assert rig.state.unread == {}


def _damaged(path: Path) -> str:
    data = gzip.compress(b"".join(index_row(f"host-{number}", now_us()) for number in range(30_000)))
    path.write_bytes(data[: len(data) // 2])
    return "damaged or incomplete"


def _bomb(path: Path) -> str:
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        for _ in range(300):
            packed.write(bytes(1 << 20))
    return "contains more than 2"


@pytest.mark.parametrize("make", [_damaged, _bomb])
@pytest.mark.fault("G18", rig="files", says="a compressed file that is damaged, or a bomb")
async def test_G18_what_cannot_be_read_is_named_and_stops_nothing(make: Callable[[Path], str], site: Site) -> None:
    """The rows of the other files are read, and which file was not read to its end is remembered with the reason."""
    packed = Path(f"{site.index}.1.gz")
    reason = make(packed)
    site.upload("now")
    rig = Rig(site)
    seen = await rig.look()
    await rig.follower.close()
    hosts, unread = read_once(site)

    assert seen[-1] == hosts[-1] == "now"
    assert list(unread) == [packed]
    assert unread[packed].startswith(reason)
    assert rig.state.unread == {str(packed): unread[packed]}
    assert "1 rotated file not read" in rig.state.summary(clock.now())


@pytest.mark.usefixtures("zstd")
@pytest.mark.fault("G18", rig="a process", says="the program that is needed is not installed")
def test_G18_a_missing_program_is_named_next_to_the_result(
    site: Site, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` and `replay` say which file they have not read, and why; with the program they find its hosts."""
    packed = Path(f"{site.index}.1.zst")
    packed.write_bytes(PACKINGS[".zst"](index_row("quiet", now_us() - 45 * 60_000_000)))
    site.upload("well")
    site.answer("well", 201)
    site.sync_journal()
    config = str(site.configure(tick="5m"))
    line = f"not read: {packed}: compressed by zstd, and the program zstd is missing; install it"
    monkeypatch.setenv("PATH", str(site.directory))
    check = run_command("check", "--config", config, "--dry-run")
    as_json = run_command("check", "--config", config, "--dry-run", "--json")
    replay = run_command("replay", "--config", config, "--since", "2h", "--no-pager")
    monkeypatch.undo()
    whole = run_command("check", "--config", config, "--dry-run")

    assert line in check.stdout.splitlines()
    assert "1 host checked" in check.stdout
    assert json.loads(as_json.stdout.splitlines()[-1])["unread"] == [
        {"file": str(packed), "reason": line.removeprefix(f"not read: {packed}: ")}
    ]
    assert line in replay.stdout.splitlines()
    assert "not read" not in whole.stdout
    assert "2 hosts checked" in whole.stdout


@pytest.mark.fault("G18", rig="a process", says="an outage in the compressed part of the index")
def test_G18_a_replay_finds_an_outage_in_compressed_rotations(site: Site, run_command: RunCommand) -> None:
    """An outage three days ago is found in files that have been compressed since."""
    now, hour = now_us(), 3_600_000_000
    rows = [(now - hours * hour, host) for hours in range(7 * 24) for host in ("a", "b")]
    rows = sorted((at, host) for at, host in rows if host == "b" or not 60 * hour <= now - at < 80 * hour)
    for day in range(6, 0, -1):
        part = [row for row in rows if day * 24 * hour <= now - row[0] < (day + 1) * 24 * hour]
        packed = Path(f"{site.index}.{day}.gz")
        packed.write_bytes(gzip.compress(b"".join(index_row(host, at) for at, host in part)))
        written_at = (now - day * 24 * hour) * 1000
        os.utime(packed, ns=(written_at, written_at))
    for at, host in rows:
        if now - at < 24 * hour:
            site.upload(host, at_us=at)
    site.answer("a", 201)
    site.sync_journal()
    config = site.configure('[detectors.silent]\nafter = "2h"', tick="30m")
    report = json.loads(run_command("replay", "--config", str(config), "--since", "6d", "--json").stdout)

    assert [(one["host"], one["symptom"]) for one in report["incidents"] if one["symptom"] == "silent"] == [
        ("a", "silent")
    ]
    assert report["unread"] == []


@pytest.mark.fault("G18", rig="a process", says="more rotated files than a process may have open at first")
def test_G18_a_replay_reads_any_number_of_rotated_files(site: Site) -> None:
    """A file for each hour makes thousands in a year."""
    for number in range(1, 100):
        Path(f"{site.index}.{number}").write_bytes(index_row("host", now_us()))
    site.upload("now")
    site.answer("now", 201)
    site.sync_journal()
    config = site.configure(tick="5m")
    limited = f"ulimit -S -n 80; exec {sys.executable} -m fleet_health replay --config {config} --since 10m --json"
    done = subprocess.run(["sh", "-c", limited], stdout=subprocess.PIPE, check=True)

    assert json.loads(done.stdout)["unread"] == []


@pytest.mark.fault("G18", rig="service", says="more rotated files than a process may have open at first")
def test_G18_the_service_and_a_check_read_any_number_of_rotated_files(site: Site) -> None:
    """Each is kept open for a while, and the journal can be read beside them."""
    site.upload("quiet", minutes_ago=45)
    for number in range(1, 100):
        Path(f"{site.index}.{number}").write_bytes(index_row(f"host-{number}", now_us()))
    site.upload("now")
    site.answer("now", 201)
    site.sync_journal()
    limits = "resource.setrlimit(resource.RLIMIT_NOFILE, (80, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))"
    program = f"import resource, sys\n{limits}\nfrom fleet_health.__main__ import main\nsys.exit(main())"
    arguments = ["check", "--dry-run", "--json", "--config", str(site.config)]
    checked = subprocess.run([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, check=False)
    with Service(site, {}, "-c", program) as service:
        service.until(lambda: ("quiet", "silent") in site.alerted(), "the alert")
        service.until(lambda: "101 hosts" in service.notify.status, "all hosts")

        assert "not read" not in service.notify.status
    assert json.loads(checked.stdout.splitlines()[-1])["unread"] == []


@pytest.mark.parametrize("is_regrown", [False, True])
@pytest.mark.parametrize("header", [b"", HEADER, HEADER * 9], ids=["no header", "a header", "a longer one"])
@pytest.mark.fault(
    "G19", rig="files", says="copied and truncated while our place is at its begin, or behind its header"
)
async def test_G19_truncated_while_our_place_is_at_the_begin(header: bytes, site: Site, *, is_regrown: bool) -> None:
    """No byte before our place can show it; what was written and cut-off meanwhile is read from the copy, once."""
    site.index.write_bytes(header)
    rig = Rig(site)
    seen, written = await rig.look(), []
    for number in range(3):
        site.upload(f"{number}-cut-off")
        shutil.copyfile(site.index, f"{site.index}.{number}")
        site.index.write_bytes(header)
        written.append(f"{number}-cut-off")
        if is_regrown:
            site.upload(f"{number}-new")
            written.append(f"{number}-new")
        seen += await rig.look()
        site.index.write_bytes(header)
        assert await rig.look() == []
    await rig.follower.close()

    assert seen == written


@pytest.mark.fault(
    "G19", rig="files", says="truncated and as long as before within one step of the file system's clock"
)
async def test_G19_truncated_and_regrown_to_the_same_size_and_time(site: Site) -> None:
    """It is noticed by what stands before our place, though neither size nor time show it."""
    site.upload("a", "b")
    rig = Rig(site)
    seen = await rig.look()
    before = site.index.stat()
    shutil.copyfile(site.index, f"{site.index}.1")
    os.truncate(site.index, 0)
    site.upload("c", "d")
    os.utime(site.index, ns=(before.st_atime_ns, before.st_mtime_ns))
    seen += await rig.look()
    await rig.follower.close()

    assert site.index.stat().st_size == before.st_size
    assert seen == ["a", "b", "c", "d"]


@pytest.mark.fault(
    "G19", rig="service", says="a power cut tears the last row, and the next is appended right behind it"
)
def test_G19_a_row_behind_a_torn_one_is_read(site: Site, start_service: StartService) -> None:
    """Its host is known; the torn one is counted as rejected."""
    site.upload("before", "torn")
    os.truncate(site.index, site.index.stat().st_size - 20)
    site.upload("behind")
    site.configure()
    with start_service(site) as service:
        service.until_ready()
        service.until(lambda: "2 hosts" in service.notify.status, "both hosts")

    assert sorted(read_once(site)[0]) == ["before", "behind"]


@pytest.mark.fault("G19", rig="files", says="copied, compressed and truncated behind our place")
async def test_G19_of_a_compressed_copy_only_what_was_cut_off_is_read(site: Site) -> None:
    """It is a copy of what was read already, up to our place."""
    site.upload("a", "b")
    rig = Rig(site)
    seen = await rig.look()
    site.upload("cut-off")
    pack(str(site.index), f"{site.index}.1.gz")
    os.truncate(site.index, 0)
    site.upload("new")
    seen += await rig.look()
    await rig.follower.close()

    assert seen == ["a", "b", "cut-off", "new"]


@pytest.mark.fault("G19", rig="files", says="copied, and not yet truncated, while our place is at its begin")
async def test_G19_a_copy_that_is_being_made_is_not_read_beside_its_original(site: Site) -> None:
    """Its rows are given once."""
    site.index.touch()
    rig = Rig(site)
    await rig.look()
    site.upload("a", "b")
    shutil.copyfile(site.index, f"{site.index}.1")
    seen = await rig.look()
    site.upload("c")
    shutil.copyfile(site.index, f"{site.index}.1")
    os.truncate(site.index, 0)
    seen += await rig.look()
    await rig.follower.close()

    assert seen == ["a", "b", "c"]


@pytest.mark.parametrize("size", [100_000, 3 << 20])
@pytest.mark.fault("G19", rig="files", says="its space was allocated in advance, by fallocate")
async def test_G19_rows_are_written_into_space_allocated_in_advance(size: int, site: Site) -> None:
    """Each is read when it is written, and the bytes behind it are neither a row nor a line without end."""
    rig, seen = Rig(site), []
    with site.index.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, size)
        for number in range(3):
            seen.append(await rig.look())
            file.write(index_row(f"host-{number}", now_us()))
    seen.append(await rig.look())
    await rig.follower.close()

    assert seen == [[], ["host-0"], ["host-1"], ["host-2"]]
    assert rig.rejected == {}
    assert await first_look(site) == ["host-0", "host-1", "host-2"]


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.fault("G19", rig="files", says="copied and truncated, and its writer goes on at the old offset")
async def test_G19_a_writer_that_does_not_append(site: Site, *, looks: bool) -> None:
    """So that each file and its copy begin with a hole: no row is lost, and none is given twice."""
    rig, seen, hosts = Rig(site), [], [f"host-{number}" for number in range(500)]
    with site.index.open("wb", buffering=0) as file:
        for number, host in enumerate(hosts):
            file.write(index_row(host, now_us()))
            if looks and number % 100 == 98:
                seen += await rig.look()
            if number % 100 == 99:
                shutil.copyfile(site.index, f"{site.index}.{number}")
                os.truncate(site.index, 0)
            if number % 200 == 199:
                seen += await rig.look()
    seen += await rig.look()
    await rig.follower.close()

    assert sorted(seen) == sorted(hosts)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("is_pieces", [False, True])
@pytest.mark.fault("G19", rig="files", says="a row whose newline comes with the next row")
async def test_G19_a_row_without_its_newline(
    end: bytes, site: Site, monkeypatch: pytest.MonkeyPatch, *, is_pieces: bool
) -> None:
    """It is read when it has stood for a while, and neither again nor as a blank line when its newline comes."""
    now = [0.0]
    monkeypatch.setattr(open_file, "time", SimpleNamespace(monotonic=lambda: now[0]))
    rig = Rig(site)

    async def look_after(seconds: float) -> list[str]:
        now[0] += seconds
        return await rig.look()

    site.index.write_bytes(index_row("a", now_us()).rstrip())
    assert await look_after(0) + await look_after(open_file.STANDING_S - 0.1) == []
    assert await look_after(0.1) == ["a"]
    assert await look_after(60) == []
    with site.index.open("ab", buffering=0) as file:
        for piece in [bytes([byte]) for byte in end] if is_pieces else [end]:
            file.write(piece)
            assert await look_after(1) == []
        file.write(index_row("b", now_us())[:20])
        assert await look_after(0) + await look_after(60) == []  # half a row is none, however long it stands
    monkeypatch.undo()
    await rig.follower.close()

    assert (rig.state.read, rig.state.rejections.total) == (1, 0)


@pytest.mark.fault("G19", rig="service", says="a receiver that writes the newline before each row")
def test_G19_the_service_reads_the_last_row_without_a_newline(site: Site, start_service: StartService) -> None:
    """The last row is read, and not one upload late."""
    site.configure()
    site.index.write_bytes(index_row("first", now_us()).rstrip())
    with start_service(site) as service:
        service.until_ready()
        service.until(lambda: "1 host" in service.notify.status, "the host")
        with site.index.open("ab") as file:
            file.write(b"\n" + index_row("second", now_us()).rstrip())
        service.until(lambda: "2 hosts" in service.notify.status, "the other host")
        status = service.notify.status

    assert "rejected" not in status


@pytest.mark.fault("G19", rig="files", says="a hole of 8 GiB")
async def test_G19_a_hole_is_not_read_byte_by_byte(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file system knows to be empty costs nothing; the row behind it is read."""
    read = [0]
    pread = os.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        data = pread(fd, count, offset)
        read[0] += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    site.upload("before")
    os.truncate(site.index, 8 << 30)
    rig = Rig(site)
    seen = await rig.look()
    site.upload("behind")
    seen += await rig.look()
    os.truncate(site.index, 9 << 30)
    seen += await rig.look()
    site.upload("last")
    seen += await rig.look()
    await rig.follower.close()

    assert seen == ["before", "behind", "last"]
    assert read[0] < 64 << 20
    assert 1 <= rig.state.rejections.total <= 4


REWRITES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "as it was": lambda lines: lines,
    "without its oldest rows": lambda lines: lines[5:],
    "without its last row": lambda lines: lines[:-1],
    "with an older row mended": lambda lines: [lines[0].replace(b"1000", b"100000"), *lines[1:]],
}


@pytest.mark.parametrize("is_atomic", [True, False], ids=["renamed over it", "in place"])
@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.fault("G19", rig="files", says="rewritten, by another file that is renamed over it, or in place")
async def test_G19_a_rewrite_counts_nothing_again(rewrite: str, site: Site, *, is_atomic: bool) -> None:
    """What was counted is not counted again, and what is new is read and counted."""
    rows = [index_row(f"host-{number}", now_us()) for number in range(10)]
    rows[6:6] = [b"not JSON\n", b"{}\n"]
    site.index.write_bytes(b"".join(rows))
    rig = Rig(site)
    await rig.look()
    read, rejected = rig.state.read, rig.state.rejections.total
    new = b"".join([*REWRITES[rewrite](rows), index_row("new", now_us()), b"not JSON either\n"])
    if is_atomic:
        (site.directory / "tmp").write_bytes(new)
        (site.directory / "tmp").rename(site.index)
    else:
        site.index.write_bytes(new)
        os.utime(site.index, ns=(1, 1))
    seen = await rig.look()
    site.upload("newer")
    seen += await rig.look()
    await rig.follower.close()

    assert (read, rejected) == (10, 2)
    assert seen[-2:] == ["new", "newer"]
    assert (rig.state.read, rig.state.rejections.total) == (12, 3)


@pytest.mark.fault("G19", rig="service", says="uploads since the last tick, a stop, and an index that is emptied")
def test_G19_an_orderly_stop_saves_what_was_read(site: Site, start_service: StartService) -> None:
    """Hosts that uploaded since the last evaluation are known after the start, though no row of them is left."""
    site.configure(tick="1h")
    site.upload("before")
    with start_service(site) as service:
        service.until_ready()
        site.upload("since")
        service.stop(signal.SIGTERM)
    site.index.write_bytes(b"")
    with start_service(site) as service:
        service.until_ready()
        service.until(lambda: "2 hosts" in service.notify.status, "both hosts")


ALERT_LOGS: dict[str, Callable[[bytes], bytes]] = {
    "alerts.jsonl.1": lambda data: data,
    "alerts.jsonl-2026-11-23_10": lambda data: data,
    "alerts.1.jsonl": lambda data: data,
    "alerts-20261126.jsonl.gz": gzip.compress,
    "alerts.jsonl.2.zst": PACKINGS[".zst"],
    "old/monday": lambda data: data,
    "old/monday.gz": gzip.compress,
}


@pytest.mark.parametrize("name", ALERT_LOGS)
@pytest.mark.usefixtures("zstd")
@pytest.mark.fault("G17", rig="a process", says="the alert log is rotated, and there is no state file")
def test_G17_a_check_repeats_no_alert_whatever_the_alert_log_was_rotated_to(
    name: str, site: Site, run_command: RunCommand
) -> None:
    """A check by a timer has only the alert log to know from what was notified this hour."""
    site.upload("quiet", minutes_ago=45)
    site.upload("well")
    site.answer("well", 201)
    site.sync_journal()
    config = str(site.configure('alerts.rotated = ["old/*"]'))
    first = run_command("check", "--config", config)
    (site.directory / "old").mkdir()
    rotated = site.directory / name
    rotated.write_bytes(ALERT_LOGS[name](site.alerts.read_bytes()))
    site.alerts.unlink()
    second = run_command("check", "--config", config)

    assert "1 new alert" in first.stdout
    assert "0 new alerts" in second.stdout
    assert site.alerted() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.fault("G17", rig="service", says="the alert log is rotated to a name that nobody could guess")
def test_G17_the_state_tells_what_was_notified_whatever_the_names(
    number: int, site: Site, start_service: StartService
) -> None:
    """After a start, and after a second one, no alert is given twice within the hour."""
    site.show_all_symptoms()
    site.sync_journal()
    site.configure()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until_evaluated_anew()
        service.stop(number)
    site.alerts.rename(site.directory / "somewhere-else")
    for _ in range(2):
        with start_service(site) as service:
            service.until_ready()
            service.until_evaluated_anew()
            service.stop(number)

    assert site.alerted() == []


STUCK_BETWEEN_DECISION_AND_DELIVERY = """
import time
from pathlib import Path
from fleet_health.daemon import composition
from fleet_health.service import ticker, witness

def with_samples(self, alerts):
    Path({is_stuck!r}).touch()
    while not Path({is_free!r}).exists():
        time.sleep(0.01)
    return alerts

witness.SettingsWitness.with_samples = with_samples
composition._LAST_LOOK_TIME = 1
"""


@pytest.mark.fault("G19", rig="service", says="a stop between the decision to notify and the delivery")
def test_G19_a_stop_saves_nothing_as_notified_that_is_not_delivered(
    site: Site, start_service: StartService, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """The alerts are given after the next start."""
    site.show_all_symptoms()
    site.sync_journal()
    stuck, free = site.directory / "is-stuck", site.directory / "is-free"
    code = STUCK_BETWEEN_DECISION_AND_DELIVERY.format(is_stuck=str(stuck), is_free=str(free))
    with start_altered_service(site, code) as service:
        service.until(stuck.exists, "the evidence")
        service.process.send_signal(signal.SIGTERM)
        service.until(lambda: service.events("stopping"), "the stop")
        free.touch()
        service.process.wait(PATIENCE_S)
    before = site.alerted()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")

    assert before == []
