"""The page as a real service serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.api.page.pages import POLICY
from tests.rig.api_client import ApiClient

if TYPE_CHECKING:
    from tests.conftest import Site, StartService


def get(client: ApiClient, target: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers and text of a response."""
    client.request("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = client.getresponse()
    return response.status, dict(response.getheaders()), response.read().decode()


def test_the_page_is_served_with_its_resources(site: Site, start_service: StartService) -> None:
    """The page, its resources and a stream of changes; nothing tracks users or may be stored."""
    site.configure('hosts.expected = ["absent"]')
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service, ApiClient(site.directory / "control.sock") as client:
        service.until(lambda: len(site.alerted()) >= len(site.EVERY_ALERT), "the alerts")
        status, headers, page = get(client, "/")
        filtered = get(client, "/?host=re*%20w*&state=firing")[2]
        others = [get(client, path) for path in ("/hosts/refused", "/hosts/*", "/silences", "/wall", "/badge.svg")]
        style = get(client, "/page.css")
        kept = get(client, "/page.css", If_None_Match=f'"other", W/{style[1]["ETag"]}')
        script, icon = get(client, "/page.js"), get(client, "/icons/firing.svg")
        wrong = [
            get(client, path, Accept="text/html,*/*")
            for path in ("/?page=0", "/?state=x", "/nothing/here", "/hosts/quite")
        ]
        plain = get(client, "/nothing/here", Accept="*/*")
        client.request("GET", "/changes")
        stream = client.getresponse()
        lines = [stream.readline() for _ in range(4)]

    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers
    for words in ("refused", "fatal-only", "quiet", "unstamped", "absent", "never-seen", "index following"):
        assert words in page
    assert [name in filtered for name in (">refused<", ">well</bdi>", ">quiet<")] == [True, False, False]
    assert (style[0], kept[0], kept[2]) == (200, 304, "")
    assert style[1]["Cache-Control"] == "no-cache"
    assert script[1]["Content-Type"].startswith("text/javascript")
    assert icon[1]["Content-Type"] == "image/svg+xml"
    assert [one[0] for one in others] == [200] * 5
    assert all(
        words in one[2]
        for one, words in zip(others, ("412", "as a whole", "None is active", "firing", "firing"), strict=True)
    )
    assert others[-1][1]["Content-Type"] == "image/svg+xml"
    assert [one[0] for one in wrong] == [400, 400, 404, 404]
    assert "did you mean quiet?" in wrong[-1][2]
    assert all("<h1>" in one[2] and one[1]["Content-Security-Policy"] == POLICY for one in wrong)
    assert plain[1]["Content-Type"] == "application/problem+json"
    assert stream.headers["Content-Type"] == "text/event-stream"
    assert lines == [b"retry: 5000\n", b"\n", b"data: changed\n", b"\n"]
