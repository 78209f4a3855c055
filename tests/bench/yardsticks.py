"""What our figures are held against: the neighbours' programs, and the plain ways to do the same work."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from systemd import journal

from fleet_health.__main__ import NOT_NEEDED
from fleet_health.demo.journal import RECEIVER_UNIT
from tests.bench.measuring import Missing, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.data import JournalFacts

IMPORTS = "import asyncio, structlog, systemd.journal, msgspec"
"""The least that the service has to load."""
_WITHOUT_THE_REST = f"import sys; sys.modules |= dict.fromkeys({NOT_NEEDED['run']})"

FAILREGEX = r'^\S* ?\S+ uvicorn\[\d+\]: INFO:\s+<ADDR>:\d+ - "PUT /v1/episodes/[^/]+/[^"]+ HTTP/1\.1" [45]\d\d'
"""Finds what fail2ban would count: the refusals."""

MTAIL_PROGRAM = r"""
gauge last_upload by host

/"host_id": "(?P<host>[^"]+)".*"received_at_wall": "(?P<date>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})/ {
  strptime($date, "2006-01-02T15:04:05")
  last_upload[$host] = timestamp()
}
"""


def journalctl(directory: Path, facts: JournalFacts) -> float:
    """Return the entries a second of `journalctl -u` into /dev/null."""
    program = find("journalctl")
    command = [program, "--directory", str(directory), "--unit", RECEIVER_UNIT, "--output", "cat", "--quiet"]
    return facts.of_unit / cpu_seconds_of(command)


def fail2ban_regex(directory: Path, facts: JournalFacts, scratch: Path) -> float:
    """Return the entries a second of fail2ban-regex, looking for refusals."""
    program = find("fail2ban-regex")
    needs_systemd_for_fail2ban()
    rules = scratch / "failregex.conf"
    rules.write_text(f"[Definition]\nfailregex = {FAILREGEX}\n")
    before = cpu_of_children()
    run = subprocess.run(
        [
            program,
            "--print-no-missed",
            "--journalmatch",
            f"_SYSTEMD_UNIT={RECEIVER_UNIT}",
            f"systemd-journal[journalpath={directory}]",
            str(rules),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = cpu_of_children() - before
    figures = re.search(r"Lines: (\d+) lines, \d+ ignored, (\d+) matched", run.stdout)
    assert figures is not None, run.stdout
    counted("fail2ban-regex", int(figures[1]), facts.of_unit)
    counted("fail2ban-regex's failregex", int(figures[2]), facts.refused)
    return facts.of_unit / seconds


def iterate_reader(directory: str) -> tuple[float, int]:
    """Iterate `journal.Reader` with the same matches; return the seconds and the number of entries."""
    started_at = time.process_time()
    reader = journal.Reader(path=directory)
    reader.add_match(_SYSTEMD_UNIT=RECEIVER_UNIT)
    reader.add_disjunction()
    reader.add_match(_PID="1", UNIT=RECEIVER_UNIT)
    count = sum(1 for _ in reader)
    reader.close()
    return time.process_time() - started_at, count


def scan_index(path: str, clock: str = "perf_counter") -> tuple[float, int, int]:
    """Read an index whole, as one would at first; return the seconds, the number of rows and that of hosts.

    The seconds are those of a clock of the module `time`.
    """
    now: Callable[[], float] = getattr(time, clock)
    started_at = now()
    last: dict[str, datetime] = {}
    count = 0
    with Path(path).open() as file:
        for line in file:
            row = json.loads(line)
            last[row["host_id"]] = datetime.fromisoformat(row["received_at_wall"])
            count += 1
    return now() - started_at, count, len(last)


def mtail_once(index: Path, rows: int, hosts: int, scratch: Path) -> float:
    """Return the rows a second of mtail over the whole index."""
    program = find("mtail")
    command = [program, "--one_shot", "--progs", str(mtail_programs(scratch)), "--logs", str(index), "--logtostderr"]
    before = cpu_of_children()
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = cpu_of_children() - before
    counted("mtail", len(set(re.findall(r"lab-\d{5}", run.stdout))), hosts)
    return rows / seconds


def mtail_programs(scratch: Path) -> Path:
    """Write the directory with mtail's program."""
    programs = scratch / "mtail"
    programs.mkdir(exist_ok=True)
    (programs / "last-upload.mtail").write_text(MTAIL_PROGRAM)
    return programs


