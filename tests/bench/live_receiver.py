"""A receiver at work: a row of the index and an access line in a real journal for each upload, at an even rate.

python tests/bench/live_receiver.py INDEX JOURNAL_FILE HOSTS RATE
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.data import Entries, Rows, host_names, start_journal_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE_S = 0.001


@contextmanager
def live_receiver(index: Path, journal_file: Path, *, hosts: int, rate: int) -> Iterator[None]:
    """Let a receiver take so many uploads a second for as long as the context lasts; none if the rate is 0."""
    if not rate:
        yield
        return
    process = subprocess.Popen([sys.executable, __file__, index, journal_file, str(hosts), str(rate)])
    try:
        yield
        assert process.poll() is None, "the receiver has ended"
    finally:
        process.terminate()
        process.wait()


def receive(index: Path, journal_file: Path, hosts: int, rate: int) -> None:
    """Take uploads until somebody ends us."""
    rows, entries = Rows(host_names(hosts)), Entries(host_names(hosts), others=0)
    writer = start_journal_writer(journal_file)
    assert writer.stdin is not None
    started_at = time.monotonic()
    done = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with writer, index.open("ab", buffering=0) as file:
        while True:
            due = int((time.monotonic() - started_at) * rate)
            for number in range(done, due):
                now_us = time.time_ns() // 1000
                writer.stdin.write(entries.next(now_us))
                writer.stdin.flush()
                file.write(rows.row(number, now_us))
            done = due
            time.sleep(max(_PAUSE_S, started_at + (due + 1) / rate - time.monotonic()))


if __name__ == "__main__":
    receive(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
