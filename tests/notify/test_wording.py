"""What a person reads of a message."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.config.destinations.webhook import BODY_FIELDS
from fleet_health.notify import wording
from fleet_health.notify.message import Kind, Notification
from fleet_health.notify.payload import payload
from tests.rig.destinations import HOUR, OPENED, SILENT, lost, made, message, over

BERLIN = ZoneInfo("Europe/Berlin")
SPAN = "from 2026-11-18 12:06 CET to 2026-11-18 13:06 CET (1 h)"

LOST = "2026-11-18 12:06 CET. It has shown no sign for the whole lookback; nothing more is sent about it until it does"


def hosts(count: int, **changes: Any) -> tuple[Notification, ...]:
    """Return the openings of several hosts."""
    return tuple(
        made(incident=f"id{n}", host=f"pi-{n:02}", suggested_fix=f"On pi-{n:02}: start it.", **changes)
        for n in range(1, count + 1)
    )


@pytest.mark.parametrize(
    ("notifications", "subject", "lines"),
    [
        (
            [SILENT],
            "silent: pi-02",
            [
                "pi-02: silent since 2026-11-18 12:06 CET.",
                "last upload 45 min ago",
                "What to do: On pi-02: start the uploader.",
            ],
        ),
        (
            [made(kind=Kind.REPEAT, decided_at=OPENED + 3 * HOUR)],
            "still silent: pi-02",
            [
                "pi-02: still silent, since 2026-11-18 12:06 CET (3 h).",
                "last upload 45 min ago",
                "What to do: On pi-02: start the uploader.",
            ],
        ),
        (
            [over()],
            "no longer silent: pi-02",
            ["pi-02: no longer silent. It was from 2026-11-18 12:06 CET to 2026-11-18 13:06 CET (1 h)."],
        ),
        (
            [over(is_unannounced=True, detail="last upload 45 min ago")],
            "was silent: pi-02",
            [
                f"pi-02: was silent {SPAN}. It is over. Its opening could not be delivered in time.",
                "last upload 45 min ago",
            ],
        ),
        (
            [lost()],
            "lost while silent: pi-02",
            [f"pi-02: lost, silent since {LOST}.", "What to do: On pi-02: start the uploader."],
        ),
        (
            [lost(is_unannounced=True)],
            "lost while silent: pi-02",
            [
                f"pi-02: lost, silent since {LOST}. Its opening could not be delivered in time.",
                "last upload 45 min ago",
                "What to do: On pi-02: start the uploader.",
            ],
        ),
        (
            [made(host="*", symptom="receiver-down", detail="", suggested_fix="")],
            "receiver-down: fleet",
            [
                "fleet: receiver-down since 2026-11-18 12:06 CET.",
                "What to do: `fleet-health explain '*'` shows what was found.",
            ],
        ),
        (
            [made(host="*@lab-2", symptom="blind", detail="", suggested_fix="Look.")],
            "blind: receiver lab-2",
            ["receiver lab-2: blind since 2026-11-18 12:06 CET.", "What to do: Look."],
        ),
    ],
    ids=[
        "opening",
        "repeat",
        "resolution",
        "both in one",
        "loss",
        "opening and loss in one",
        "the fleet",
        "a receiver",
    ],
)
def test_a_message_about_one_incident(notifications: list[Notification], subject: str, lines: list[str]) -> None:
    """It says what was found, since when in local time, and what to do unless it is over."""
    one = message(*notifications)

    assert wording.subject(one) == subject
    assert wording.text(one, zone=BERLIN).splitlines() == lines


def test_a_group_names_the_first_ten_and_the_number() -> None:
    """It says what to do once for each symptom."""
    one = message(*hosts(12))
    lines = wording.text(one, zone=BERLIN).splitlines()

    assert wording.subject(one) == "silent: pi-01 and 11 more"
    assert lines[0] == "12 incidents, all new."
    assert lines[1] == "- pi-01: silent since 2026-11-18 12:06 CET. last upload 45 min ago"
    assert lines[10].startswith("- pi-10: ")
    assert lines[11:] == [
        "- and 2 more; `fleet-health status` shows all of them.",
        "What to do: On pi-01: start it.",
    ]


def test_a_group_of_several_kinds_begins_with_what_is_new() -> None:
    """The notifications are in the order in which they need action."""
    repeat, new = made(kind=Kind.REPEAT, host="pi-08"), made(symptom="blind", host="*")
    one = message(over(host="pi-09"), lost(host="pi-07"), repeat, new)
    lines = wording.text(one, zone=BERLIN).splitlines()

    assert wording.subject(one) == "4 incidents: blind: fleet and 3 more"
    assert lines[0] == "4 incidents: 1 new, 1 still open, 1 lost, 1 over."
    assert [line[:10] for line in lines[1:5]] == ["- fleet: b", "- pi-08: s", "- pi-07: l", "- pi-09: n"]


def test_a_group_of_resolutions_has_nothing_to_do() -> None:
    """A group of resolutions does not say what to do."""
    one = message(*(over(host=f"pi-{n:02}") for n in range(3)))

    assert wording.subject(one) == "no longer silent: pi-00 and 2 more"
    assert "What to do" not in wording.text(one)


def test_a_digest_says_how_many_the_rate_limit_delayed() -> None:
    """A delayed message says so, whether it is about one incident or several."""
    assert wording.text(message(*hosts(5), delayed=4)).endswith("\nThe rate limit delayed 4 of them.")
    assert wording.text(message(delayed=1)).endswith("\nThe rate limit delayed it.")


def test_a_test_is_marked() -> None:
    """The mark is in the subject and in the text, at every length."""
    one = message(is_test=True)

    assert wording.subject(one) == "TEST silent: pi-02"
    assert wording.text(one).startswith("This is a test of this destination. Nothing has happened.\n")
    assert wording.text(one, 60).startswith("TEST silent: pi-02\n")


@pytest.mark.fault("N6", rig="each limit")
@pytest.mark.parametrize("limit", [160, 250, 512, 1_024, 4_096])
@pytest.mark.parametrize("host", ["pi-02", "x" * 60, "a" * 64 + "b" * 64], ids=["short", "long", "longest"])
@pytest.mark.parametrize("count", [1, 2, 12, 1_000])
def test_N6_each_limit_leaves_host_symptom_and_what_to_do(limit: int, host: str, count: int) -> None:
    """Host, symptom and what to do stay in the text at every limit."""
    many = tuple(
        made(host=host, detail="figures " * 300, suggested_fix=f"Start the uploader of {host}. {'Then look. ' * 100}")
        for _ in range(count)
    )
    text = wording.text(message(*many), limit)

    assert len(text.encode()) <= limit
    assert "silent" in text
    assert host[:8] in text
    assert "What to do: Start the" in text
    assert count == 1 or str(count - 1) in text or f"{count} incidents" in text


def test_details_are_cut_before_anything_else() -> None:
    """As much of the details is kept as fits."""
    text = wording.text(message(made(detail="figures " * 100)), 300, BERLIN)

    assert text.startswith("pi-02: silent since 2026-11-18 12:06 CET.\nfigures figures ")
    assert text.endswith("…\nWhat to do: On pi-02: start the uploader.")
    assert 290 <= len(text.encode()) <= 300


def test_a_long_host_is_shortened_in_its_middle() -> None:
    """Names of a fleet often differ at their end."""
    subject = wording.subject(message(made(host="rack-" + "x" * 110 + "-07")), 60)

    assert len(subject.encode()) <= 60
    assert subject.startswith("silent: rack-x")
    assert subject.endswith("x-07")


ANYTHING = st.builds(
    made,
    host=st.text(max_size=200),
    symptom=st.text(max_size=40),
    detail=st.text(max_size=200),
    suggested_fix=st.text(max_size=200),
    kind=st.sampled_from(Kind),
)


@pytest.mark.fault("N6", rig="properties")
@given(one=ANYTHING, count=st.integers(1, 12), limit=st.integers(0, 600))
def test_N6_no_text_breaks_a_line_or_a_limit(one: Notification, count: int, limit: int) -> None:
    """No host and no sentence can end a line, control a terminal or exceed a limit."""
    whole = message(*[one] * count)
    text = wording.text(whole, limit)

    for line in (wording.subject(whole), wording.subject(whole, limit), *text.split("\n")):
        assert not any(sign < " " or "\x7f" <= sign < "\xa0" or sign in "\u2028\u2029\u202e\u2066" for sign in line)
    assert len(text.encode()) <= limit
    assert len(wording.subject(whole, limit).encode()) <= limit
    assert len(wording.text(whole).split("\n")) <= 1 + wording.LISTED + 2 + count


def test_a_hostile_host_is_no_header_and_no_markup() -> None:
    """Characters that no host name may have are escaped, as everywhere."""
    subject = wording.subject(message(made(host="pi\r\nBcc: all@example.org <b>@everyone</b>")))

    assert subject == "silent: pi%0D%0ABcc:%20all%40example.org%20%3Cb%3E%40everyone%3C%2Fb%3E"


def test_a_zone_without_a_name_is_an_offset() -> None:
    """An offset has `UTC` before it, because a bare `+03` would read as a part of the time."""
    assert wording.when(OPENED, timezone(timedelta(hours=3))) == "2026-11-18 14:06 UTC+03:00"
    assert wording.when(OPENED, ZoneInfo("America/Sao_Paulo")) == "2026-11-18 08:06 UTC-03"


def test_the_document_has_the_names_of_the_api() -> None:
    """The keys are called as in the API, and `subject` and `text` are for people."""
    document = payload(message(is_test=True))

    assert document | {"text": "", "subject": ""} == {
        "version": 1,
        "key": "k-1",
        "is_test": True,
        "kind": "opening",
        "id": "8f3a",
        "host": "pi-02",
        "symptom": "silent",
        "detail": "last upload 45 min ago",
        "suggested_fix": "On pi-02: start the uploader.",
        "opened_wall": "2026-11-18T11:06:40+00:00",
        "notified_wall": "2026-11-18T11:06:40+00:00",
        "ended_wall": None,
        "is_unannounced": False,
        "subject": "",
        "text": "",
    }
    assert document["subject"] == "TEST silent: pi-02"
    assert set(BODY_FIELDS) <= set(document)


def test_the_document_of_a_resolution_has_its_end() -> None:
    """It has the time of the end, and is strict JSON whatever the texts contain."""
    document = payload(message(over(host="\ud800\x00")))

    assert document["ended_wall"] == "2026-11-18T12:06:40+00:00"
    assert json.loads(json.dumps(document, allow_nan=False).encode()) == document
