"""`heartbeat`: against a real HTTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.notify.destination import Delivered, DeliveryError, Heartbeat
from fleet_health.notify.destinations.heartbeat import build, failing
from tests.rig.destinations import configured, secret
from tests.rig.unruly_server import UnrulyServer, answering

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"


def test_a_ping_says_how_the_daemon_fares(tmp_path: Path) -> None:
    """The URL itself is pinged while the daemon is well, and `/fail` while it is not."""
    with UnrulyServer([answering(body=b"OK")]) as server:
        heartbeat = build(configured("heartbeat", url_file=secret(tmp_path, "url", server.url + PATH)))

        assert isinstance(heartbeat, Heartbeat)
        assert heartbeat.ping("42 hosts: 1 silent", is_well=True) == Delivered("200 OK")
        heartbeat.ping("blind: the journal cannot be read\x1b", is_well=False)
        well, failed = server.requests
        assert (well.method, well.target, well.body) == ("POST", PATH, b"42 hosts: 1 silent")
        assert (failed.target, failed.body) == (f"{PATH}/fail", b"blind: the journal cannot be read\\x1b")
        heartbeat.close()


def test_a_service_without_fail_has_a_url_of_its_own_for_it(tmp_path: Path) -> None:
    """`fail_url_file` names the URL for failures, for example for Uptime Kuma, which has them in the query."""
    with UnrulyServer([answering()]) as server:
        heartbeat = build(
            configured(
                "heartbeat",
                url=f"{server.url}/api/push/x?status=up",
                fail_url_file=secret(tmp_path, "fail", f"{server.url}/api/push/x?status=down"),
            )
        )
        heartbeat.ping("fine", is_well=True)
        heartbeat.ping("blind", is_well=False)

        assert [one.target for one in server.requests] == ["/api/push/x?status=up", "/api/push/x?status=down"]


def test_a_ping_that_fails_names_no_secret(tmp_path: Path) -> None:
    """The error does not contain the URL, which is a secret."""
    with UnrulyServer([answering("404 Not Found", f"no check {PATH}".encode())]) as server:
        heartbeat = build(configured("heartbeat", url_file=secret(tmp_path, "url", server.url + PATH)))

        with pytest.raises(DeliveryError) as caught:
            heartbeat.ping("fine", is_well=True)
        assert str(caught.value) == f"{server.url}/…: 404 Not Found: …"


def test_a_long_summary_is_cut() -> None:
    """A summary has at most the 10 kB that healthchecks.io keeps."""
    with UnrulyServer([answering()]) as server:
        build(configured("heartbeat", url=server.url)).ping("ä" * 20_000, is_well=True)

        assert 9_990 < len(server.requests[0].body) <= 10_000


@pytest.mark.parametrize(
    ("url", "failed"),
    [
        ("https://hc-ping.com/uuid", "https://hc-ping.com/uuid/fail"),
        ("https://hc-ping.com/uuid/", "https://hc-ping.com/uuid/fail"),
        ("https://hc-ping.com/key/slug?create=1", "https://hc-ping.com/key/slug/fail?create=1"),
        ("https://u:p@example.org", "https://u:p@example.org/fail"),
        ("https://[::1", "https://[::1"),
    ],
)
def test_fail_is_added_to_the_path(url: str, failed: str) -> None:
    """`/fail` is added to the path, before the query."""
    assert failing(url) == failed
