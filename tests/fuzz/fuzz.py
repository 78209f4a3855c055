"""Look for lines that break a parser, or that take one longer than a millisecond, with atheris.

    pip install atheris
    python tests/fuzz/fuzz.py --seconds 600

What it finds is written to `tests/fuzz/corpus/found-….bin`; return it a name that says what it is.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if TYPE_CHECKING:
    from collections.abc import Callable


CORPUS = Path(__file__).resolve().parent / "corpus"
SLOW_S = 0.001
LONGEST = 16_384
_TRIES = 5


def main() -> int:
    """Fuzz for a while; return the exit status."""
    parser = argparse.ArgumentParser(description="Look for lines that break a parser or are slow.")
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="for how long (60)")
    options = parser.parse_args()
    try:
        import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
    except ImportError:
        sys.stderr.write("fuzz.py needs atheris, which is no dependency of the tests: pip install atheris\n")
        return 2
    with atheris.instrument_imports(include=["fleet_health.parsing", "json", "re"]):
        from tests.fuzz import targets  # noqa: PLC0415
    slowest = _time_corpus(targets)
    with tempfile.TemporaryDirectory(prefix="fleet-health-fuzz-") as work:
        # The first directory is the one that libFuzzer writes to; the corpus is only read.
        flags = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST}", "-timeout=10", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *flags, work, str(CORPUS)], lambda data: _try(targets, data))
        sys.stdout.write(f"slowest line of the corpus: {slowest}\n")
        sys.stdout.flush()
        atheris.Fuzz()  # ends the process
    return 0


def _try(module: Any, data: bytes) -> None:
    try:
        module.check(data)
        for line in data.split(b"\n"):
            if (seconds := _least(module, line)) > SLOW_S:
                raise AssertionError(f"a line of {len(line)} bytes takes {seconds * 1000:.2f} ms")  # noqa: TRY301
    except BaseException:
        found = CORPUS / f"found-{hashlib.sha256(data).hexdigest()[:12]}.bin"
        found.write_bytes(data)
        sys.stderr.write(f"kept as {found}\n")
        raise


def _time_corpus(module: Any) -> str:
    """Time each line of the corpus; return the slowest."""
    timed = [
        (_least(module, line), path.stem) for path in CORPUS.glob("*.bin") for line in path.read_bytes().split(b"\n")
    ]
    seconds, name = max(timed)
    return f"{name}, {seconds * 1000:.2f} ms"


def _least(module: Any, line: bytes) -> float:
    """Return the seconds of processor time that the slower parser takes, at best: what is left is not the machine's."""
    return max(_least_of(lambda: module.INDEX_PARSER.parse(line)), _least_of(lambda: module.LOG_PARSER.parse(line, 0)))


def _least_of(parse: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_TRIES):
        started = time.thread_time()
        parse()
        best = min(best, time.thread_time() - started)
        if best <= SLOW_S:
            break
    return best


if __name__ == "__main__":
    sys.exit(main())
