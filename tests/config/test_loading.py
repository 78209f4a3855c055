"""Reading a configuration: all of it is used, or every problem is named in words that help."""

from __future__ import annotations

import json
import re
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.in_force import OFF, in_force
from fleet_health.config.loading import ABSENT, load
from fleet_health.config.receiver_patterns import MARKER, RESPONSE, unstamped_host
from fleet_health.detectors.disagreement import DisagreementLimits
from fleet_health.detectors.receiver_down import ReceiverDownLimits
from fleet_health.detectors.receiver_failing import ReceiverFailingLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unknown_hosts import UnknownHostsLimits
from fleet_health.errors import ConfigError
from fleet_health.model.fleet import Fleet
from fleet_health.model.host_globs import HostGlobs
from fleet_health.parsing.index_row import IndexParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.config.schema import Settings

MINUTE, HOUR = 60_000_000, 3_600_000_000
DURATION = 'a duration with a unit, such as "90s", "5m", "1h30m" or "24h"'
DETECTOR_TABLES = (
    "blind, degraded, fatal-only, index-stalled, journal-lossy, never-seen, silent, slow, too-many-hosts,"
    " unknown-hosts, unstamped"
)
TOP_LEVEL = (
    "alerts, blind_after, control, destinations, detectors, hosts, index, journal, metrics, notify, overrides, page,"
    " quiet, receiver, receivers, state, tick"
)
OVERRIDABLE = "degraded, fatal-only, never-seen, silent, slow, unstamped"
SILENT_KEYS = "after, after_max, cadence, enabled, expected, lookback, suggested_fix"
SILENT_LIMITS = "after, after_max, cadence, expected, lookback, suggested_fix"


def test_what_is_set_is_used(settings_of: Callable[..., Settings]) -> None:
    """Each key replaces its default, and no other one."""
    settings = settings_of(
        """
        tick = "10s"
        blind_after = "1m"
        hosts.limit = 7
        index.path = "/srv/rows.jsonl"
        index.host_field = "who"
        journal.namespace = "lab"
        journal.unstamped = { contains = "no stamp" }
        [detectors.silent]
        after = "1h"
        [detectors.fatal-only]
        ratio = 1
        """
    )

    assert (settings.tick_us, settings.limits["blind"].after_us, settings.host_limit) == (10_000_000, MINUTE, 7)
    assert (settings.receivers[0].index.path, settings.receivers[0].index.host_field) == (
        Path("/srv/rows.jsonl"),
        "who",
    )
    assert settings.receivers[0].index.time_field == "received_at_wall"
    assert settings.receivers[0].journal.namespace == "lab"
    assert settings.receivers[0].journal.unstamped_marker == "no stamp"
    assert settings.receivers[0].journal.unstamped_host is not None
    assert settings.receivers[0].journal.unstamped_host.pattern == unstamped_host("no stamp")
    assert (settings.limits["silent"].default.after_us, settings.limits["silent"].default.lookback_us) == (
        HOUR,
        24 * HOUR,
    )
    assert settings.limits["fatal-only"].default.ratio == 1.0
    assert settings.limits["fatal-only"].default.min_count == 10


CUSTOM = "journal.response = '^(?P<host>x) (?P<status>y)$'"


