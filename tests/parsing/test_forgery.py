"""Whether text from a client can match a receiver's patterns for another host."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.parsing.access_formats import FORMATS, Request
from fleet_health.parsing.forgery import forgeries
from fleet_health.parsing.receiver_log import LogParser

if TYPE_CHECKING:
    from fleet_health.parsing.access_formats import AccessFormat

ANYWHERE = re.compile(r'"PUT /v1/episodes/(?P<host>[^/ "]+)/[^ "]* HTTP/1.1" (?P<status>\d{3})')
ANCHORED = re.compile(r"^(?P<host>[\w-]+) -> (?P<status>\d+)$")
MARKER = "missing X-Cis490-Code-Commit"
MARKED_ANYWHERE = re.compile(r"host=(?P<host>[^, ]+)")
MARKED_AT_THE_BEGIN = re.compile(rf"^WARNING: {MARKER} host=(?P<host>[\w-]+), refused$")


@pytest.mark.parametrize(
    ("response", "marker", "host", "forged"),
    [
        pytest.param(ANYWHERE, None, None, {"journal.response"}, id="a request is searched for anywhere"),
        pytest.param(
            ANYWHERE, MARKER, MARKED_ANYWHERE, {"journal.response", "journal.unstamped"}, id="and so is the warning"
        ),
        pytest.param(
            ANYWHERE,
            MARKER,
            MARKED_AT_THE_BEGIN,
            {"journal.response", "journal.unstamped"},
            id="the warning is anchored, and the request read of a server that lets clients break lines",
        ),
        pytest.param(ANCHORED, None, None, set(), id="anchored at both ends, in no known format"),
        pytest.param(ANCHORED, MARKER, MARKED_AT_THE_BEGIN, set(), id="both are anchored"),
    ],
)
def test_what_a_client_can_satisfy_is_found(
    response: re.Pattern[str], marker: str | None, host: re.Pattern[str] | None, forged: set[str]
) -> None:
    """Each line reported really counts for a host that did not send it."""
    found = forgeries(response, marker, host)

    assert {one.pattern for one in found} == forged
    for one in found:
        counted = {seen.host for seen in LogParser(response, marker, host).parse(one.line.encode(), 0)[0]}
        assert one.counted in counted - {"stranger"}


@pytest.mark.parametrize("form", FORMATS, ids=[form.name for form in FORMATS])
def test_each_format_writes_every_field_a_client_chooses(form: AccessFormat) -> None:
    """Each field that a format names changes its line."""
    plain = form.write(Request("/v1/episodes/pi-1/e1", status=201))

    assert "201" in plain
    for field in form.fields:
        chosen = "/v1/episodes/chosen/e1" if field == "path" else "chosen"
        assert "chosen" in form.write(replace(Request("/x"), **dict[str, Any]({field: chosen})))
