"""Another source in the place of one: what it does not show is no recovery."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Service, Site, StartService

OTHERS = {
    "a mistyped unit": "journal.unit = 'cis490-reciever.service'",
    "a unit of another program": "journal.unit = 'other.service'",
    "a list and a glob": "journal.unit = ['receiver@*.service', 'other.service']",
    "a match": "journal.match = ['_SYSTEMD_UNIT=other.service']",
    "another pattern": "journal.response = '^(?P<host>x) (?P<status>x)$'",
    "another directory": "journal.directory = 'elsewhere'",
    "other receivers": "[[receivers]]\nname = 'a'\njournal.unit = 'other.service'",
}
STANDING = {("refused", "fatal-only"), ("old-worker", "unstamped")}


def configure(site: Site, text: str = "") -> None:
    """Configure the site; the arguments take precedence."""
    site.configure("alerts.resolved = true\ndetectors.unknown-hosts.enabled = false\n")
    lines = site.config.read_text().splitlines()
    site.config.write_text(
        "\n".join([*(line for line in lines if line.partition(" ")[0] != text.partition(" ")[0]), text])
    )


@contextmanager
def changed_over(site: Site, start_service: StartService, how: str, text: str) -> Iterator[Service]:
    """Let a service find incidents, and then read another source, after a reload or a restart."""
    configure(site)
    site.begin_journal()
    site.upload("old-worker")
    site.warn_unstamped("old-worker", times=12)
    site.answer("refused", 412, times=12)
    site.journal.append("another program's line", unit="other.service")
    site.sync_journal()
    site.journal_name = "other.journal"
    service = start_service(site)
    with closing(service):
        service.until(lambda: set(site.alerted()) >= STANDING, "the alerts")
        configure(site, text)
        if how == "reload":
            service.reload()
            yield service
            return
        assert service.stop() == 0
    with start_service(site) as service:
        service.until_ready()
        yield service


def resolved(site: Site) -> list[tuple[str, str]]:
    """Return the resolutions in the alert log."""
    return [(row["host"], row["symptom"]) for row in site.alert_rows() if row.get("status") == "resolved"]


@pytest.mark.parametrize("how", ["reload", "restart"])
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in OTHERS.items()])
def test_a_change_of_source_resolves_nothing(how: str, text: str, site: Site, start_service: StartService) -> None:
    """The hosts upload all the time, but the other source does not show whether they were refused."""
    if "elsewhere" in text:
        site.journal_directory = site.directory / "elsewhere"
        site.answer("somebody", 201, times=3)
        site.sync_journal()
        site.journal_directory = site.directory / "journal"
    with changed_over(site, start_service, how, text) as service:
        for _ in range(3):
            site.upload("old-worker", "refused")
            service.until_evaluated_anew()

    assert resolved(site) == []


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_recovery_in_the_other_source_resolves(how: str, site: Site, start_service: StartService) -> None:
    """It is a fact that is newer than the change."""
    with changed_over(site, start_service, how, "journal.unit = ['other.service']") as service:
        site.upload("old-worker", "refused")
        service.until_evaluated_anew()
        assert resolved(site) == []
        for host in ("old-worker", "refused"):
            site.journal.append(f'10.0.0.7:1 - "PUT /v1/episodes/{host}/e HTTP/1.1" 201', unit="other.service")
        site.sync_journal()
        service.until(lambda: set(resolved(site)) >= STANDING, "the recovery")


def test_after_a_change_back_incidents_resolve_as_before(site: Site, start_service: StartService) -> None:
    """The findings of the first source are found again, and resolve as they would have."""
    with changed_over(site, start_service, "reload", OTHERS["a mistyped unit"]) as service:
        service.until_evaluated_anew()
        configure(site)
        service.reload()
        service.until(lambda: "unconfirmed" not in service.notify.status, "the findings")
        site.upload("refused")
        site.answer("refused", 201, times=1)
        site.sync_journal()
        service.until(lambda: ("refused", "fatal-only") in resolved(site), "the recovery")

    assert ("old-worker", "unstamped") not in resolved(site)


def test_another_index_resolves_nothing(site: Site, start_service: StartService) -> None:
    """A silent host is not in the other index. Only an upload that this index or the receiver shows is a recovery."""
    configure(site)
    site.begin_journal()
    site.upload("quiet", minutes_ago=45)
    site.answer("well", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        site.index = site.directory / "other.jsonl"
        site.upload("elsewhere")
        configure(site, f"index.path = '{site.index}'")
        service.reload()
        for _ in range(3):
            service.until_evaluated_anew()
        assert resolved(site) == []
        site.upload("quiet")
        service.until(lambda: resolved(site) == [("quiet", "silent")], "the recovery")
