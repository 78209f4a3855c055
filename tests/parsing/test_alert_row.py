"""Rows of `alerts.jsonl` read back: which alert, and when."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.alert import Alert, Notice
from fleet_health.alerting.evidence import Evidence
from fleet_health.alerting.incidents import Incidents
from fleet_health.detectors.spec import Finding
from fleet_health.parsing.alert_row import parse_alert_row, parse_incident_row, parse_whole_row
from tests.rig.properties import tried

AT = 1_795_460_100_000_000
YEAR_2199 = 7_258_118_399_000_000
KEY = b'"dedup_key":"0123456789abcdef"'


@tried(200)
@given(host=st.text(st.characters(exclude_categories=["Cs"])), detail=st.text(), at=st.integers(0, YEAR_2199))
def test_what_is_written_is_read_back(host: str, detail: str, at: int) -> None:
    """A row has the key and the time of its alert."""
    alert = Alert(Finding(host, "silent", detail.encode("utf-8", "replace").decode(), "fix"), at)

    assert parse_alert_row(msgspec.json.encode(alert.row())) == (alert.dedup_key, at)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        pytest.param(b'{%s,"detected_at_wall":"2026-11-23T18:55:00+00:00"}', AT, id="in UTC"),
        pytest.param(b'{%s,"detected_at_wall":"2026-11-23T20:55:00+02:00"}\n', AT, id="in another zone, with newline"),
        pytest.param(b'{"new":[1],%s,"detected_at_wall":"2026-11-23T18:55:00.000001Z"}', AT + 1, id="with more keys"),
        pytest.param(b'{%s,"detected_at_wall":"2026-11-23T18:55:00"}', None, id="without offset"),
        pytest.param(b'{%s,"detected_at_wall":"now"}', None, id="without a date"),
        pytest.param(b'{%s,"detected_at_wall":1795460100}', None, id="with a number for a date"),
        pytest.param(b"{%s}", None, id="without an instant"),
        pytest.param(b'{"detected_at_wall":"2026-11-23T18:55:00Z"}', None, id="without a key"),
        pytest.param(b'{"dedup_key":7,"detected_at_wall":"2026-11-23T18:55:00Z"}', None, id="with a number for a key"),
        pytest.param(b'{%s,"detected_at_wall":"2026-11-23T18:5', None, id="torn off"),
        pytest.param(b"\0\0\0", None, id="NUL bytes"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"[" * 10_000, None, id="deep nesting"),
        pytest.param(b'{"dedup_key":"\xff","detected_at_wall":"2026-11-23T18:55:00Z"}', None, id="not UTF-8"),
    ],
)
def test_a_line_is_a_row_or_nothing(line: bytes, row: int | None) -> None:
    """A line that is not a row suppresses nothing."""
    expected = None if row is None else ("0123456789abcdef", row)

    assert parse_alert_row(line.replace(b"%s", KEY)) == expected


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(b"9999-12-31T23:59:59-23:59", id="behind the end of the calendar in UTC"),
        pytest.param(b"0001-01-01T00:00:00+23:59", id="before its beginning"),
    ],
)
def test_a_row_from_beyond_the_calendar_never_blocks_the_start(time: bytes) -> None:
    """Its time has no UTC hour, but remembering it must not raise."""
    row = parse_alert_row(b'{"detected_at_wall":"' + time + b'",' + KEY + b"}")

    incidents = Incidents()
    if row is not None:
        incidents.note_sent(*row)


@tried(300)
@given(line=st.binary())
def test_no_bytes_make_it_raise(line: bytes) -> None:
    """Any line gives a result."""
    assert parse_alert_row(line) is None


@pytest.mark.parametrize("host", ["pi-01", "*"])
@pytest.mark.parametrize(
    "evidence", [Evidence(samples=[]), Evidence(AT - 2, AT - 1, {412: 9}, 2, "412", ["PUT … 412"])]
)
def test_an_alert_is_read_back_whole(host: str, evidence: Evidence) -> None:
    """So that it can be sent again, with all its evidence."""
    alert = Alert(Finding(host, "silent", "detail", "fix"), AT, evidence, "journalctl")

    assert parse_whole_row(msgspec.json.encode(alert.row())) == (alert, AT)
    assert parse_incident_row(msgspec.json.encode(alert.row())) == ((host, "silent", ""), AT)


def test_a_notice_is_read_back_whole() -> None:
    """Its end is the time of its row; how long it lasted is kept."""
    notice = Notice("resolved", "pi-01", "silent", AT - 60_000_000, AT, AT)
    row = notice.row()

    assert parse_whole_row(msgspec.json.encode(row)) == (notice, AT)
    assert parse_incident_row(msgspec.json.encode(row)) == (("pi-01", "silent", "resolved"), AT)
    assert parse_whole_row(msgspec.json.encode(row | {"lasted_s": None})) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"host": "pi-02"}, id="another host than the key's"),
        pytest.param({"symptom": "unstamped"}, id="another symptom"),
        pytest.param({"host": "a b"}, id="no name of a host"),
        pytest.param({"detected_at_wall": "yesterday"}, id="no instant"),
        pytest.param({"first_bad_wall": "yesterday"}, id="no instant in the evidence"),
        pytest.param({"responses": {"412": -1}}, id="fewer than no responses"),
        pytest.param({"unstamped": -1}, id="fewer than none without a stamp"),
        pytest.param({"reason": 21 * "a"}, id="a long reason"),
        pytest.param({"samples": 11 * ["line"]}, id="many sample lines"),
        pytest.param({"detail": 100_000 * "a"}, id="a long detail"),
        pytest.param({"status": "resolved", "lasted_s": -1e-6}, id="a notice of less than no time"),
        pytest.param({"status": "resolved", "lasted_s": 1.1e10}, id="one of centuries"),
    ],
)
def test_a_row_that_is_not_ours_is_not_made_an_alert(change: dict[str, Any]) -> None:
    """Its key does not fit, or its values cannot be read."""
    row = Alert(Finding("pi-01", "silent", "detail", "fix"), AT).row() | change

    assert parse_whole_row(msgspec.json.encode(row)) is None
