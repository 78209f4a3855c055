"""When a host is expected to upload."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fleet_health.config.values import upload_schedule
from fleet_health.model.instant import from_datetime
from fleet_health.model.pauses import Pause

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    """Return an instant; without an offset, in UTC."""
    moment = datetime.fromisoformat(text)
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("UTC")))


@pytest.mark.parametrize(
    ("text", "last", "due"),
    [
        pytest.param("daily 02:00 +- 1h", "2026-11-23T02:10", "2026-11-24T03:00", id="an upload within a time was it"),
        pytest.param("daily 02:00 +- 1h", "2026-11-23T01:00", "2026-11-24T03:00", id="also just at its begin"),
        pytest.param("daily 02:00 +- 1h", "2026-11-23T00:59", "2026-11-23T03:00", id="one before that was not"),
        pytest.param(
            "daily 02:00 +- 1h", "2026-11-23T03:01", "2026-11-24T03:00", id="nor was one after it, but the next is"
        ),
        pytest.param(
            "daily 00:10 +- 30m", "2026-11-22T22:00", "2026-11-23T00:40", id="a time that begins the day before"
        ),
        pytest.param("weekdays 09:00±30m", "2026-11-20T09:00", "2026-11-23T09:30", id="from Friday to Monday"),
        pytest.param("mon,thu 04:00 +- 2h", "2026-11-23T04:00", "2026-11-26T06:00", id="from Monday to Thursday"),
        pytest.param("mon 04:00 +- 2h", "2026-11-23T02:00", "2026-11-30T06:00", id="from one Monday to the next"),
        pytest.param("hourly :15 +- 5m", "2026-11-23T12:14", "2026-11-23T13:20", id="every hour"),
        pytest.param("hourly :15 +- 5m", "2026-11-23T12:09", "2026-11-23T12:20", id="every hour, just before"),
        pytest.param(
            "daily 02:30 Europe/Berlin +- 15m",
            "2026-10-24T02:30+02:00",
            "2026-10-25T02:45+01:00",
            id="where the wall clock shows a time twice, by the second reading",
        ),
        pytest.param(
            "daily 02:30 Europe/Berlin +- 15m",
            "2026-10-25T02:30+02:00",
            "2026-10-26T02:45+01:00",
            id="an upload by the first reading was it",
        ),
        pytest.param(
            "daily 02:30 Europe/Berlin +- 15m",
            "2026-03-29T03:00+02:00",
            "2026-03-30T02:45+02:00",
            id="where the wall clock skips a time, an upload just after that was it",
        ),
        pytest.param(
            "daily 12:00 Europe/Berlin +- 15m",
            "2026-10-24T12:00+02:00",
            "2026-10-25T12:15+01:00",
            id="by the wall clock, over the end of summer time",
        ),
    ],
)
def test_a_host_is_due_by_the_end_of_the_next_time(text: str, last: str, due: str) -> None:
    """Counted from its last upload, and never later than the longest declared interval."""
    schedule = upload_schedule(text)

    assert schedule.due_by(at(last)) == at(due)
    assert schedule.due_by(at(last)) - at(last) <= schedule.longest_us
    assert schedule.text == text


@pytest.mark.parametrize(
    ("pauses", "due"),
    [
        pytest.param([("2026-11-24T02:30", "2026-11-24T04:00")], "2026-11-25T03:00", id="its end lies in a pause"),
        pytest.param([("2026-11-24T02:59", "2026-11-24T03:00")], "2026-11-25T03:00", id="the pause ends with it"),
        pytest.param([("2026-11-24T03:00", "2026-11-24T04:00")], "2026-11-24T03:00", id="the pause begins at its end"),
        pytest.param([("2026-11-24T01:00", "2026-11-24T02:59")], "2026-11-24T03:00", id="the pause ends just before"),
        pytest.param([("2026-11-23T18:00", "2026-11-26T02:00")], "2026-11-26T03:00", id="a pause of several days"),
        pytest.param(
            [(f"2026-11-{day}T22:00", f"2026-11-{day + 1}T06:00") for day in range(22, 27)],
            "2026-11-25T03:00",
            id="the second time counts, also in a pause of every night",
        ),
    ],
)
def test_a_time_that_ends_in_a_pause_does_not_count_once(pauses: list[tuple[str, str]], due: str) -> None:
    """The host may not have been able to upload; a dead host is still found at the next time."""
    schedule = upload_schedule("daily 02:00 +- 1h")
    stretches = [Pause(at(since), at(until), "over") for since, until in pauses]

    assert schedule.due_by(at("2026-11-23T02:10"), stretches) == at(due)


@pytest.mark.parametrize(
    "text",
    [
        "daily",
        "daily 24:00 +- 1h",
        "daily 02:00",
        "daily 02:00 +- 13h",
        "yearly 02:00 +- 1h",
        "daily 02:00 Nowhere +- 1h",
        "hourly 15 +- 5m",
        "mon,mo 02:00 +- 1h",
        "hourly :15 Europe/Berlin +- 1m",
        7,
    ],
)
def test_what_is_no_schedule_is_refused(text: object) -> None:
    """The message states what was expected."""
    with pytest.raises(ValueError, match=r"schedule|zone|duration"):
        upload_schedule(text)
