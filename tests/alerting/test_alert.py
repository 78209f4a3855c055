"""The row and the dedup key of an alert, on which programs rely."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fleet_health.alerting.alert import LOST, RESOLVED, Alert, Notice, dedup_key
from fleet_health.alerting.evidence import Evidence
from fleet_health.detectors.spec import Finding

AT = 1_795_460_100_000_000
"""2026-11-23T18:55:00Z."""
HOUR_BEGINS, HOUR_ENDS = 1_795_456_800_000_000, 1_795_460_399_999_999
FINDING = Finding("pi-01", "silent", "no accepted upload for 31 min", "On pi-01: look at the shipper.")


@pytest.mark.parametrize(
    ("host", "symptom", "at", "key"),
    [
        # printf 'pi-01|silent|2026-11-23T18' | sha256sum | cut -c1-16, and so on.
        pytest.param("pi-01", "silent", AT, "3df592a352c1c5ce", id="pi-01|silent|2026-11-23T18"),
        pytest.param("pi-01", "silent", HOUR_BEGINS, "3df592a352c1c5ce", id="the first microsecond of the hour"),
        pytest.param("pi-01", "silent", HOUR_ENDS, "3df592a352c1c5ce", id="the last microsecond of the hour"),
        pytest.param("pi-01", "silent", HOUR_ENDS + 1, "0b92378af2326044", id="pi-01|silent|2026-11-23T19"),
        pytest.param("pi-01", "fatal-only", AT, "ee07c1c4fe91b049", id="pi-01|fatal-only|2026-11-23T18"),
        pytest.param("bench-2", "unstamped", 0, "1d0983480b739d40", id="bench-2|unstamped|1970-01-01T00"),
        pytest.param(
            "lab%20x", "unstamped", 1_798_761_599_000_000, "e6e540b6d9b40f9a", id="lab%20x|unstamped|2026-12-31T23"
        ),
    ],
)
def test_the_key_is_what_sha256sum_says(host: str, symptom: str, at: int, key: str) -> None:
    """The key is the first 16 hex digits of the SHA-256 of host, symptom and UTC hour."""
    assert dedup_key(host, symptom, at) == key


def test_the_row_has_the_six_keys() -> None:
    """Programs that read `alerts.jsonl` find these keys, in this order, all of them strings."""
    assert list(Alert(FINDING, AT).row().items()) == [
        ("host", "pi-01"),
        ("symptom", "silent"),
        ("detail", "no accepted upload for 31 min"),
        ("suggested_fix", "On pi-01: look at the shipper."),
        ("detected_at_wall", "2026-11-23T18:55:00+00:00"),
        ("dedup_key", "3df592a352c1c5ce"),
    ]


@pytest.mark.parametrize(
    ("evidence", "command", "facts"),
    [
        pytest.param(None, "", {}, id="nothing was gathered"),
        pytest.param(Evidence(), "", {}, id="nothing is known"),
        pytest.param(
            Evidence(last_good_at=AT - 2), "", {"last_good_wall": "2026-11-23T18:54:59.999998+00:00"}, id="an upload"
        ),
        pytest.param(
            Evidence(AT - 2, AT - 1, {412: 9, 503: 3}, 2, "412", ("PUT … 412",)),
            "journalctl --grep=pi-01",
            {
                "last_good_wall": "2026-11-23T18:54:59.999998+00:00",
                "first_bad_wall": "2026-11-23T18:54:59.999999+00:00",
                "responses": {"412": 9, "503": 3},
                "unstamped": 2,
                "reason": "412",
                "samples": ["PUT … 412"],
                "command": "journalctl --grep=pi-01",
            },
            id="everything",
        ),
    ],
)
def test_the_evidence_follows_the_six_keys(evidence: Evidence | None, command: str, facts: dict[str, object]) -> None:
    """Unknown facts are left out, so a key that is present always has a value."""
    alert = Alert(FINDING, AT, evidence, command)

    assert alert.facts() == facts
    assert list(alert.row().items())[6:] == list(facts.items())


@pytest.mark.parametrize(
    ("status", "ended_at", "detail", "line"),
    [
        pytest.param(
            RESOLVED, AT + 60_000_000, "resolved after 1 min", "RESOLVED host=pi-01 symptom=silent ", id="resolved"
        ),
        pytest.param(
            LOST,
            AT - 1,
            "no sign of the host for the whole lookback, after 0 s of silent; it will not be notified again",
            "LOST host=pi-01 symptom=silent ",
            id="lost, and the clock was set back",
        ),
    ],
)
def test_a_notice_says_what_became_of_an_incident(status: str, ended_at: int, detail: str, line: str) -> None:
    """The row of a notice has the keys of an alert, `status`, and a duration that is never negative."""
    notice = Notice(status, "pi-01", "silent", AT, ended_at, AT + 120_000_000)
    row = notice.row()

    assert (row["detail"], row["suggested_fix"], row["status"]) == (detail, "", status)
    assert row["lasted_s"] == max(0, ended_at - AT) / 1_000_000
    assert notice.line() == line + detail


def test_the_row_keeps_the_microseconds() -> None:
    """The time of a tick within a second is written exactly."""
    assert Alert(FINDING, AT + 1).row()["detected_at_wall"] == "2026-11-23T18:55:00.000001+00:00"


def test_the_line_is_easy_to_grep() -> None:
    """The journal's MESSAGE begins with host and symptom, and is one line."""
    assert Alert(FINDING, AT).line() == "ALERT host=pi-01 symptom=silent no accepted upload for 31 min"


def test_each_notice_has_a_key_of_its_own() -> None:
    """The key depends on host, symptom, status and instant only."""
    notice = Notice("resolved", "pi-01", "silent", AT, AT, AT)
    others: list[dict[str, Any]] = [{"status": "lost"}, {"host": "pi-02"}, {"symptom": "slow"}, {"detected_at": AT + 1}]

    assert len({notice.dedup_key, *(replace(notice, **other).dedup_key for other in others)}) == 5
    assert replace(notice, began_at=AT - 1).dedup_key == notice.dedup_key


@pytest.mark.parametrize(("is_repeat", "shown"), [(True, {"is_repeat": True}), (False, {})])
def test_only_a_repeat_says_that_it_is_one(*, is_repeat: bool, shown: dict[str, bool]) -> None:
    """The row of a first alert has no key `is_repeat`."""
    row = Alert(FINDING, AT, is_repeat=is_repeat).row()

    assert {key: value for key, value in row.items() if key == "is_repeat"} == shown
