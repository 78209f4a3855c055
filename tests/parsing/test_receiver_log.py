"""The receiver's messages: access lines, unstamped rejections, and the rest."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.observation import Response, Unstamped
from fleet_health.parsing.receiver_log import MESSAGE_LIMIT, LogObservation, LogParser, compile_pattern
from tests.rig.properties import tried

PROPERTY = tried(300)
AT = 1_795_460_100_000_000
# Patterns of one's own, that are searched for anywhere in a line; the defaults are tried in tests/security.
RESPONSE = r'PUT /v1/episodes/(?P<host>[^/]+)/[^"]+ HTTP/1\.1" (?P<status>\d{3})'
MARKER, MARKED_HOST = "missing X-Cis490-Code-Commit", r"host=(?P<host>\S+)"
PARSER = LogParser(re.compile(RESPONSE), MARKER, re.compile(MARKED_HOST))
LINE_LIMIT = 2_048


def access(status: int | str = 201, host: str = "pi-1") -> bytes:
    """Write an access line as uvicorn does."""
    return f'INFO:     10.0.0.7:51324 - "PUT /v1/episodes/{host}/ep-7.tar HTTP/1.1" {status} Created'.encode()


def warning(named: str = "host=pi-1", marker: str = MARKER) -> bytes:
    """Write the receiver's warning about an unstamped upload."""
    return f"WARNING:cis490.receiver:refused: {marker} {named}".encode()


def response(status: int = 201, host: str = "pi-1") -> Response:
    """Expect an answer."""
    return Response(host, AT, status)


def unstamped(host: str = "pi-1") -> Unstamped:
    """Expect an unstamped rejection."""
    return Unstamped(host, AT)


@pytest.mark.parametrize(
    ("message", "observations"),
    [
        pytest.param(access(201), [response(201)], id="a success"),
        pytest.param(access(200), [response(200)], id="the first 2xx"),
        pytest.param(access(299), [response(299)], id="the last 2xx"),
        pytest.param(access(400), [response(400)], id="the first 4xx"),
        pytest.param(access(499), [response(499)], id="the last 4xx"),
        pytest.param(access(500), [response(500)], id="the first 5xx"),
        pytest.param(access(599), [response(599)], id="the last 5xx"),
        pytest.param(access(100), [], id="1xx counts for nothing"),
        pytest.param(access(199), [], id="the last 1xx, too"),
        pytest.param(access(304), [], id="3xx counts for nothing"),
        pytest.param(access(600), [], id="a status beyond 5xx counts for nothing"),
        pytest.param(access("000"), [], id="no status at all counts for nothing"),
        pytest.param(access("٤٠٤"), [response(404)], id="a status in other digits is a number, too"),
        pytest.param(access().replace(b"PUT", b"GET"), [], id="another method counts for nothing"),
        pytest.param(access().replace(b"/v1/", b"/v2/"), [], id="another path counts for nothing"),
        pytest.param(access(host="a%20b"), [response(host="a%20b")], id="a host that is encoded in the URL"),
        pytest.param(b"", [], id="an empty message"),
        pytest.param(b"INFO:     Application startup complete.", [], id="any other message"),
        pytest.param(warning(), [unstamped()], id="an unstamped rejection"),
        pytest.param(warning(marker=MARKER.upper()), [unstamped()], id="the marker in capitals"),
        pytest.param(warning(marker=MARKER.lower()), [unstamped()], id="the marker in small letters"),
        pytest.param(warning("host=pi-1,"), [unstamped()], id="a trailing comma is not part of the name"),
        pytest.param(warning("host=pi-1,,, size=3"), [unstamped()], id="nor are several"),
        pytest.param(warning("host=pi,1"), [unstamped("pi%2C1")], id="a comma inside is part of it"),
        pytest.param(warning("host=,pi-1"), [unstamped("%2Cpi-1")], id="so is one in front"),
        pytest.param(warning("host=pi-1\r"), [unstamped()], id="a carriage return is not part of it"),
        pytest.param(warning("host=pi-1 host=pi-2"), [unstamped()], id="the first name counts"),
        pytest.param(b"host=pi-1 " + warning(""), [unstamped()], id="the name may stand before the marker"),
        pytest.param(warning("HOST=pi-2 host=pi-1"), [unstamped()], id="the name's pattern heeds the case"),
        pytest.param(b"host=pi-1 says nothing by itself", [], id="a name without the marker says nothing"),
        pytest.param(access(412) + b" " + warning(), [response(412)], id="an access is no warning, with one behind it"),
        pytest.param(warning() + b" " + access(412), [response(412)], id="an access is no warning, with one before it"),
        pytest.param(access(304) + b" " + warning(), [], id="nor if its status is not counted"),
        pytest.param(warning("host=pi-1: no"), [unstamped()], id="a trailing colon is not part of the name"),
        pytest.param(warning("host=pi-1;. x"), [unstamped()], id="nor a semicolon, nor a full stop"),
        pytest.param(warning("host=pi.1:b"), [unstamped("pi.1:b")], id="inside of it they are"),
        pytest.param(
            access(412) + b"\n" + warning(), [response(412), unstamped()], id="lines of a message stand for themselves"
        ),
        pytest.param(
            b"Traceback:\n" + access(500) + b"\n\n" + access(500, "pi-2") + b"\n",
            [response(500), response(500, "pi-2")],
            id="several accesses in one message",
        ),
        pytest.param(
            access(201) + b"\r\n" + warning() + b"\r\n", [response(201), unstamped()], id="lines ended as on Windows"
        ),
        pytest.param(
            warning("")[:-1].replace(b" X", b"\nX") + b"\nhost=pi-1", [], id="a marker over two lines is no marker"
        ),
        pytest.param(
            b"\xff\xfe" + access() + b"\xff\n\xff" + warning(), [response(), unstamped()], id="bytes that are not UTF-8"
        ),
        pytest.param(b"\0" + access() + b"\0", [response()], id="NUL bytes around a line"),
        pytest.param(
            access(host="pi\udcff".encode("utf-8", "replace").decode()), [response(host="pi%3F")], id="escapes"
        ),
    ],
)
def test_what_a_message_says(message: bytes, observations: list[LogObservation]) -> None:
    """Each line is an unstamped rejection, an access, or nothing."""
    assert PARSER.parse(message, AT) == (observations, [])


