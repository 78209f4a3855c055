"""Host names come from the network, and go into terminals, commands and files."""

from __future__ import annotations

import re
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fleet_health.model.host_name import host_name, is_host_name, own_name, safe_glob
from tests.rig.properties import tried

PROPERTY = tried(250)
HASH_OF_129_A = "c12cb024a2e5551c"
HASH_OF_128_HYPHENS = "2942b516e1655df9"

# Few characters, so that different names come out alike if they can; all categories, so that nothing is left out.
NAMES = (
    st.text(st.sampled_from("aA0-.%~_ é\u0301\u0334\ud800"), min_size=1)
    | st.text(st.characters(), min_size=1)
    | st.text(st.sampled_from("ab %"), min_size=120, max_size=140)
)


@pytest.mark.parametrize(
    "name",
    ["pi-1", "a", "Lab_07.example.org", "10.0.0.7", "[::1]"[1:-1], "a" * 128, "a-", "...", "..a", "AZaz09._:-"],
)
def test_a_plain_name_is_kept(name: str) -> None:
    """1 to 128 characters of `[A-Za-z0-9._:-]` stay as they are, if no command takes them for something else."""
    assert host_name(name) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        pytest.param("a b", "a%20b", id="a blank"),
        pytest.param("a\nb", "a%0Ab", id="a newline"),
        pytest.param("a\n", "a%0A", id="a newline at the end"),
        pytest.param("\x1b[31m", "%1B%5B31m", id="a terminal escape"),
        pytest.param("a%2Fb", "a%252Fb", id="a percent sign"),
        pytest.param("-rf", "%2Drf", id="an option"),
        pytest.param("-", "%2D", id="standard input"),
        pytest.param(".", "%2E", id="this directory"),
        pytest.param("..", "%2E.", id="the directory above"),
        pytest.param("-" * 128, "%2D" + "-" * 108 + "~" + HASH_OF_128_HYPHENS, id="an option that becomes too long"),
        pytest.param("~", "%7E", id="the mark of what is cut"),
        pytest.param("a/b", "a%2Fb", id="a slash"),
        pytest.param("$(reboot)", "%24%28reboot%29", id="a command"),
        pytest.param("é", "%C3%A9", id="a letter beyond ASCII"),
        pytest.param("e\u0301", "%C3%A9", id="one that is written with a combining mark"),
        pytest.param("x\u0301", "x%CC%81", id="a combining mark without a character of its own"),
        pytest.param("٣", "%D9%A3", id="a digit beyond ASCII"),
        pytest.param("\u202e", "%E2%80%AE", id="a right-to-left override"),
        pytest.param("\ud800", "%ED%A0%80", id="a lone surrogate"),
        pytest.param("\0", "%00", id="a NUL"),
        pytest.param(" " * 42 + "ab", "%20" * 42 + "ab", id="128 characters with all escapes"),
        pytest.param("a" * 129, "a" * 111 + "~" + HASH_OF_129_A, id="a plain name that is too long"),
    ],
)
def test_any_other_name_is_escaped_and_cut(raw: str, name: str) -> None:
    """Each byte that is not safe is written as `%` and two digits; a long name ends in a hash of the whole."""
    assert host_name(raw) == name


@pytest.mark.parametrize(
    ("raw", "glob"),
    [
        pytest.param("pi-*", "pi-*", id="nothing to escape"),
        pytest.param("-*", "%2D*", id="options"),
        pytest.param("*-?-", "*-?-", id="hyphens elsewhere"),
        pytest.param("büro ?", "b%C3%BCro%20?", id="what is never in a name"),
        pytest.param("bu\u0308ro ?", "b%C3%BCro%20?", id="a letter with a combining mark"),
        pytest.param("bu\u0308ro", "b%C3%BCro", id="the same in a name without any wildcard"),
        pytest.param("b%C3%BCro *", "b%C3%BCro%20*", id="half of it escaped already"),
        pytest.param("50% *", "50%25%20*", id="a percent sign that escapes nothing"),
        pytest.param("50%", "50%25", id="one at the end"),
        pytest.param("%F0%9~9de0cb9b757b2a61", "%F0%9~9de0cb9b757b2a61", id="one that was cut"),
        pytest.param("[!a-c]é", "[!a-c]%C3%A9", id="a set"),
        pytest.param("[]é]é", "[]é]%C3%A9", id="a set with its own end in it"),
        pytest.param("a]!", "a%5D%21", id="what is no set"),
        pytest.param("a" * 129, "a" * 111 + "~" + HASH_OF_129_A, id="a name that is too long"),
        pytest.param("a" * 111 + "~" + HASH_OF_129_A, "a" * 111 + "~" + HASH_OF_129_A, id="one that is cut already"),
    ],
)
def test_a_glob_is_written_for_safe_names(raw: str, glob: str) -> None:
    """Whoever knows a host by its own name need not know how it is escaped."""
    assert safe_glob(raw) == glob


@PROPERTY
@given(raw=NAMES)
def test_a_glob_that_is_a_name_matches_its_host(raw: str) -> None:
    """Unless it could be one that is escaped or cut already."""
    assume(not set(raw) & set("*?[%~"))
    assert safe_glob(raw) == host_name(raw) == safe_glob(host_name(raw))


@PROPERTY
@given(raw=NAMES)
def test_a_name_is_safe_everywhere(raw: str) -> None:
    """It has 1 to 128 characters, none of which means anything to a terminal, a shell, a command or a path."""
    assert not host_name(raw).startswith("-")
    assert host_name(raw) not in {".", ".."}
    assert re.fullmatch(r"[A-Za-z0-9._:%-]{1,128}|[A-Za-z0-9._:%-]{111}~[0-9a-f]{16}", host_name(raw), re.ASCII)


@PROPERTY
@given(one=NAMES, other=NAMES)
def test_two_hosts_are_never_merged(one: str, other: str) -> None:
    """Different names stay different, and the same name comes out the same, in NFC as in NFD."""
    assert (host_name(one) == host_name(other)) == (normalize("NFC", one) == normalize("NFC", other))
    assert host_name(one) == host_name(normalize("NFD", one))


@PROPERTY
@given(raw=NAMES)
def test_an_altered_name_is_no_other_hosts_name(raw: str) -> None:
    """Nobody can take another host's name by sending what it was altered to."""
    altered = host_name(raw)
    assume(altered != raw)

    assert host_name(altered) != altered


@PROPERTY
@given(raw=NAMES)
def test_what_a_host_calls_itself_is_known(raw: str) -> None:
    """For a name that was cut, at least its begin is known."""
    name, raw = own_name(host_name(raw)), normalize("NFC", raw)

    assert raw == name if "~" not in host_name(raw) else raw.startswith(name) and len(name) >= 8


def test_long_names_differ_by_their_ends() -> None:
    """Two names of 10 kB that differ only in the last character are two hosts."""
    names = {host_name("a" * 10_000 + end) for end in "abc"}

    assert len(names) == 3
    assert {len(name) for name in names} == {128}


@pytest.mark.parametrize(("length", "is_made"), [(128, True), (129, False)])
def test_no_name_is_longer_than_128_characters(length: int, *, is_made: bool) -> None:
    """A name of exactly 128 characters can have been made from a longer one."""
    assert is_host_name("a" * length) == is_made