@pytest.mark.parametrize(
    ("text", "marker", "host"),
    [
        pytest.param("", MARKER, unstamped_host(MARKER), id="on by default"),
        pytest.param(f"journal.response = {json.dumps(RESPONSE)}", MARKER, unstamped_host(MARKER), id="also if copied"),
        pytest.param(CUSTOM, None, None, id="off for another receiver"),
        pytest.param(
            f"{CUSTOM}\njournal.unstamped.contains = 'a+b [c]'",
            "a+b [c]",
            unstamped_host("a+b [c]"),
            id="its own marker",
        ),
        pytest.param(
            f"{CUSTOM}\njournal.unstamped.host = '^(?P<host>z)'", MARKER, "^(?P<host>z)", id="its own pattern"
        ),
        pytest.param(
            f"{CUSTOM}\njournal.unstamped = {{ contains = 'm', host = '(?P<host>z)' }}", "m", "(?P<host>z)", id="both"
        ),
    ],
)
def test_another_receiver_has_a_rule_for_missing_stamps_only_if_it_is_configured(
    text: str, marker: str | None, host: str | None, settings_of: Callable[..., Settings]
) -> None:
    """In the lines of another server the default marker can be text that a client chose."""
    settings = settings_of(text)
    rows = in_force(settings.document, settings.path)
    found = settings.receivers[0].journal.unstamped_host

    assert (settings.receivers[0].journal.unstamped_marker, found and found.pattern) == (marker, host)
    assert (rows["journal.unstamped.contains"].value, rows["journal.unstamped.host"].value) == (marker, host)
    assert (rows["journal.unstamped.host"].origin == OFF) == (host is None)


def test_a_marker_stands_for_itself_in_the_pattern_that_is_made_for_it() -> None:
    """Also one with characters that are special in a regular expression."""
    pattern = re.compile(unstamped_host("a+b [c] (d|e)\\\\.*"))

    found = pattern.search("WARNING app: A+B [c] (d|e)\\\\.* host=pi-1, refused")

    assert found is not None
    assert found["host"] == "pi-1"
    assert not pattern.search("WARNING app: aab c d host=pi-1, refused")