def count_lines(index: Path, rows: int) -> float:
    """Return the rows a second of `wc -l`."""
    return rows / cpu_seconds_of([find("wc"), "-l", str(index)])


def import_libraries() -> float:
    """Return the seconds in which Python starts, imports the least there is to import, and ends."""
    return seconds_of([sys.executable, "-c", f"{_WITHOUT_THE_REST}; {IMPORTS}"])


def write_and_sync(path: Path, data: bytes) -> float:
    """Return the seconds of one write and one fsync at the end of a file."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        started_at = time.perf_counter()
        os.write(fd, data)
        os.fsync(fd)
        return time.perf_counter() - started_at
    finally:
        os.close(fd)


@contextmanager
def fail2ban_server(journal_directory: Path, scratch: Path) -> Iterator[int]:
    """Let fail2ban-server follow a journal, counting refusals and doing nothing about them; return its pid."""
    program = find("fail2ban-server")
    needs_systemd_for_fail2ban()
    config = scratch / "fail2ban"
    for place in ("filter.d", "action.d", "jail.d", "fail2ban.d"):
        (config / place).mkdir(parents=True, exist_ok=True)
    (config / "fail2ban.conf").write_text(
        "[Definition]\nloglevel = ERROR\nlogtarget = STDERR\nsyslogsocket = auto\n"
        f"socket = {config}/socket\npidfile = {config}/pid\ndbfile = {config}/db.sqlite3\n"
        "dbpurgeage = 1d\ndbmaxmatches = 10\n"
    )
    (config / "filter.d" / "receiver.conf").write_text(f"[Definition]\nfailregex = {FAILREGEX}\n")
    # It reads `findtime` of the past at its start. What is measured is how it follows, so that is kept short.
    (config / "jail.conf").write_text(
        f"[receiver]\nenabled = true\nbackend = systemd[journalpath={journal_directory}]\nfilter = receiver\n"
        f"journalmatch = _SYSTEMD_UNIT={RECEIVER_UNIT}\nmaxretry = 1000000\nfindtime = 10\nbantime = 1\n"
    )
    with _running([program, "-f", "-c", str(config), "start"]) as pid:
        yield pid


@contextmanager
def mtail(index: Path, scratch: Path) -> Iterator[int]:
    """Let mtail follow an index; return its pid."""
    command = [find("mtail"), "--progs", str(mtail_programs(scratch)), "--logs", str(index)]
    with _running([*command, "--address", "127.0.0.1", "--port", "0", "--log_dir", str(scratch)]) as pid:
        yield pid


@contextmanager
def idle_imports() -> Iterator[int]:
    """Start a process that imports what the service imports from others, and waits; return its pid."""
    imports = f"{_WITHOUT_THE_REST}; {IMPORTS}, asyncinotify, aiofiles, aiofiles.os, systemd.daemon"
    with _running([sys.executable, "-c", f"{imports}; asyncio.run(asyncio.sleep(86_400))"]) as pid:
        yield pid


def find(program: str) -> str:
    """Return the path of a program.

    Raises:
        Missing: It is not installed.

    """
    path = shutil.which(program)
    if path is None:
        raise Missing(f"{program} is not installed")
    return path


def needs_systemd_for_fail2ban() -> None:
    """See whether fail2ban, which runs on the system's Python, can read a journal there.

    Raises:
        Missing: It cannot.

    """
    if subprocess.run(
        ["/usr/bin/python3", "-c", "import systemd.journal"], capture_output=True, check=False
    ).returncode:
        raise Missing("fail2ban reads no journal: python3-systemd is not installed")


def cpu_of_children() -> float:
    """Return the seconds that the children which have ended were on a processor. A busy machine adds little to them."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds_of(command: Sequence[str]) -> float:
    """Run a command to its end, what it writes going to /dev/null; return the seconds."""
    started_at = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started_at


def cpu_seconds_of(command: Sequence[str]) -> float:
    """Return how long a program that says nothing of interest was on a processor."""
    before = cpu_of_children()
    seconds_of(command)
    return cpu_of_children() - before


def lines_of(command: Sequence[str]) -> int:
    """Run a command to its end; return the number of lines that it writes."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        return sum(1 for _ in process.stdout)


@contextmanager
def _running(command: Sequence[str]) -> Iterator[int]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield process.pid
        assert process.poll() is None, f"{command[0]} has ended with status {process.returncode}"
    finally:
        process.kill()  # asked politely while it starts, fail2ban-server may never end
        process.wait()
