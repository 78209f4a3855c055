"""One word for one thing: those that the product no longer uses stay out of code and texts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = {
    r"\b[Ss]hip(s|ped|ping)?\b": "upload",
    r"\b[Jj]udg(e|es|ed|ing|ement|ements)\b": "evaluate, evaluation",
    r"\bheld back\b|\bheld_by\b": "inhibited, suppressed",
    r"\btold of\b|\btold_at\b": "notified, last_notified_at",
    r"\bwell_since\b": "recovered_since",
    r"\b[Qq]uiet windows?\b|\bQuietWindow\b": "mute window, MuteWindow",
    r"\breach_us\b": "lookback_us",
}
"""A pattern of words that are not used -> what is used instead."""
WORDS_OF_CODE = {
    r"(?i)\b(un)?told\b|\btell(s|ing)?\b|_tell\b": "notify, report, show, return",
    r"(?i)\bwithout a word\b|\bhears? of\b": "without an error, unreported; notified, learns of",
    r"\bkept[_ ]back\b|\bis_held\(|\.held\b(?!\()": "suppressed, inhibited",
}
"""Likewise for the package alone: elsewhere these words have their plain sense."""


def texts() -> list[str]:
    """Give the files of the project that people read, by their paths."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = (".py", ".md", ".toml", ".catalog", ".service", ".conf", ".sh")
    left_out = ("tests/fuzz/corpus/", "tests/test_language.py")
    return [path for path in listed.splitlines() if path.endswith(kept) and not path.startswith(left_out)]


@pytest.mark.parametrize("pattern", [*WORDS, *WORDS_OF_CODE])
def test_a_word_that_is_not_used_stays_out(pattern: str) -> None:
    """Each place is named, with the word to use."""
    search, words = re.compile(pattern).search, WORDS.get(pattern) or WORDS_OF_CODE[pattern]
    places = [
        f"{path}:{number}: use {words}"
        for path in texts()
        if pattern in WORDS or path.startswith("fleet_health/")
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), start=1)
        if search(line)
    ]

    assert places == []


def test_the_texts_are_found() -> None:
    """A list that misses the code or the documents would prove nothing."""
    found = set(texts())

    assert {
        "README.md",
        "fleet_health/daemon/composition.py",
        "packaging/fleet-health.catalog",
        "config.example.toml",
    } <= found