def test_every_problem_is_named_at_once(problems_of: Callable[..., list[str]]) -> None:
    """A file with one mistake of every kind takes one round to fix."""
    text = r"""
        tick = 5
        tack = "5m"
        alerts = "/var/lib/alerts.jsonl"

        [index]
        path = ""
        host_field = ["host"]
        pth = "x"

        [journal]
        unit = "a b"
        namespace = "a/b"
        response = "(?P<host>x"
        unstamped = { contains = "", host = "host=(.*)", hots = 1 }

        [detectors]
        noisy = true

        [detectors.silent]
        after = "soon"
        window = "5m"

        [detectors.fatal_only]
        ratio = 0.5

        [detectors.fatal-only]
        min_count = 0
        ratio = 1.5

        [detectors.unstamped]
        min_count = 2.0
        suggested_fix = "Ask $nobody."

        [[overrides]]
        hosts = "bench-*"
        detectors.silent.after = "0s"

        [[overrides]]
        detectors.silent.aftr = "5m"
        tick = "1m"
    """
    field = "the name of a field, without quotes, backslashes and control characters"

    assert problems_of(text) == [
        f"tick: expected {DURATION}, found 5",
        f"tack: expected one of {TOP_LEVEL}, found an unknown key (did you mean tick?)",
        'alerts: expected a table, [alerts], found "/var/lib/alerts.jsonl"',
        'index.path: expected a path, in quotes, found ""',
        f"index.host_field: expected {field}, found ['host']",
        (
            "index.pth: expected one of host_field, path, rotated, time_field, found an unknown key"
            " (did you mean index.path?)"
        ),
        (
            'journal.unit: expected the name or a glob of a systemd unit, such as "receiver.service", or a list of'
            ' them, found "a b"'
        ),
        'journal.namespace: expected the name of a journal namespace, as in LogNamespace=, found "a/b"',
        (
            "journal.response: expected a regular expression with (?P<host>…) and (?P<status>…); this one is not"
            ' a regular expression: missing ), unterminated subpattern at position 0, found "(?P<host>x"'
        ),
        'journal.unstamped.contains: expected a string that is not empty, found ""',
        (
            "journal.unstamped.host: expected a regular expression with (?P<host>…); this one is without the group"
            ' (?P<host>…), found "host=(.*)"'
        ),
        (
            "journal.unstamped.hots: expected one of contains, host, found an unknown key"
            " (did you mean journal.unstamped.host?)"
        ),
        f"detectors.noisy: expected one of {DETECTOR_TABLES}, found an unknown key",
        f'detectors.silent.after: expected {DURATION}, found "soon"',
        (
            f"detectors.silent.window: expected one of {SILENT_KEYS}, found an unknown key"
            " (did you mean detectors.fatal-only.window?)"
        ),
        (
            f"detectors.fatal_only: expected one of {DETECTOR_TABLES}, found an unknown key"
            " (did you mean detectors.fatal-only?)"
        ),
        "detectors.fatal-only.min_count: expected a whole number of 1 or more, found 0",
        "detectors.fatal-only.ratio: expected a number greater than 0 and at most 1, found 1.5",
        "detectors.unstamped.min_count: expected a whole number of 1 or more, found 2.0",
        (
            "detectors.unstamped.suggested_fix: expected a text with no placeholder but $host; it has"
            ' $nobody, which is not known here; $host is the only name, found "Ask $nobody."'
        ),
        'overrides[1].hosts: expected a list of host globs, such as ["bench-*"], found "bench-*"',
        'overrides[1].detectors.silent.after: expected a duration from "1ms" to "3650d", found "0s"',
        (
            f"overrides[2].detectors.silent.aftr: expected one of {SILENT_LIMITS}, found an unknown key"
            " (did you mean detectors.silent.after?)"
        ),
        "overrides[2].tick: expected one of detectors, hosts, found an unknown key",
        'overrides[2].hosts: expected a list of host globs, such as ["bench-*"], found nothing',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            'ticks = "5m"',
            f"ticks: expected one of {TOP_LEVEL}, found an unknown key (did you mean tick?)",
            id="a letter",
        ),
        pytest.param(
            'override = "x"',
            f"override: expected one of {TOP_LEVEL}, found an unknown key (did you mean overrides?)",
            id="overrides without its s",
        ),
        pytest.param(
            'lookback = "5m"',
            f"lookback: expected one of {TOP_LEVEL}, found an unknown key (did you mean detectors.silent.lookback?)",
            id="a key without its table",
        ),
        pytest.param(
            "[index.rows]\na = 1",
            "index.rows: expected one of host_field, path, rotated, time_field, found an unknown key",
            id="a table without resemblance, named once",
        ),
        pytest.param(
            "[tick]",
            f'tick: expected {"a duration"} with a unit, such as "90s", "5m", "1h30m" or "24h", found a table',
            id="a table instead of a value",
        ),
        pytest.param("index = true", "index: expected a table, [index], found true", id="a value instead of a table"),
        pytest.param(
            "detectors.silent = 2026-11-23",
            "detectors.silent: expected a table, [detectors.silent], found 2026-11-23",
            id="a date instead of a table",
        ),
        pytest.param(
            "[overrides]\nhosts = ['a']",
            "overrides: expected tables, each headed [[overrides]], found a table",
            id="one bracket too few",
        ),
        pytest.param(
            "overrides = [1]", "overrides: expected tables, each headed [[overrides]], found [1]", id="no table at all"
        ),
    ],
)
def test_a_wrong_key_is_told_with_the_nearest_right_one(
    text: str, problem: str, problems_of: Callable[..., list[str]]
) -> None:
    """A misplaced or misspelt key is reported with the probable one."""
    assert problems_of(text) == [problem]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"detectors.silent.after" = "5m"', id="a dotted name in quotes is one name"),
        pytest.param('[""]\ntick = "1s"', id="a table without a name is not the top"),
    ],
)
def test_a_key_that_only_looks_like_a_known_one_is_unknown(text: str, problems_of: Callable[..., list[str]]) -> None:
    """Keys are compared as TOML does."""
    assert len(problems_of(text)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b'tick = "5m', "line 1, column 11|end of document", id="a string without its end"),
        pytest.param(b"\n\ntick = 5m", "line 3, column 9", id="a duration without quotes"),
        pytest.param(b'tick = "5m"\ntick = "6m"', "line 2, column 12|end of document", id="a key set twice"),
        pytest.param(b"tick =", "line 1, column 7|end of document", id="a key without value"),
    ],
)
def test_a_syntax_error_is_told_with_its_place(
    content: bytes, message: str, problems_of: Callable[..., list[str]]
) -> None:
    """Invalid TOML is one problem, with line and column."""
    (problem,) = problems_of(content)

    assert re.fullmatch(rf"({message}): expected TOML, found a syntax error \(\w.*\)", problem)