@pytest.mark.parametrize("end", [":", ";", ",", ".", ":.", "...", "%3A"])
def test_punctuation_behind_a_name_belongs_to_it_by_no_pattern(end: str) -> None:
    """Whatever the pattern captures; inside a name it stays."""
    parser = LogParser(
        re.compile(r"host=(?P<host>\S+) status=(?P<status>\d+)"), MARKER, re.compile(r"by (?P<host>\S+)")
    )
    in_url = LogParser(re.compile(r"PUT /(?P<host>[^/ ]+)/\S+ (?P<status>\d+)"), None, None)
    octets = end.encode()

    if end != "%3A":  # not in a URL, that is what a name says
        assert parser.parse(b"host=aa:b.c" + octets + b" status=412", AT)[0] == [response(412, "aa:b.c")]
        assert parser.parse(MARKER.encode() + b" by pi-1" + octets, AT)[0] == [unstamped()]
    assert in_url.parse(b"PUT /pi-1" + octets + b"/e1 201", AT)[0] == [response()]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(warning(""), "unstamped rejection names no host", id="no name"),
        pytest.param(warning("host="), "unstamped rejection names no host", id="an empty name"),
        pytest.param(warning("host= pi-1"), "unstamped rejection names no host", id="a blank before the name"),
        pytest.param(warning("host=,,"), "unstamped rejection names no host", id="commas only"),
        pytest.param(warning("host=:;,."), "unstamped rejection names no host", id="punctuation only"),
    ],
)
def test_a_warning_without_host_is_a_rejection(message: bytes, reason: str) -> None:
    """It should have counted for a host, so it is counted as unread."""
    observations, rejections = PARSER.parse(message, AT)

    assert (observations, [rejection.reason for rejection in rejections]) == ([], [reason])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"PUT - 201", "access names no host", id="a host that is not there"),
        pytest.param(b"PUT pi-1 -", "status is not a number", id="a status that is not there"),
        pytest.param(b"PUT pi-1 2o1", "status is not a number", id="a status in letters"),
        pytest.param(b"PUT pi-1 " + b"1" * 1_999, None, id="a status of very many digits is another status"),
        pytest.param("PUT pi-1 ²".encode(), "status is not a number", id="a status in superscript"),
    ],
)
def test_a_pattern_of_ones_own_may_find_too_little(line: bytes, reason: str | None) -> None:
    """An empty group, or one that is not a number, makes a rejection."""
    parser = LogParser(
        re.compile(r"PUT (?:(?P<host>[\w-]+\w)|-) (?:(?P<status>\w+)|-)"), MARKER, re.compile(MARKED_HOST)
    )

    observations, rejections = parser.parse(line, AT)

    assert observations == []
    assert [rejection.reason for rejection in rejections] == ([reason] if reason else [])


def test_the_patterns_are_configuration() -> None:
    """Another receiver has other patterns and another marker, in any case."""
    parser = LogParser(
        re.compile(r"^(?P<host>\S+) -> (?P<status>\d+)"), "Ohne STEMPEL", re.compile(r"von (?P<host>\S+)")
    )

    assert parser.parse(b"pi-1 -> 412\nohne Stempel: von pi-2,\npi-3 -> 4120", AT) == (
        [response(412), unstamped("pi-2")],
        [],
    )


