"""Rows of the index: an upload, or a rejection with a reason."""

from __future__ import annotations

import json
from datetime import datetime
from operator import attrgetter
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.observation import Upload
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.rejection import Rejection
from tests.rig.properties import tried

PROPERTY = tried(300)
PARSER = IndexParser(host_field="host_id", time_field="received_at_wall")
AT = 1_795_460_100_000_000
TIME = b'"2026-11-23T18:55:00Z"'


def row(host: str = '"pi-1"', time: str = TIME.decode(), rest: str = "") -> bytes:
    """Write a row of JSON values."""
    return f'{{"host_id": {host}, "received_at_wall": {time}{rest}}}'.encode("utf-8", "surrogatepass")


GOOD = row()
UPLOAD = Upload("pi-1", AT)


@pytest.mark.parametrize(
    ("line", "upload"),
    [
        pytest.param(row(), UPLOAD, id="the two keys alone"),
        pytest.param(row(rest=', "size": 3, "nested": {"host_id": "x"}, "list": [null, 1.5]'), UPLOAD, id="other keys"),
        pytest.param(b'{"received_at_wall":' + TIME + b',"host_id":"pi-1"}', UPLOAD, id="in another order"),
        pytest.param(b" \t" + GOOD + b" ", UPLOAD, id="blanks around it"),
        pytest.param(GOOD + b"\r", UPLOAD, id="a carriage return behind it"),
        pytest.param(row(r'"p\u0069-1"'), UPLOAD, id="escapes in the host"),
        pytest.param(row('"a b"'), Upload("a%20b", AT), id="a host name that must be made safe"),
        pytest.param(row('" "'), Upload("%20", AT), id="a blank is a host name like any other"),
        pytest.param(row('"\u2028"'), Upload("%E2%80%A8", AT), id="a line separator inside a string"),
        pytest.param(row(time='"2026-11-23T18:55:00+00:00"'), UPLOAD, id="an offset of zero"),
        pytest.param(row(time='"2026-11-23T20:55:00+02:00"'), UPLOAD, id="an offset to the east"),
        pytest.param(row(time='"2026-11-23T13:25:00-05:30"'), UPLOAD, id="an offset to the west"),
        pytest.param(row(time='"2026-11-24T02:55:00+0800"'), UPLOAD, id="an offset without colon"),
        pytest.param(row(time='"20261123T185500Z"'), UPLOAD, id="the basic format"),
        pytest.param(row(time='"2026-11-23T18:55:00.000001Z"'), Upload("pi-1", AT + 1), id="a microsecond"),
        pytest.param(
            row(time='"2026-11-23T18:55:00,5Z"'), Upload("pi-1", AT + 500_000), id="a comma before the fraction"
        ),
        pytest.param(
            row(time='"2026-11-23T18:55:00.000001999Z"'), Upload("pi-1", AT + 2), id="nanoseconds are rounded"
        ),
        pytest.param(row(time='"1969-12-31T23:59:59.999999Z"'), Upload("pi-1", -1), id="before the epoch"),
        pytest.param(row(time='"2199-12-31T23:59:59Z"'), Upload("pi-1", 7_258_118_399_000_000), id="a late year"),
    ],
)
def test_a_row_is_a_upload(line: bytes, upload: Upload) -> None:
    """A non-empty host and a time with an offset make an upload, whatever else the row contains."""
    assert PARSER.parse(line) == upload