@pytest.mark.parametrize(
    ("content", "likely"),
    [
        ("tick = 5m", "in straight quotes"),
        ("tick = “5m”", "in straight quotes"),
        ('tick = "5m"\ntick = "6m"', "it is set twice"),
    ],
)
def test_a_frequent_syntax_error_is_explained(content: str, likely: str, problems_of: Callable[..., list[str]]) -> None:
    """In words for someone who does not know TOML."""
    (problem,) = problems_of(content.encode())

    assert likely in problem


def test_bytes_that_are_not_utf8_are_told_with_their_place(problems_of: Callable[..., list[str]]) -> None:
    """The first such byte is named."""
    assert problems_of(b'tick = "5m" # \xff') == ["byte 14: expected UTF-8, found 0xff"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x = " + "[" * 5_000 + "]" * 5_000, id="deep nesting"),
        pytest.param("tick = " + "1" * 5_000, id="a number of 5,000 digits"),
        pytest.param("tick = 0x" + "f" * 5_000, id="a number of 5,000 hexadecimal digits"),
        pytest.param("journal.unstamped.host = '(?P<host>a){4294967295}'", id="a pattern beyond counting"),
        pytest.param(
            "journal.unstamped.host = '" + "(" * 3_000 + "(?P<host>a)" + ")" * 3_000 + "'", id="a deep pattern"
        ),
    ],
)
def test_what_python_chokes_on_is_a_problem_like_any_other(text: str, problems_of: Callable[..., list[str]]) -> None:
    """No file causes a traceback."""
    assert len(problems_of(text)) == 1


@pytest.mark.parametrize("field", [r"a\"b", r"a\\b", r"a\nb"])
def test_a_field_that_is_accepted_can_be_looked_for(field: str, settings_of: Callable[..., Settings]) -> None:
    """A name that the index parser cannot use is a problem of the configuration."""
    try:
        index = settings_of(f'index.host_field = "{field}"').receivers[0].index
    except ConfigError:
        return

    assert IndexParser(host_field=index.host_field, time_field=index.time_field)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(r'tick = "\u001b[31m5\u0000m\u009b"', id="control characters in a value"),
        pytest.param(r'tick = "\u202e5m"', id="a right-to-left override in a value"),
        pytest.param(r'"\u001b[31m\u009b" = 1', id="control characters in a key"),
        pytest.param(r'index."\u202eht\u0007ap" = 1', id="a right-to-left override in a key"),
        pytest.param(r'index.path = ["\u001b[31m", "\u202e"]', id="both inside a list"),
    ],
)
def test_a_message_is_safe_to_show(text: str, problems_of: Callable[..., list[str]]) -> None:
    """No text of the file controls a terminal, by C0, C1 or a change of direction."""
    (problem,) = problems_of(text)

    assert re.findall(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", problem) == []


def test_a_long_value_is_cut(problems_of: Callable[..., list[str]]) -> None:
    """A message stays one readable line."""
    assert problems_of(f'tick = "{"x" * 1_000}"') == [f'tick: expected {DURATION}, found "' + "x" * 59 + "…"]


def test_the_message_names_the_file(tmp_path: Path) -> None:
    """Each line begins with the path."""
    path = tmp_path / "some.toml"
    path.write_text("tick = 1\nalerts = 2")

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert caught.value.path == path
    assert str(caught.value) == (
        f"{path}: tick: expected {DURATION}, found 1\n{path}: alerts: expected a table, [alerts], found 2"
    )


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """The defaults do not replace a file that was asked for."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "missing.toml")

    assert str(caught.value) == (
        f"{tmp_path}/missing.toml: file: expected a readable file, found No such file or directory"
        " (use another one with --config)"
    )


def test_a_directory_is_a_problem(tmp_path: Path) -> None:
    """So is anything else that cannot be read."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path}: file: expected a readable file, found Is a directory (use another one with --config)"
    )