@pytest.mark.parametrize(
    ("line", "observations"),
    [
        pytest.param(access(412).rjust(LINE_LIMIT), [response(412)], id="an access that just fits"),
        pytest.param(warning().rjust(LINE_LIMIT), [unstamped()], id="a host at the very end of a line that just fits"),
        pytest.param(access(412) + b"x" * 10_000, [response(412)], id="an access before something long"),
        pytest.param(b"x" * 10_000 + access(412), [response(412)], id="an access behind something long"),
        pytest.param(access(412, "a/" + "e" * 10_000), [response(412, "a")], id="an access with a long path"),
        pytest.param(b"x y " * 10_000 + access(412), [response(412)], id="an access behind many words"),
        pytest.param(b"x" * 10_000 + b" " + warning(), [unstamped()], id="a warning behind something long"),
        pytest.param(
            b"x" * 10_000 + b"\n" + access(412), [response(412)], id="the limit is each line's, not the message's"
        ),
    ],
)
def test_the_beginning_and_the_end_of_a_long_line_are_looked_at(
    line: bytes, observations: list[LogObservation]
) -> None:
    """Padding hides nothing."""
    assert PARSER.parse(line, AT) == (observations, [])


def test_a_line_of_which_something_was_passed_over_is_counted_if_nothing_is_found() -> None:
    """A run of one word is seen at both ends, so nothing in it is missed; the middle of many words is not read."""
    observations, rejections = PARSER.parse(b"x" * 10_000 + b"\n" + b"x y " * 10_000, AT)

    assert observations == []
    assert [one.reason for one in rejections] == ["line longer than 2 KiB, no match in the part that was read"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(warning("host=" + "a" * 10_000), id="a name of 10 kB in a warning"),
        pytest.param(access(412, "a" * 10_000), id="a name of 10 kB in an access"),
    ],
)
def test_a_host_that_the_limit_cuts_is_not_taken_for_another(line: bytes) -> None:
    """A name that is only half visible could be any host's, so the line counts for none."""
    observations, rejections = PARSER.parse(line, AT)

    assert observations == []
    assert [one.reason for one in rejections] == ["host cut off by the limit on a line"]


def test_hosts_that_differ_in_what_is_not_utf8_are_not_merged() -> None:
    r"""The byte 0xff and the four characters `\\xff` are different names."""
    (one, other), _ = PARSER.parse(warning("host=@").replace(b"@", b"\xff") + b"\n" + warning(r"host=\xff"), AT)

    assert one.host != other.host


LOG_LINES = [access(201), access(412), access(304), warning(), warning(""), warning("host=,")]
WORDS = [MARKER.encode(), b"host=", b"pi-2", b"PUT /v1/episodes/", b"HTTP/1.1", b"\xe2\x80\xa8"]
PIECES = st.sampled_from([*LOG_LINES, *WORDS, *(bytes([octet]) for octet in b'\n\r\0\xff ,"')])
MESSAGES = st.lists(PIECES | st.binary(max_size=6), max_size=12).map(b"".join)


@PROPERTY
@given(message=MESSAGES | st.binary())
def test_no_message_makes_it_raise(message: bytes) -> None:
    """Every line gives at most one observation or rejection, with a host and the entry's own time."""
    observations, rejections = PARSER.parse(message, AT)

    assert len(observations) + len(rejections) <= message.count(b"\n") + 1
    assert all(observation.host and observation.at == AT for observation in observations)


@PROPERTY
@given(messages=st.lists(MESSAGES, max_size=4))
def test_a_message_is_the_sum_of_its_lines(messages: list[bytes]) -> None:
    """Whether lines come in one message or in several."""
    together = PARSER.parse(b"\n".join(messages), AT)
    apart = [PARSER.parse(message, AT) for message in messages]

    assert together == (
        [observation for observations, _ in apart for observation in observations],
        [rejection for _, rejections in apart for rejection in rejections],
    )


@PROPERTY
@given(message=MESSAGES)
def test_the_marker_changes_nothing_about_an_access(message: bytes) -> None:
    """An access stays an access, whatever follows it, the marker included."""
    line = access(412) + message.replace(b"\n", b" ").replace(b"PUT", b"")

    assert PARSER.parse(line + MARKER.swapcase().encode() + b" host=pi-2", AT) == ([response(412)], [])


def test_no_rule_for_warnings_leaves_them_alone() -> None:
    """If the marker cannot be trusted, a line with it is like any other."""
    parser = LogParser(re.compile(RESPONSE), None, None)

    assert parser.parse(warning() + b"\n" + access(412), AT) == ([response(412)], [])


