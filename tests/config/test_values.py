"""Each kind of value: what is valid, what it means, and the whole message if it is invalid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.config import pattern_values, values
from fleet_health.detectors.suggested_fix import SuggestedFix
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000


@pytest.mark.parametrize(
    ("read", "raw", "value"),
    [
        (values.duration(), "1ms", 1_000),
        (values.duration(), "90s", 90 * SECOND),
        (values.duration(), "5m", 5 * MINUTE),
        (values.duration(), "24h", 24 * HOUR),
        (values.duration(), "7d", 7 * DAY),
        (values.duration(), "3650d", 3650 * DAY),
        (values.duration(), "1h30m", 90 * MINUTE),
        (values.duration(), "1m500ms", MINUTE + SECOND // 2),
        (values.duration(), "0.1h", 6 * MINUTE),
        (values.duration(), "0.3s", 300_000),
        (values.duration(), "1.000001s", SECOND + 1),
        (values.duration(), "007s", 7 * SECOND),
        (values.duration(at_least="100ms"), "100ms", SECOND // 10),
        (values.duration(at_least="100ms"), "0.1s", SECOND // 10),
        (values.count, 1, 1),
        (values.count, 10**9, 10**9),
        (values.ratio, 0.95, 0.95),
        (values.ratio, 1, 1.0),
        (values.ratio, 5e-324, 5e-324),
        (values.path, "/a/b", Path("/a/b")),
        (values.path, "b", Path("b")),
        (values.path_globs, [], ()),
        (values.path_globs, "old/*", ("old/*",)),
        (values.path_globs, ["/old/*", "a[0-9]"], ("/old/*", "a[0-9]")),
        (values.path, " ", Path(" ")),
        (values.choice("all", "none"), "none", "none"),
        (values.textfile, "/a/b.prom", Path("/a/b.prom")),
        (values.textfile, "b.c.prom", Path("b.c.prom")),
        (values.text, "x", "x"),
        (values.text, " ", " "),
        (values.field, "received at ä", "received at ä"),
        (values.units, "cis490-receiver.service", ("cis490-receiver.service",)),
        (values.units, "cis490-receiver", ("cis490-receiver.service",)),
        (values.units, "receiver@lab.service", ("receiver@lab.service",)),
        (values.units, r"a\x2db.service", (r"a\x2db.service",)),
        (values.units, "lab.receiver", ("lab.receiver.service",)),
        (values.units, "cis490.slice", ("cis490.slice",)),
        (values.units, "receiver@*", ("receiver@*.service",)),
        (values.units, ["receiver@", "b@.service", "b@.socket"], ("receiver@*.service", "b@*.service", "b@*.socket")),
        (values.units, ["a", "b@[12].service", "c.*", "a"], ("a.service", "b@[12].service", "c.*")),
        (values.matches, "CONTAINER_NAME=a b", (("CONTAINER_NAME=a b",),)),
        (values.matches, ["_UID=1", "A=", "+", "B=x=y"], (("_UID=1", "A="), ("B=x=y",))),
        (values.namespace, "lab", "lab"),
        (values.namespace, "lab-1.a_b", "lab-1.a_b"),
        (pattern_values.pattern("host"), "(?P<host>x)", re.compile("(?P<host>x)")),
        (pattern_values.suggested_fix, "On $host.", SuggestedFix("On $host.")),
        (values.globs, ["a"], ("a",)),
        (values.globs, ["a", "b-*", "[!c]?"], ("a", "b-*", "[!c]?")),
        (values.globs, ["ö *"], ("%C3%B6%20*",)),
    ],
)
def test_a_right_value_is_read(read: Callable[[Any], Any], raw: Any, value: Any) -> None:
    """As the value that the program uses."""
    assert read(raw) == value
    assert type(read(raw)) is type(value)


DURATION = 'a duration with a unit, such as "90s", "5m", "1h30m" or "24h"'
RANGE = 'a duration from "1ms" to "3650d"'
COUNT, RATIO = "a whole number of 1 or more", "a number greater than 0 and at most 1"
PATH, TEXT = "a path, in quotes", "a string that is not empty"
FIELD = "the name of a field, without quotes, backslashes and control characters"
UNIT, NAMESPACE = (
    'the name or a glob of a systemd unit, such as "receiver.service", or a list of them',
    "the name of a journal namespace, as in LogNamespace=",
)
MATCH = 'FIELD=value, or a list such as ["CONTAINER_NAME=receiver", "_SYSTEMD_UNIT=docker.service"]'
PATTERN = "a regular expression with (?P<host>…) and (?P<status>…)"
FIX = "a text with no placeholder but $host"
LONE_DOLLAR = "a $ that starts no name; write $$ for a plain dollar sign"
PATH_GLOBS = 'a list of paths with wildcards, such as ["old/index.jsonl*"]'
TEXTFILE = "the path of a file whose name ends in .prom, which is what node_exporter reads"
GLOBS = 'a list of host globs, such as ["bench-*"]'


WRONG: list[tuple[Callable[[Any], Any], str, list[Any]]] = [
    (values.duration(), DURATION, [5, 5.0, True, None, [], {}, "", "5", "m", "5 m", " 5m", "5m\n", "5M", "5min"]),
    (values.duration(), DURATION, ["-5m", "+5m", "1e3s", ".5h", "5.m", "5µs", "\u0665m", "1h 5m"]),
    (values.duration(), RANGE, ["0s", "0.9ms", "0.0h", "3651d", "3650d1ms", "9" * 400 + "d"]),
    (values.duration(at_least="100ms"), 'a duration from "100ms" to "3650d"', ["99ms", "0.099999s"]),
    (values.count, COUNT, [0, -1, 1.0, True, "1", None, [1]]),
    (values.ratio, RATIO, [0, 0.0, -0.5, 1.0000001, 2, float("nan"), float("inf"), True, "0.5"]),
    (values.path, PATH, ["", 5, None, ["a"], "a\0b", False]),
    (values.path_globs, PATH_GLOBS, ["", 5, None, ["a", ""], ["a\0b"], [5], {}, False]),
    (values.choice("all", "none"), 'one of "all", "none"', ["", "All", None, True, 1, ["all"]]),
    (values.textfile, TEXTFILE, ["", "/a/b.txt", ".prom", "/a/.prom", "/a/b.prom/", "a\0.prom", 5, None]),
    (values.text, TEXT, ["", 5, None, ["a"], True]),
    (values.field, FIELD, ["", 5, None, ["a"], 'a"b', "a\\b", "a\nb", "\0"]),
    (values.units, UNIT, ["", "a b", "a/b.service", "ä.service", 5, "a\n", "x" * 256]),
    (values.units, UNIT, [[], ["a", 5], [["a"]]]),
    (values.matches, MATCH, ["", "a=b", "_UID", "A\0=b", 5, [], ["+"], ["A=b", "+"], ["A=b", 5], "+", "A=\0"]),
    (values.namespace, NAMESPACE, ["", "a b", "a/b", "*", "+lab", "ä", 5, "a\n", "x" * 129]),
    (pattern_values.pattern("host", "status"), PATTERN, ["", 5, None, ["x"]]),
    (
        pattern_values.pattern("host", "status"),
        f"{PATTERN}; this one is without the group (?P<status>…)",
        ["(?P<host>x)"],
    ),
    (
        pattern_values.pattern("host", "status"),
        f"{PATTERN}; this one is not a regular expression: nothing to repeat at position 0",
        ["*"],
    ),
    (pattern_values.suggested_fix, f"{FIX}; it has {LONE_DOLLAR}", ["5 $", "$5", "${host", "$`ls`"]),
    (pattern_values.suggested_fix, f"{FIX}; it has $h, which is not known here; $host is the only name", ["$h"]),
    (pattern_values.suggested_fix, TEXT, ["", 5, None, ["x"]]),
    (values.globs, GLOBS, ["a", [], [""], ["a", 5], ["a", ["b"]], {"a": 1}, None]),
]


@pytest.mark.parametrize(
    ("read", "raw", "expected"), [(read, raw, expected) for read, expected, raws in WRONG for raw in raws]
)
def test_a_wrong_value_is_told_what_was_expected(read: Callable[[Any], Any], raw: Any, expected: str) -> None:
    """The whole message states what would have been valid."""
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        read(raw)


@tried(300)
@given(
    parts=st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["ms", "s", "m", "h", "d"])), min_size=1, max_size=4)
)
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    """Any number of parts, in any order."""
    units = {"ms": 1_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}

    assert values.parse_duration("".join(f"{number}{unit}" for number, unit in parts)) == sum(
        number * units[unit] for number, unit in parts
    )


@tried(300)
@given(raw=st.text(st.sampled_from("0159.msh d$`(?P<host>)[]*{}\\"), max_size=20))
def test_no_string_makes_a_reader_fail_otherwise(raw: str) -> None:
    """A reader returns a value or raises ValueError."""
    for read in (
        values.duration(),
        values.path,
        values.text,
        values.units,
        values.namespace,
        pattern_values.suggested_fix,
    ):
        try:
            read(raw)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - either way is right