def test_relative_paths_begin_at_the_file(tmp_path: Path, settings_of: Callable[..., Settings]) -> None:
    """The working directory does not matter; absolute paths stay."""
    settings = settings_of(
        'index.path = "rows.jsonl"\nalerts.path = "../alerts.jsonl"\njournal.directory = "/var/log/journal/remote"'
    )

    assert settings.receivers[0].index.path == tmp_path / "rows.jsonl"
    assert settings.alerts_path == tmp_path / "../alerts.jsonl"
    assert settings.receivers[0].journal.directory == Path("/var/log/journal/remote")


FORGOTTEN = (
    "detectors.silent.lookback: expected longer than detectors.silent.after, also with each override,"
    " found one that is not (a host is forgotten before it could count as silent)"
)
TOO_SLACK = "detectors.{0}.slack: expected shorter than half of detectors.{0}.window, found one that is not"
TWO_JOURNALS = "journal.namespace: expected only one of directory and namespace, found both"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param('detectors.silent.after = "23h59m"', [], id="silence shorter than the lookback is right"),
        pytest.param('detectors.silent.after = "24h"', [FORGOTTEN], id="silence as long as the lookback"),
        pytest.param('detectors.silent.lookback = "30m"', [FORGOTTEN], id="a lookback as short as the silence"),
        pytest.param(
            '[[overrides]]\nhosts = ["a"]\ndetectors.silent.after = "2d"', [FORGOTTEN], id="an override alone does it"
        ),
        pytest.param(
            '[[overrides]]\nhosts = ["a"]\ndetectors.silent = { after = "2d", lookback = "3d" }',
            [],
            id="an override of both is right",
        ),
        pytest.param('detectors.index-stalled.slack = "14m59s"', [], id="slack shorter than half the window is right"),
        pytest.param(
            'detectors.index-stalled.slack = "15m"', [TOO_SLACK.format("index-stalled")], id="slack of half the window"
        ),
        pytest.param(
            'detectors.journal-lossy.window = "4m"',
            [TOO_SLACK.format("journal-lossy")],
            id="a window of twice the slack",
        ),
        pytest.param('journal = { directory = "/a", namespace = "b" }', [TWO_JOURNALS], id="two journals"),
        pytest.param(
            'alerts.path = "/a"\nindex.path = "/a"',
            ["alerts.path: expected a file of its own, found the path of the index"],
            id="one file for both",
        ),
        pytest.param(
            'alerts.path = "./a"\nindex.path = "a"',
            ["alerts.path: expected a file of its own, found the path of the index"],
            id="one file for both, written in two ways",
        ),
        pytest.param(
            'alerts.path = "./a.prom"\nmetrics.textfile = "a.prom"',
            ["metrics.textfile: expected a file of its own, found the alert log, which it would replace"],
            id="the metrics in the place of the alert log",
        ),
        pytest.param(
            'index.path = "/a.prom"\nmetrics.textfile = "/a.prom"',
            ["metrics.textfile: expected a file of its own, found the index, which it would replace"],
            id="the metrics in the place of the index",
        ),
        pytest.param(
            'metrics.textfile = "a.prom"\nmetrics.notify_textfile = "./a.prom"',
            ["metrics.notify_textfile: expected a file of its own, found metrics.textfile, which it would replace"],
            id="one file for the metrics of both",
        ),
        pytest.param(
            'index.host_field = "received_at_wall"',
            ['index.time_field: expected another key than index.host_field, found "received_at_wall"'],
            id="one key for both",
        ),
        pytest.param(
            'detectors.silent.after = "2d"\njournal = { directory = "/a", namespace = "b" }',
            [FORGOTTEN, TWO_JOURNALS],
            id="two contradictions at once",
        ),
        pytest.param(
            'detectors.silent.after = "2d"\ndetectors.silent.lookback = "3"',
            [f'detectors.silent.lookback: expected {DURATION}, found "3"'],
            id="a value that could not be read contradicts nothing",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_problems(
    text: str, problems: list[str], settings_of: Callable[..., Settings], problems_of: Callable[..., list[str]]
) -> None:
    """Valid settings that cannot be combined are reported with the reason."""
    if problems:
        assert problems_of(text) == problems
    else:
        assert settings_of(text)


def test_overrides_change_the_limits_of_the_hosts_they_name(settings_of: Callable[..., Settings]) -> None:
    """Each glob of an override counts; what it does not set stays."""
    settings = settings_of(
        """
        [detectors.silent]
        after = "1h"

        [[overrides]]
        hosts = ["bench-*", "spare-?"]
        detectors.silent.after = "2h"
        detectors.unstamped.min_count = 99

        [[overrides]]
        hosts = ["bench-1"]
        detectors.silent.lookback = "48h"
        detectors.fatal-only.window = "1h"
        detectors.fatal-only.min_count = 1
        detectors.fatal-only.ratio = 0.5
        detectors.fatal-only.suggested_fix = "a"
        detectors.fatal-only.suggested_fix_5xx = "b"

        [[overrides]]
        hosts = ["*-1"]
        detectors.silent.after = "3h"
        """
    )

    assert {
        host: (limits.after_us // HOUR, limits.lookback_us // HOUR)
        for host in ("pi-2", "bench-2", "spare-2", "spare-22", "bench-1", "pi-1")
        if (limits := settings.limits["silent"].of(host))
    } == {
        "pi-2": (1, 24),
        "bench-2": (2, 24),
        "spare-2": (2, 24),
        "spare-22": (1, 24),
        "bench-1": (2, 48),
        "pi-1": (3, 24),
    }
    assert [settings.limits["unstamped"].of(host).min_count for host in ("pi-1", "bench-1", "spare-3")] == [10, 99, 99]
    bench = settings.limits["fatal-only"].of("bench-1")
    assert (bench.window_us, bench.min_count, bench.ratio) == (HOUR, 1, 0.5)
    assert (bench.suggested_fix.text, bench.suggested_fix_5xx.text) == ("a", "b")
    assert settings.limits["fatal-only"].of("bench-2") == settings.limits["fatal-only"].default


def test_options_prevail_over_the_file(tmp_path: Path, settings_of: Callable[..., Settings]) -> None:
    """An option replaces the value in the file; a path in it is relative to the working directory."""
    options: dict[str, tuple[str, Any]] = {
        "index.path": ("--index-path", "rows.jsonl"),
        "detectors.silent.after": ("--silent-threshold-min", "45m"),
        "detectors.unstamped.min_count": ("--fatal-min-count", 3),
    }

    settings = settings_of('index.path = "other.jsonl"\nalerts.path = "a.jsonl"\ntick = "1s"', options)

    assert (settings.receivers[0].index.path, settings.alerts_path) == (Path("rows.jsonl"), tmp_path / "a.jsonl")
    assert (settings.limits["silent"].default.after_us, settings.tick_us) == (45 * MINUTE, 1_000_000)
    assert (settings.limits["unstamped"].default.min_count, settings.limits["fatal-only"].default.min_count) == (3, 10)


def test_an_option_can_take_a_key_back(settings_of: Callable[..., Settings]) -> None:
    """A journal given by an option does not contradict the one in the file."""
    options = {"journal.directory": ("--journal-directory", "/j"), "journal.namespace": ("--journal-directory", ABSENT)}

    journal = settings_of('journal.namespace = "lab"', options).receivers[0].journal

    assert (journal.directory, journal.namespace) == (Path("/j"), None)


def test_a_bad_option_is_named_like_the_option(problems_of: Callable[..., list[str]]) -> None:
    """It is reported with the problems of the file, by its name on the command line."""
    options = {
        "detectors.fatal-only.ratio": ("--fatal-ratio-threshold", 2.0),
        "detectors.silent.lookback": ("--lookback-hours", "99999h"),
    }

    assert problems_of("tick = true", options) == [
        f"tick: expected {DURATION}, found true",
        "--fatal-ratio-threshold: expected a number greater than 0 and at most 1, found 2.0",
        '--lookback-hours: expected a duration from "1ms" to "3650d", found "99999h"',
    ]


def test_without_a_file_the_options_are_named_as_the_place() -> None:
    """Problems of the command line alone are listed under that name."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"index.path": ("--index-path", "")})

    assert str(caught.value) == 'command line: --index-path: expected a path, in quotes, found ""'


@pytest.mark.parametrize(
    ("text", "symptoms"),
    [
        pytest.param("receiver.enabled = false", {"receiver-failing", "receiver-down"}, id="both of the receiver"),
        pytest.param("receiver.failing.enabled = false", {"receiver-failing"}, id="one of the receiver"),
        pytest.param("receiver.down.enabled = false", {"receiver-down"}, id="the other of the receiver"),
        *(
            pytest.param(f"detectors.{symptom}.enabled = false", {symptom}, id=symptom)
            for symptom in (
                "silent",
                "fatal-only",
                "unstamped",
                "index-stalled",
                "journal-lossy",
                "blind",
                "too-many-hosts",
                "unknown-hosts",
                "never-seen",
            )
        ),
    ],
)
def test_a_detector_can_be_switched_off(text: str, symptoms: set[str], settings_of: Callable[..., Settings]) -> None:
    """Its symptom is not looked for; all others are."""
    every = {detector.symptom for detector in settings_of("").detectors()}

    assert symptoms < every
    assert {detector.symptom for detector in settings_of(text).detectors()} == every - symptoms


def test_a_detector_is_not_switched_off_for_some_hosts(problems_of: Callable[..., list[str]]) -> None:
    """An override changes only limits of hosts."""
    assert problems_of(
        """
        [[overrides]]
        hosts = ["a"]
        detectors.silent.enabled = false
        detectors.journal-lossy.window = "1h"
        """
    ) == [
        f"overrides[1].detectors.silent.enabled: expected one of {SILENT_LIMITS}, found an unknown key",
        f"overrides[1].detectors.journal-lossy: expected one of {OVERRIDABLE}, found an unknown key",
    ]


def test_the_limits_of_the_whole_fleet_are_used(settings_of: Callable[..., Settings]) -> None:
    """Each key sets its own limit."""
    settings = settings_of(
        """
        receiver.failing = { window = "1m", min_hosts = 4, ratio = 0.25, suggested_fix = "a" }
        receiver.down = { after = "2h", min_hosts = 5, ratio = 1, suggested_fix = "b" }
        [detectors]
        index-stalled = { window = "3h", slack = "1h", min_count = 6, min_hosts = 7, suggested_fix = "c" }
        journal-lossy = { window = "5h", slack = "2h", min_hosts = 8, suggested_fix = "d" }
        unknown-hosts = { min_hosts = 9, suggested_fix = "e" }
        """
    )

    assert settings.limits["receiver-failing"] == ReceiverFailingLimits(MINUTE, 4, 0.25, SuggestedFix("a"))
    assert settings.limits["receiver-down"] == ReceiverDownLimits(2 * HOUR, 5, 1.0, SuggestedFix("b"))
    assert settings.limits["index-stalled"] == DisagreementLimits(3 * HOUR, HOUR, 7, SuggestedFix("c"), 6)
    assert settings.limits["journal-lossy"] == DisagreementLimits(5 * HOUR, 2 * HOUR, 8, SuggestedFix("d"))
    assert settings.limits["unknown-hosts"] == UnknownHostsLimits(9, SuggestedFix("e"))


def test_quiet_windows_are_read(settings_of: Callable[..., Settings]) -> None:
    """Unset keys have their defaults; any number of windows is allowed."""
    first, second = settings_of(
        """
        [[quiet]]
        from = "22:00"
        to = "06:30"
        [[quiet]]
        days = ["sat", "sun"]
        from = "00:00"
        to = "00:00"
        zone = "Europe/Berlin"
        hosts = ["bench-*"]
        """
    ).mute_windows

    assert (sorted(first.days), first.begins, first.ends) == ([0, 1, 2, 3, 4, 5, 6], time(22), time(6, 30))
    assert (first.zone.key, first.hosts) == ("UTC", None)
    assert (sorted(second.days), second.zone.key, second.hosts) == ([5, 6], "Europe/Berlin", HostGlobs(("bench-*",)))


def test_every_problem_of_a_quiet_window_is_named(settings_of: Callable[..., Settings]) -> None:
    """With the number of the window, as for overrides."""
    with pytest.raises(ConfigError) as caught:
        settings_of(
            """
            [[quiet]]
            from = "22:00"
            to = "24:00"
            [[quiet]]
            days = ["sat", "Sunday"]
            zone = "Europe/Berlinn"
            form = "1:00"
            hosts = []
            [[quiet]]
            from = 22
            to = "6:00"
            zone = "../etc/passwd"
            """
        )

    days = 'expected a list of days: "mon", "tue", "wed", "thu", "fri", "sat", "sun"'
    clock = 'expected a time of day from "00:00" to "23:59"'
    zone = 'expected a time zone of the IANA database, such as "Europe/Berlin" or "UTC"'
    assert [str(problem) for problem in caught.value.problems] == [
        f'quiet[1].to: {clock}, found "24:00"',
        f"quiet[2].days: {days}, found ['sat', 'Sunday']",
        f'quiet[2].zone: {zone} (perhaps "Europe/Berlin"), found "Europe/Berlinn"',
        "quiet[2].form: expected one of days, from, hosts, to, zone, found an unknown key (did you mean from?)",
        'quiet[2].hosts: expected a list of host globs, such as ["bench-*"], found []',
        'quiet[2].from: expected a time of day such as "22:00", found nothing',
        'quiet[2].to: expected a time of day such as "22:00", found nothing',
        f"quiet[3].from: {clock}, found 22",
        f'quiet[3].to: {clock}, found "6:00"',
        f'quiet[3].zone: {zone}, found "../etc/passwd"',
    ]


def test_who_is_ignored_is_not_expected(tmp_path: Path) -> None:
    """An ignored host is never missed, whether it is expected by name or by glob."""
    config = tmp_path / "config.toml"
    config.write_text('hosts.expected = ["pi-1", "spare-1", "bench-*"]\nhosts.ignore = ["spare-*", "bench-*"]\n')
    (detector,) = [one for one in load(config).detectors() if one.symptom == "never-seen"]

    assert [finding.host for finding in detector.find(Fleet(), 0)] == ["pi-1"]


def test_the_grace_of_a_host_that_is_expected_may_differ(tmp_path: Path) -> None:
    """So may its suggested fix; other symptoms have no grace."""
    config = tmp_path / "config.toml"
    config.write_text(
        'hosts.expected = ["pi-1", "new-1"]\n[detectors.never-seen]\ngrace = "2h"\n'
        '[[overrides]]\nhosts = ["new-*"]\ndetectors.never-seen.grace = "3d"\n'
        'detectors.never-seen.suggested_fix = "Unpack $host."\n'
    )
    settings = load(config)
    (detector,) = [one for one in settings.detectors() if one.symptom == "never-seen"]
    fixes = {finding.host: finding.suggested_fix for finding in detector.find(Fleet(), 0)}
    hour = 3_600_000_000

    assert settings.policy.grace_us("pi-1", "never-seen") == 2 * hour
    assert settings.policy.grace_us("new-1", "never-seen") == 72 * hour
    assert settings.policy.grace_us("new-1", "silent") == 0
    assert fixes["new-1"] == "Unpack new-1."
    assert fixes["pi-1"].startswith("If pi-1 is being set up")
