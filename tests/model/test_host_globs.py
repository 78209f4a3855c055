"""Globs for hosts: names are looked up, globs are matched, and matching is never slow."""

from __future__ import annotations

import pytest

from fleet_health.model.host_globs import HostGlobs, is_plain, literal_length

# Of a glob that backtracks, each further `*` multiplies the time by the length of the name: with these it would not
# end within the age of the universe.
LONG_NAME = "a" * 128


@pytest.mark.parametrize(
    "glob",
    ["*a" * 60 + "b", "*a" * 30 + "*b", "?*" * 60 + "b", "*[!b]" * 25 + "b", "*" * 127 + "b", "*aa" * 40 + "*b"],
)
def test_no_glob_backtracks(glob: str) -> None:
    """Also with a name that nearly matches each part, and among other globs."""
    globs = HostGlobs((glob, f"x{glob}", f"{glob}*c"))

    assert not globs.matches(LONG_NAME)
    assert globs.matches(f"{LONG_NAME}b")
    assert HostGlobs((glob,)).unmatched([LONG_NAME]) == [glob]


def test_names_and_globs_together() -> None:
    """A plain name matches only that host, whatever characters it contains."""
    globs = HostGlobs(("pi-1", "a.c", "bench-*"))

    assert [host for host in ("pi-1", "pi-10", "a.c", "abc", "bench-", "bench", "") if globs.matches(host)] == [
        "pi-1",
        "a.c",
        "bench-",
    ]
    assert not HostGlobs().matches("")


@pytest.mark.parametrize(
    ("glob", "length", "plain"),
    [
        ("*", 0, False),
        ("?*", 0, False),
        ("[!x]*", 0, False),
        ("[]x]", 0, False),
        ("a[bc]*", 1, False),
        ("[b", 2, False),
        ("pi-1", 4, True),
        ("", 0, True),
    ],
)
def test_what_a_glob_spells_out(glob: str, length: int, *, plain: bool) -> None:
    """Sets and wildcards do not count as characters; a bracket that is not closed does."""
    assert (literal_length(glob), is_plain(glob)) == (length, plain)
