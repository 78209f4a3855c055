"""Refuse patterns that are too slow on some lines, before a client sends such a line.

A pattern is tried in a separate process, because `re` blocks all threads while it searches, can be interrupted only in
the main thread, and the running service loads configurations too. A kernel timer on the CPU time of that process ends
it, so neither a busy machine nor the pattern can extend the limit.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from functools import lru_cache

from fleet_health.config import receiver_patterns
from fleet_health.parsing.pattern_sample import samples

# The service matches 2 KiB of a line. Patterns backtrack on repeated text, which depends on the pattern.
_LENGTH = 2_048
_BEGINNINGS = (
    "",
    "host=",
    "PUT /v1/episodes/",
    '10.0.0.1:5000 - "PUT /',
    '10.0.0.1:5000 - "PUT /v1/episodes/a/',
    "WARNING: missing X-Cis490-Code-Commit host=",
    '{"',
)
_REPEATED = ("a", "0", " ", "/", "a/", '"', "=", ",", "host=", "a ", "é", "\\", ' - "PUT /v1/episodes/a/')

_LIMIT = 0.2
_GIVE_UP = 0.5
# The timeout in seconds for a child that does not even start to search.
_PATIENCE = 60

# It imports no module of fleet-health, so that it starts at once. SIGVTALRM ends a search that takes too long.
_CHILD = """
import json, re, signal, sys, time
pattern, lines, limit, give_up = json.load(sys.stdin)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGVTALRM})
search = re.compile(pattern).search
for line in lines:
    signal.setitimer(signal.ITIMER_VIRTUAL, give_up)
    began_at = time.thread_time()
    search(line)
    taken = time.thread_time() - began_at
    if taken > limit:
        print(taken)
        break
"""


def slowness(pattern: re.Pattern[str]) -> float | None:
    """Return the seconds that a pattern takes on the first bad line that is too slow; None if no line is too slow.

    The defaults are tried in the tests and not here, so that loading them starts no process.

    Raises:
        ValueError: The pattern could not be tried. The message contains the reason.

    """
    text = pattern.pattern
    return None if text in receiver_patterns.DEFAULTS else tried(text)


@lru_cache(maxsize=64)
def tried(text: str) -> float | None:
    """Return `slowness` of a pattern, cached."""
    task = json.dumps([text, _nasty_lines(text), _LIMIT, _GIVE_UP])
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD]
    try:
        done = subprocess.run(
            command, input=task, capture_output=True, text=True, env={}, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return float(_PATIENCE)
    except OSError as error:
        raise ValueError(f"could not be tried: {error.strerror or error}") from None
    if done.returncode == -signal.SIGVTALRM:
        return _GIVE_UP
    if done.returncode:
        last_line = done.stderr.strip().rpartition("\n")[2]
        raise ValueError(f"could not be tried: {last_line or f'its process ended with {done.returncode}'}")
    return float(done.stdout) if done.stdout else None


def _nasty_lines(text: str) -> list[str]:
    """Return lines of repeated text, some after a beginning that the pattern matches."""
    pattern, own = re.compile(text), []
    for sample in samples(pattern, {}):
        if found := pattern.search(sample):
            places = {place for group in range(pattern.groups + 1) for place in found.span(group) if place >= 0}
            own += [sample[:place] for place in sorted(places | {len(sample) - 1}) if place < _LENGTH // 2]
    return [
        (start + piece * _LENGTH)[: _LENGTH - 1] + "!"
        for start in dict.fromkeys((*_BEGINNINGS, *own))
        for piece in _REPEATED
    ]