MISSING, NOT_JSON, NOT_UTF8 = "host or time missing, or not a string", "not JSON", "not UTF-8"
NOT_ISO, NO_OFFSET, IMPLAUSIBLE = "time not in ISO 8601", "time without offset", "implausible time"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"", "blank line", id="nothing"),
        pytest.param(b" \t\r", "blank line", id="blanks"),
        pytest.param(row('""'), "empty host", id="an empty host"),
        pytest.param(b'{"received_at_wall":' + TIME + b"}", MISSING, id="no host"),
        pytest.param(b'{"host_id":"pi-1"}', MISSING, id="no time"),
        pytest.param(b"{}", MISSING, id="an empty object"),
        pytest.param(row("null"), MISSING, id="a host of null"),
        pytest.param(row("7"), MISSING, id="a host that is a number"),
        pytest.param(row('["pi-1"]'), MISSING, id="a host that is a list"),
        pytest.param(row(time="null"), MISSING, id="a time of null"),
        pytest.param(row(time="1795460100"), MISSING, id="a time that is a number"),
        pytest.param(row("1" * 5000), MISSING, id="a host of 5,000 digits"),
        pytest.param(row("1e999"), MISSING, id="a host beyond all numbers"),
        pytest.param(b"[]", MISSING, id="a list"),
        pytest.param(b'["pi-1",' + TIME + b"]", MISSING, id="a list of the two values"),
        pytest.param(b"null", MISSING, id="null"),
        pytest.param(b'"pi-1"', MISSING, id="a string"),
        pytest.param(b"pi-1", NOT_JSON, id="a word"),
        pytest.param(GOOD[:-1], NOT_JSON, id="a row that is torn off"),
        pytest.param(GOOD + b"x", NOT_JSON, id="something behind the row"),
        pytest.param(GOOD + GOOD, NOT_JSON, id="two rows on one line"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, NOT_JSON, id="a byte order mark, which is the tail's business"),
        pytest.param(GOOD.decode().encode("utf-16"), NOT_JSON, id="UTF-16"),
        pytest.param(b"\x00" * 8, NOT_JSON, id="NUL bytes alone"),
        pytest.param(row("NaN"), NOT_JSON, id="NaN"),
        pytest.param(row(rest=', "x": NaN'), NOT_JSON, id="NaN in another key"),
        pytest.param(row(rest=f', "x": {"[" * 10_000}{"]" * 10_000}'), NOT_JSON, id="deep nesting"),
        pytest.param(row(r'"\ud800"'), NOT_JSON, id="a lone surrogate"),
        pytest.param(row('"pi\n1"'), NOT_JSON, id="a control character"),
        pytest.param(b"\x1f\x8b\x08\x00", NOT_JSON, id="gzip"),
        pytest.param(b'{"host_id":"\xff","received_at_wall":' + TIME + b"}", NOT_UTF8, id="a host that is not UTF-8"),
        pytest.param(row('"\ud800"'), NOT_UTF8, id="a surrogate in UTF-8"),
        pytest.param(row(rest=', "x": "@"').replace(b"@", b"\xff"), NOT_UTF8, id="another key that is not UTF-8"),
        pytest.param(row(time='""'), NOT_ISO, id="an empty time"),
        pytest.param(row(time='"yesterday"'), NOT_ISO, id="a time in words"),
        pytest.param(row(time='"1795460100"'), NOT_ISO, id="seconds since the epoch"),
        pytest.param(row(time='"2026-11-23T18:55:00 Z"'), NOT_ISO, id="a blank before the offset"),
        pytest.param(row(time='"2026-02-29T00:00:00Z"'), NOT_ISO, id="a day that does not exist"),
        pytest.param(row(time='"2026-11-23T18:60:00Z"'), NOT_ISO, id="a minute that does not exist"),
        pytest.param(row(time='"2026-11-23T18:55:00+24:00"'), NOT_ISO, id="an offset of a day"),
        pytest.param(row(time='"10000-01-01T00:00:00Z"'), NOT_ISO, id="a year of five digits"),
        pytest.param(row(time='"2026-11-23x18:55:00Z"'), NOT_ISO, id="any letter between date and time"),
        pytest.param(row(time=r'"2026-11-23T18:55:00+00:00\u0000"'), NOT_ISO, id="a NUL behind the time"),
        pytest.param(row(time='"2026-11-23"'), NO_OFFSET, id="a date alone"),
        pytest.param(row(time='"2026-11-23T18:55:00"'), NO_OFFSET, id="a naive time"),
        pytest.param(row(time='"2200-01-01T00:00:00Z"'), IMPLAUSIBLE, id="a year that no clock has"),
        pytest.param(row(time='"9999-12-31T23:59:59-23:59"'), IMPLAUSIBLE, id="the end of the calendar"),
    ],
)
def test_anything_else_is_a_rejection_with_its_reason(line: bytes, reason: str) -> None:
    """Nothing is raised; rejections are counted by reason."""
    result = PARSER.parse(line)

    assert isinstance(result, Rejection)
    assert result.reason == reason


