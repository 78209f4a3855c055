"""Nasty lines through the real parsers: nothing but an observation or a counted rejection comes of them.

`python tests/fuzz/fuzz.py` looks for nastier ones, and times each.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fleet_health.parsing.receiver_log import MESSAGE_LIMIT, MESSAGE_LINES, LogParser
from tests.fuzz.make_corpus import ACCESS, LINES, ROW, WARNING
from tests.fuzz.targets import LONGEST_MATCHED, NOW, SETTINGS, check, check_alerts, check_index, check_journal
from tests.rig.properties import tried

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.bin"))

FUZZ = tried(200, suppress_health_check=list(HealthCheck))

NASTY_TEXT = st.text(max_size=40) | st.text(
    st.sampled_from("\0\n\r\t\x1b\x7f\x85\u2028\u202e\ud800\udfff\ufeff/%~:.,= \"'\\`${}\u017f\u212a\u0664"),
    max_size=30,
)
LONG = st.builds(bytes.__mul__, st.binary(min_size=1, max_size=3), st.integers(500, 20_000))
NASTY_BYTES = st.binary(max_size=60) | NASTY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")) | LONG
NASTY_NUMBERS = st.sampled_from([b"NaN", b"1e999", b"-0", b"9" * 5_000, b"[" * 2_000, b"[]", b'"', b"{}", b"null"])
TIMES = (
    NASTY_BYTES
    | st.from_regex(rb"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9:]{2,8})?\Z")
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat().encode())
)
ROWS = st.builds(lambda host, time: ROW % (host, time), NASTY_BYTES, TIMES) | st.builds(
    lambda number, row: b'{"x": ' + number + b", " + row[1:], NASTY_NUMBERS, st.just(LINES["good-row"])
)
LOG_LINES = st.builds(
    lambda host, status: ACCESS % (host, status), NASTY_BYTES, st.from_regex(rb"\A[0-9]{3}\Z") | NASTY_BYTES
) | NASTY_BYTES.map(lambda host: WARNING % host)


def damage(line: bytes, at: int, piece: bytes, *, is_cut: bool) -> bytes:
    """Put something into a line, or cut it there."""
    at %= len(line) + 1
    return line[:at] + piece + (b"" if is_cut else line[at:])


def nasty(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return lines whole and damaged, one or several of them, or no lines at all."""
    damaged = st.builds(damage, lines, st.integers(0, 200), NASTY_BYTES, is_cut=st.booleans())
    return st.lists(lines | damaged | NASTY_BYTES, min_size=1, max_size=4).map(b"\n".join)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_F7_every_line_that_was_ever_nasty_is_taken_by_every_parser(path: Path) -> None:
    """What was kept of the nasty lines gives observations or rejections, and strict JSON where it is a host's name."""
    check(path.read_bytes())


def test_the_corpus_holds_every_line_by_its_name() -> None:
    """The files are what `make_corpus.py` writes; those found by the fuzzer may stand beside them."""
    kept = {path.stem: path.read_bytes() for path in CORPUS}

    assert {name: line for name, line in kept.items() if name in LINES} == LINES


@FUZZ
@given(nasty(ROWS))
def test_F7_no_index_line_raises(data: bytes) -> None:
    """Whatever stands in the index, each line is a upload or a rejection."""
    check_index(data)


@FUZZ
@given(nasty(LOG_LINES))
def test_F7_no_journal_message_raises(data: bytes) -> None:
    """Whatever stands in the journal, each line is at most one observation or rejection."""
    check_journal(data)


@FUZZ
@given(NASTY_TEXT)
def test_F7_alerts_stay_strict_json_whatever_a_host_is_called(name: str) -> None:
    """A row of the alert log is one line of strict JSON, and is read back as what it was."""
    check_alerts(name)


@FUZZ
@given(nasty(ROWS | LOG_LINES))
def test_any_line_may_stand_anywhere(data: bytes) -> None:
    """A line that is meant for one parser does no harm in another."""
    check(data)


class Recorder:
    """A pattern that notes what it is shown."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.groupindex = {"host": 1, "status": 2}

    def search(self, text: str) -> None:
        """Find nothing."""
        self.lengths.append(len(text))


@FUZZ
@given(nasty(LOG_LINES), st.integers(0, 3))
def test_F3_no_pattern_sees_more_than_2_kib_of_a_line(data: bytes, doublings: int) -> None:
    """Each pattern is shown 2 KiB of a line, once, or twice if the line ends in a carriage return or NUL."""
    response, host = Recorder(), Recorder()
    parser = LogParser(response, SETTINGS.receivers[0].journal.unstamped_marker, host)  # type: ignore[arg-type]

    message = (data * 2**doublings)[:MESSAGE_LIMIT]

    parser.parse(message, NOW)

    assert max(response.lengths + host.lengths) <= LONGEST_MATCHED
    lines = min(message.count(b"\n") + 1, MESSAGE_LINES)
    assert lines <= len(response.lengths) <= 2 * lines
    assert len(host.lengths) <= lines
