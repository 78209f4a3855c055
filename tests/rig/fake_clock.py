"""A wall clock that a test sets while a service runs: libfaketime in front of the C library of that process alone.

Only the wall clock is moved: what time.monotonic() tells, and the times of files, are those of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_SITE = Path(__file__).parent / "faketime"


def find_libfaketime() -> Path | None:
    """Find the library of Debian's package libfaketime; None if it is not installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@dataclass
class FakeClock:
    """The clock of whoever is started with its environment.

    Attributes:
        library: The library.
        file: Holds by how much the clock is off; read anew whenever the time is asked for.
        offset_s: By how many seconds it is off; negative if it is behind.

    """

    library: Path
    file: Path
    offset_s: int = 0

    def __post_init__(self) -> None:
        self.set(self.offset_s)

    def set(self, offset_s: int) -> None:
        """Set the clock, at once."""
        self.offset_s = offset_s
        new = self.file.with_name(f"{self.file.name}.new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with to go by this clock."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else it takes timed waits by the monotonic clock for waits by the wall clock, long since over: threads
            # that wait for the interpreter lock would spin, with a hundred times the processor time of a service.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(_SITE),
        }