def test_the_fields_are_configuration() -> None:
    """Another receiver may use other keys, even those of this program."""
    parser = IndexParser(host_field="time", time_field="Zeit ä")

    assert parser.parse('{"time": "pi-1", "Zeit ä": "2026-11-23T18:55:00Z"}'.encode()) == UPLOAD
    assert isinstance(parser.parse(GOOD), Rejection)


@pytest.mark.parametrize(
    ("block", "uploads", "reasons"),
    [
        pytest.param(b"", [], [], id="nothing"),
        pytest.param(GOOD, [UPLOAD], [], id="a last line without its end"),
        pytest.param(GOOD + b"\n" + GOOD + b"\n", [UPLOAD, UPLOAD], [], id="two rows"),
        pytest.param(GOOD + b"\r\n" + GOOD + b"\r\n", [UPLOAD, UPLOAD], [], id="rows ended as on Windows"),
        pytest.param(GOOD + b"\r" + GOOD + b"\n", [UPLOAD], [NOT_JSON], id="a carriage return ends no line"),
        pytest.param(GOOD[:20] + GOOD + b"\n", [UPLOAD], [NOT_JSON], id="a row behind a torn one"),
        pytest.param(GOOD[:-1] + row(rest=', "meta": {"a": {}}') + b"\n", [UPLOAD], [NOT_JSON], id="one with objects"),
        pytest.param(
            row(rest=', "meta": ' + GOOD.decode() + ", x") + b"\n", [], [NOT_JSON], id="an object inside of one"
        ),
        pytest.param(
            row(rest=', "x": NaN, "text": "' + GOOD.decode().replace('"', r"\"") + '"') + b"\n",
            [],
            [NOT_JSON],
            id="a text that looks like a row",
        ),
        pytest.param(b"\n\n" + GOOD + b"\n", [UPLOAD], ["blank line"] * 2, id="blank lines are counted, the rest kept"),
        pytest.param(b"x\n" + GOOD + b"\ny\n", [UPLOAD], [NOT_JSON] * 2, id="bad lines do not hurt the others"),
        pytest.param(
            row('"\u2028\u0085"') + b"\n", [Upload("%E2%80%A8%C2%85", AT)], [], id="only a newline ends a line"
        ),
        pytest.param(b"\0" * 4096 + GOOD + b"\n", [UPLOAD], ["NUL bytes"], id="a run of NUL before a row"),
        pytest.param(GOOD + b"\n" + b"\0" * 4096, [UPLOAD], ["NUL bytes"], id="a run of NUL at the end"),
        pytest.param(b"\0" * 9 + b"\n" + GOOD + b"\n", [UPLOAD], ["NUL bytes"], id="a run of NUL on a line of its own"),
        pytest.param(b"\0\0x\n", [], ["NUL bytes", NOT_JSON], id="a run of NUL before something else"),
    ],
)
def test_a_block_is_read_line_by_line(block: bytes, uploads: list[Upload], reasons: list[str]) -> None:
    """Lines are independent; runs of NUL are skipped and counted."""
    found, rejections = PARSER.parse_block(block)

    assert (found, [rejection.reason for rejection in rejections]) == (uploads, reasons)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(GOOD[:20] + b"\0" * 4096 + GOOD + b"\n", id="between a torn row and a whole one"),
        pytest.param(GOOD + b"\0" * 4096 + b"\n", id="behind a row"),
        pytest.param(b"\0" * 512 + GOOD[:20] + b"\0" * 512 + GOOD + b"\n", id="twice in a line"),
    ],
)
def test_a_run_of_nul_inside_a_line_does_not_cost_its_row(block: bytes) -> None:
    """A row was half written at a power cut, and the next one follows the hole: that one is kept."""
    uploads, rejections = PARSER.parse_block(block)

    assert uploads == [UPLOAD]
    assert "NUL bytes" in {rejection.reason for rejection in rejections}


LINES = st.lists(
    st.sampled_from([GOOD, row('"pi-2"'), row('""'), GOOD + b"\r", b"", b"x", b"\xff", row("7")])
    | st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"").replace(b"\0", b"")),
    max_size=12,
)


@PROPERTY
@given(lines=LINES)
def test_a_block_is_the_sum_of_its_lines(lines: list[bytes]) -> None:
    """Reading lines together gives the same as one by one, in order."""
    results = [PARSER.parse(line) for line in lines]

    uploads, rejections = PARSER.parse_block(b"".join(line + b"\n" for line in lines))

    assert uploads == [result for result in results if isinstance(result, Upload)]
    assert rejections == [result for result in results if isinstance(result, Rejection)]