@pytest.mark.parametrize("line", [b"", b"ab"], ids=["empty", "short"])
def test_a_message_of_very_many_lines_is_read_in_part(line: bytes) -> None:
    """Everything after the first lines is one rejection; a final line break adds no line."""
    observations, rejections = PARSER.parse(access() + b"\n" + (line + b"\n") * 300_000, AT)
    just = PARSER.parse((access() + b"\n") * 10_000, AT)

    assert observations == [response()]
    assert [one.reason for one in rejections] == ["message of more than 16,384 lines, rest not read"]
    assert (len(just[0]), just[1]) == (10_000, [])


@pytest.mark.parametrize(("before", "seen"), [(16_383, [response()]), (16_384, [])])
def test_the_last_line_that_is_read_is_the_16384th(before: int, seen: list[LogObservation]) -> None:
    """Even without a line break at its end."""
    observations, rejections = PARSER.parse(b"ab\n" * before + access(), AT)

    assert (observations, len(rejections)) == (seen, 1 - len(seen))


@pytest.mark.parametrize(
    ("text", "groups", "message"),
    [
        ("(", ("host",), "not a regular expression: missing ), unterminated subpattern at position 0"),
        ("x", ("host",), "without the group (?P<host>…)"),
        ("(?P<host>x)", ("host", "status"), "without the group (?P<status>…)"),
        ("x", ("host", "status"), "without the group (?P<host>…) and (?P<status>…)"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(text: str, groups: tuple[str, ...], message: str) -> None:
    """It must be a regular expression with the required named groups."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compile_pattern(text, *groups)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(?P<host>a){4294967295}", id="a repetition beyond all counting"),
        pytest.param("(" * 3_000 + "(?P<host>a)" + ")" * 3_000, id="deep nesting"),
    ],
)
def test_a_pattern_that_python_chokes_on_is_no_regular_expression(text: str) -> None:
    """OverflowError and RecursionError count as well."""
    with pytest.raises(ValueError, match=r"^not a regular expression: "):
        compile_pattern(text, "host")


def test_what_is_cut_off_a_huge_message_is_counted() -> None:
    """At most 1 MiB of a message is read; the lines beyond are counted as rejected."""
    line = access() + b"\n"

    observations, rejections = PARSER.parse(line * (MESSAGE_LIMIT // len(line) + 10), AT)

    assert len(observations) == MESSAGE_LIMIT // len(line)
    assert [rejection.reason for rejection in rejections] == ["message longer than 1 MiB, rest not read"]


def test_a_message_of_exactly_the_limit_is_read_whole() -> None:
    """Nothing of it is cut off."""
    message = (b"\n" + access()).rjust(MESSAGE_LIMIT, b"x")

    assert PARSER.parse(message, AT) == ([response()], [])
    assert len(PARSER.parse(b"x" + message, AT)[1]) == 1


@pytest.mark.parametrize(
    ("line", "missed"),
    [
        (access("2o1"), 1),
        (b"PUT /v1/episodes/pi-1/e HTTP/1.1", 1),
        (b"PUT /elsewhere HTTP/1.1 200", 0),
        (b"GET /v1/episodes/pi-1/e HTTP/1.1 200", 0),
        (b"started", 0),
        (access(201), 0),
    ],
)
def test_what_looks_like_an_upload_and_is_not_understood_is_counted(line: bytes, missed: int) -> None:
    """It must have both the method and the path of an upload; an understood line ends a run of them."""
    parser = LogParser(re.compile(RESPONSE), MARKER, re.compile(MARKED_HOST))
    parser.parse(line, AT)
    of_one = parser.missed
    parser.parse(line, AT)

    assert (of_one, parser.missed, parser.missed_in_a_row) == (missed, 2 * missed, 2 * missed)

    parser.parse(access(201), AT)

    assert (parser.missed, parser.missed_in_a_row) == (2 * missed, 0)


@PROPERTY
@given(
    names=st.lists(
        st.sampled_from(["pi-1", "pi-1:", "pi 1", "b%C3%BCro", "büro", "a" * 200, ""]), min_size=2, max_size=6
    ),
    statuses=st.lists(st.sampled_from(["201", "412", "503", "302", "٢٠١", "999"]), min_size=6, max_size=6),
)
def test_a_name_that_was_seen_before_is_read_as_at_first(names: list[str], statuses: list[str]) -> None:
    """Plain names are cached; the result of a line does not depend on earlier lines."""
    lines = [access(status, name) for name, status in zip(names, statuses, strict=False)] * 2

    def parser() -> LogParser:
        return LogParser(re.compile(RESPONSE), MARKER, re.compile(MARKED_HOST))

    one = parser()

    assert [one.parse(line, AT) for line in lines] == [parser().parse(line, AT) for line in lines]
