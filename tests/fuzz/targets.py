"""Any bytes through every parser: what must hold of whatever comes out.

Shared by the tests, which draw nasty lines and read the corpus, and by the fuzzer, which invents its own.
"""

from __future__ import annotations

import json
import re
from operator import attrgetter
from typing import TYPE_CHECKING, NoReturn

import msgspec

from fleet_health.alerting.alert import Alert
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate
from fleet_health.model.fleet import Fleet
from fleet_health.model.host_name import host_name
from fleet_health.model.observation import Response, Unstamped, Upload
from fleet_health.model.row_dates import RowDates
from fleet_health.parsing.alert_row import parse_alert_row
from fleet_health.parsing.rejection import Rejection
from fleet_health.records.journal_sink import fields_of
from fleet_health.records.journal_socket import datagram
from fleet_health.sources.index.source import index_parser
from fleet_health.sources.journal.lines import log_parser

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_795_460_100_000_000
LONGEST_MATCHED = 2_048
LONGEST_HOST = 128

SETTINGS = load(None)
INDEX_PARSER = index_parser(SETTINGS.receivers[0].index)
LOG_PARSER = log_parser(SETTINGS.receivers[0].journal)
DETECTORS = SETTINGS.detectors()

_is_safe_host = re.compile(r"[A-Za-z0-9._:%~-]{1,128}", re.ASCII).fullmatch
_is_safe_excerpt = re.compile(r"[\x20-\x7e…]*").fullmatch


def check(data: bytes) -> None:
    """Take bytes for everything that is read from outside; an AssertionError says what is wrong."""
    check_index(data)
    check_journal(data)
    check_alert_row(data)
    check_alerts(data.decode("utf-8", "surrogateescape"))


def check_index(data: bytes) -> None:
    """Every line of a block of the index gives a upload, or is a rejection; by itself and in its block."""
    lines = data.split(b"\n")
    for line in lines:
        result = INDEX_PARSER.parse(line)
        assert isinstance(result, Upload | Rejection)
        _check(result)
    block = b"".join(line + b"\n" for line in lines)
    uploads, rejections = INDEX_PARSER.parse_block(block)
    assert len(uploads) + len(rejections) >= len(lines)
    has_torn_row = any(b'{"' in line[1:] for line in lines)  # it is rejected, and the row behind it is read
    if b"\0" not in data and not has_torn_row:  # between runs of NUL there may be several lines
        assert len(uploads) + len(rejections) == len(lines)
    latest, rejected_too, count = INDEX_PARSER.parse_latest(block, NOW)
    assert (rejected_too, count) == (rejections, len(uploads))
    assert _last_uploads(latest) == _last_uploads(uploads)
    for upload in uploads:
        _check(upload)
    for rejected in rejections:
        _check(rejected)
    admitted, ahead = RowDates().date(uploads, NOW)
    assert len(admitted) == len(uploads)
    assert 0 <= ahead <= len(uploads)


def _last_uploads(uploads: Iterable[Upload]) -> dict[str, int]:
    return {upload.host: upload.at for upload in sorted(uploads, key=attrgetter("at"))}


def check_journal(data: bytes) -> None:
    """Every line of a message gives at most one observation or rejection."""
    observations, rejections = LOG_PARSER.parse(data, NOW)
    assert len(observations) + len(rejections) <= data.count(b"\n") + 1
    for result in (*observations, *rejections):
        _check(result)
        if isinstance(result, Response):
            assert result.status // 100 in (2, 4, 5)


def check_alert_row(data: bytes) -> None:
    """A line of the alert log gives a key and an instant, or nothing."""
    row = parse_alert_row(data)
    assert row is None or (isinstance(row[0], str) and isinstance(row[1], int))


def check_alerts(name: str) -> None:
    """Whatever a host is called, and whatever is found of it, a row is one line of strict JSON, and is read back."""
    host = host_name(name) if name else "empty"
    fleet = Fleet()
    fleet.uploads.record([Upload(host, NOW - 3_600_000_000)])
    fleet.traffic.record([Response(host, NOW, 412)] * 10 + [Unstamped(host, NOW)] * 10)
    evaluation = evaluate(fleet, DETECTORS, NOW)
    assert not evaluation.failures
    assert len(evaluation.findings) == 3
    for finding in evaluation.findings:
        alert = Alert(finding, evaluation.at)
        line = msgspec.json.encode(alert.row())
        assert b"\n" not in line
        row = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        assert row == alert.row()
        assert parse_alert_row(line) == (alert.dedup_key, NOW)
        assert "\n" not in alert.line()
        assert datagram(fields_of(alert)).count(b"\n") == len(fields_of(alert))


def _check(result: Upload | Response | Unstamped | Rejection) -> None:
    if isinstance(result, Rejection):
        assert result.reason
        assert _is_safe_excerpt(result.excerpt), result
        assert len(result.excerpt) <= 6 * 121
    else:
        assert _is_safe_host(result.host), result
        assert len(result.host) <= LONGEST_HOST
        assert -(1 << 62) < result.at < 1 << 62


def _refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"not strict JSON: {name}")