@PROPERTY
@given(lines=LINES, cut=st.integers(0, 12))
def test_where_a_block_ends_does_not_matter(lines: list[bytes], cut: int) -> None:
    """Two blocks of whole lines give the same as one."""
    first, second = (PARSER.parse_block(b"".join(line + b"\n" for line in part)) for part in (lines[:cut], lines[cut:]))

    assert PARSER.parse_block(b"".join(line + b"\n" for line in lines)) == (first[0] + second[0], first[1] + second[1])


HALF_ROW = GOOD[: GOOD.index(b",") + 1]
PLAIN = st.builds(
    lambda host, second: row(f'"pi-{host}"', f'"2026-11-23T18:55:{second:02d}+00:00"'),
    st.integers(1, 3),
    st.integers(0, 59),
)
ODD = st.sampled_from(
    [
        row(time='"2026-11-23T19:00:00"'),
        row(time='"1899-12-31T23:59:59Z"'),
        row(time='"2500-01-01T00:00:00Z"'),
        row(time='"2026-11-23 18:55"'),
        row('"p\u00fc"'),
        row('""'),
        GOOD + GOOD,
        GOOD + b" " + GOOD,
        HALF_ROW + b"\n" + GOOD[len(HALF_ROW) :],
        row(rest=', "more": [\n]'),
        row(rest=', "more":\n{"a": 1}'),
        row(rest=', "more": "}\n{"'),
        b"null",
        b"null null",
        GOOD + b" null null " + GOOD,
        b" " + GOOD,
        GOOD + b"\r",
        GOOD + b"\0",
        GOOD[:-1] + b', "more": "\xff"}',
        b"",
        b"x",
    ]
)


@PROPERTY
@given(
    lines=st.lists(PLAIN, max_size=8).flatmap(
        lambda plain: st.lists(ODD, max_size=2).flatmap(lambda odd: st.permutations(plain + odd))
    ),
    ahead=st.integers(0, 60),
)
def test_the_latest_uploads_of_a_block_are_those_of_its_lines(lines: list[bytes], ahead: int) -> None:
    """Each host has the same last upload, and every rejected line is counted."""
    block, until = b"".join(line + b"\n" for line in lines), AT + ahead * 1_000_000
    every, rejections = PARSER.parse_block(block)

    uploads, rejected, count = PARSER.parse_latest(block, until)

    assert (rejected, count) == (rejections, len(every))
    assert {upload.host: upload.at for upload in sorted(uploads, key=attrgetter("at"))} == {
        upload.host: upload.at for upload in sorted(every, key=attrgetter("at"))
    }
    assert [upload for upload in uploads if upload.at > until] == [upload for upload in every if upload.at > until]
    if any(upload.at > until for upload in every):
        assert uploads == every


@PROPERTY
@given(lines=st.lists(PLAIN | ODD, max_size=8))
def test_all_uploads_of_a_block_are_those_of_its_lines(lines: list[bytes]) -> None:
    """Decoded together or line by line, each line gives the same result."""
    block = b"".join(line + b"\n" for line in lines)

    assert PARSER.parse_every(block) == PARSER.parse_block(block)


@pytest.mark.parametrize("odd", [b"", b"x\n", row('"last"') + b"\n", row('""') + b"\n"])
def test_a_long_block_is_read_like_its_lines(odd: bytes) -> None:
    """However it is cut, and whatever the last piece contains."""
    rows = (row(f'"pi-{number % 7}"', f'"2026-11-23T{number // 3600:02d}:00:00Z"') for number in range(4_000, 0, -1))
    block = b"".join(one + b"\n" for one in rows) + odd
    every, rejections = PARSER.parse_block(block)

    uploads, rejected, count = PARSER.parse_latest(block, AT)

    assert PARSER.parse_every(block) == (every, rejections)
    assert (rejected, count) == (rejections, len(every))
    assert {upload.host: upload.at for upload in sorted(uploads, key=attrgetter("at"))} == {
        upload.host: upload.at for upload in sorted(every, key=attrgetter("at"))
    }


def test_of_many_plain_rows_only_the_latest_are_given() -> None:
    """That is what makes it fast."""
    uploads, _, count = PARSER.parse_latest((GOOD + b"\n") * 1_000, AT)

    assert (uploads, count) == ([UPLOAD], 1_000)


