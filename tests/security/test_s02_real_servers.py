"""S2, S3: hostile requests to real servers. Whatever a client sends, only its own host is counted for it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from fleet_health.model.observation import Response, Unstamped
from tests.security.servers import VICTIM, Servers, Upload, uploads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.parsing.receiver_log import LogParser
    from tests.conftest import DoWithout

# Which pattern of another-receiver.md or the defaults reads which server. hypercorn and granian have none of their own.
READ_BY = {
    "h11": "default",
    "httptools": "default",
    "h11 without a level": "default",
    "gunicorn": "gunicorn",
    "gunicorn combined": "combined",
    "nginx": "nginx",
    "nginx combined": "combined",
    "nginx before hypercorn": "nginx",
    "nginx before granian": "nginx",
    "Caddy": "Caddy",
}
BREAK_LINES = {"hypercorn", "granian"}
DEFAULT_ONLY = {server for server, pattern in READ_BY.items() if pattern == "default"}


@dataclass
class Record:
    """What a server answered, and logged.

    Attributes:
        uploads: Host -> the request that it sent.
        statuses: Host -> the status that it was answered.
        lines: The server's log.

    """

    uploads: dict[str, Upload] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, do_without: DoWithout) -> Mapping[str, Record]:
    """Start every server once, send each hostile request to each, by a host of its own, and give what they logged."""
    try:
        servers = Servers(tmp_path_factory.mktemp("servers"))
    except FileNotFoundError as missing:
        do_without(str(missing))
    found: dict[str, Record] = {}
    with servers:
        for name, server in servers.by_name.items():
            record = found[name] = Record()
            for number, upload in enumerate(uploads()):
                if name in DEFAULT_ONLY | BREAK_LINES and upload.names_victim:
                    continue  # these servers take the first name as it stands there: it is a request of that host
                host = f"me-{number}"
                record.uploads[host] = upload
                record.statuses[host] = server.send(upload.octets(host))
    # They have ended in an orderly way, so their logs are whole.
    for name, server in servers.by_name.items():
        found[name].lines = server.lines()
    return found


def counted(lines: list[bytes], parser: LogParser) -> dict[str, list[Response | Unstamped]]:
    """Read a log as journald hands it on, line by line; return what is counted of each host."""
    found: dict[str, list[Response | Unstamped]] = defaultdict(list)
    for line in lines:
        for one in parser.parse(line, 0)[0]:
            found[one.host].append(one)
    return found


@pytest.mark.fault("S2", rig="real servers")
@pytest.mark.parametrize(("server", "pattern"), READ_BY.items(), ids=READ_BY)
def test_S2_each_request_is_counted_for_its_own_host_and_no_other(
    server: str, pattern: str, logged: Mapping[str, Record], parsers: Mapping[str, LogParser]
) -> None:
    """Neither forged nor hidden: what a server answered with 201 or 412 is counted once, for the host that asked."""
    record = logged[server]
    found = counted(record.lines, parsers[pattern])
    expected = {
        host: record.statuses[host]
        for host, upload in record.uploads.items()
        if upload.is_whole and upload.method == "PUT" and record.statuses[host] in (201, 412)
    }

    assert {host: ones for host, ones in found.items() if host not in {*record.uploads, "ready"}} == {}
    assert [one for ones in found.values() for one in ones if isinstance(one, Unstamped)] == []
    assert len(expected) > 100
    missed = {record.uploads[host].name: host for host, status in expected.items() if statuses(found[host]) != [status]}
    assert missed == {}
    assert {host: ones for host, ones in found.items() if len(ones) > 1 and host != "ready"} == {}


@pytest.mark.fault("S3", rig="real servers")
@pytest.mark.parametrize("server", sorted(READ_BY))
def test_S3_no_pattern_counts_anything_for_another_host_in_any_servers_log(
    server: str, logged: Mapping[str, Record], parsers: Mapping[str, LogParser]
) -> None:
    """A pattern that was written for another server, and the rule for missing stamps, find no victim either."""
    assert len(logged[server].lines) > 100
    for name, parser in parsers.items():
        found = counted(logged[server].lines, parser)

        assert {host: ones for host, ones in found.items() if VICTIM in host} == {}, name
        assert [one for ones in found.values() for one in ones if isinstance(one, Unstamped)] == [], name


def statuses(ones: list[Response | Unstamped]) -> list[int]:
    """Return the statuses of responses."""
    return [one.status for one in ones if isinstance(one, Response)]