SYNTAX = [bytes([octet]) for octet in b'{}[]:,"-TZ\n\0\xff']
WORDS = [b'"host_id"', b'"received_at_wall"', TIME, TIME[:-2] + b'"', b"null", b"NaN", b"1e9"]
UNICODE = [b"\\u", b"d800", b"\xed\xa0\x80", b"\xef\xbb\xbf"]
FRAGMENTS = st.sampled_from([*SYNTAX, *WORDS, *UNICODE])
JUNK = st.lists(FRAGMENTS | st.binary(max_size=4), max_size=20).map(b"".join)


@PROPERTY
@given(data=JUNK | st.binary() | st.lists(JUNK, max_size=2).map(lambda junk: GOOD.join([b"", *junk])))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    """Any line gives a result."""
    result = PARSER.parse(data)
    uploads, rejections = PARSER.parse_block(data)

    assert len(uploads) + len(rejections) >= len(data.removesuffix(b"\n").split(b"\n")) * bool(data)
    assert PARSER.time_of(data) == (result.at if isinstance(result, Upload) else None)


@PROPERTY
@given(time=st.text(st.sampled_from("0123456789-:.,+TWZ \0x\u0664\u2212"), max_size=32))
def test_no_time_makes_it_raise(time: str) -> None:
    """A time is read as Python reads it, or rejected."""
    result = PARSER.parse(json.dumps({"host_id": "pi-1", "received_at_wall": time}).encode())

    if isinstance(result, Upload):
        assert datetime.fromisoformat(time).tzinfo is not None


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(GOOD + b"\n", id="one row"),
        pytest.param(b"\n".join((GOOD, row('"a b"'), row('"ö"'), GOOD)) + b"\n", id="a host twice, and odd names"),
        pytest.param(GOOD + b"\n" + GOOD, id="no newline at the end"),
        pytest.param(GOOD + b"\n" + row(time='"0001-01-01T00:00:00Z"') + b"\n", id="too early a time"),
        pytest.param(GOOD + b"\n" + row(time='"9999-12-31T00:00:00Z"') + b"\n", id="too late a time"),
        pytest.param(GOOD + b"\n" + row(time='"2200-01-01T00:00:00Z"') + b"\n", id="the first time that is too late"),
        pytest.param(GOOD + b"\n" + row(time='"2026-11-23T18:55:00"') + b"\n", id="a time without an offset"),
        pytest.param(GOOD + b"\n" + row('"\xff"').replace("ÿ".encode(), b"\xff") + b"\n", id="no UTF-8"),
        pytest.param(GOOD + b"\n" + row('""') + b"\n", id="an empty host"),
        pytest.param(GOOD + b"\n\nnonsense\n", id="no row at all"),
        pytest.param(b"".join(row(f'"h{number}"') + b"\n" for number in range(20_000)), id="more hosts than are kept"),
    ],
)
def test_every_row_of_a_block_is_read_alike(block: bytes) -> None:
    """The fast path gives the same as reading row by row, also the second time."""
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")

    assert [parser.parse_every(block) for _ in range(2)] == [PARSER.parse_block(block)] * 2


def test_names_that_come_and_go_fill_no_memory() -> None:
    """The cache of names is emptied when it is full, and a name of any length is not kept."""
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")
    for begin in range(0, 60_000, 10_000):
        block = b"".join(row(f'"h{number}"') + b"\n" for number in range(begin, begin + 10_000))
        uploads, rejections = parser.parse_every(block)
        assert (len(uploads), rejections) == (10_000, [])
    parser.parse(row(f'"{"long" * 1_000}"'))

    assert len(parser._names) == 20_000
    assert max(map(len, parser._names)) <= 128


@pytest.mark.parametrize("count", [1, 2, 1_000])
def test_rows_that_are_all_plain_are_never_read_one_by_one(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take three to five times as long."""
    block = (GOOD + b"\n") * count
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")

    def refuse(_: bytes) -> NoReturn:
        pytest.fail("a row was read by itself")

    monkeypatch.setattr(parser, "parse", refuse)

    assert parser.parse_every(block) == ([UPLOAD] * count, [])
    assert parser.parse_latest(block, AT) == ([UPLOAD], [], count)
