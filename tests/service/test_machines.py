"""A receiver that runs on several machines, whose journals are collected in one directory: the service as a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.demo.journal import JournalFile
from tests.rig.site import now_us

if TYPE_CHECKING:
    from tests.conftest import Site, StartService

MINUTE = 60_000_000


def test_late_entries_of_one_machine_are_alerted(site: Site, start_service: StartService) -> None:
    """No matter how far the journal of the other machine was read, and whether this one was known."""
    directory = site.journal_directory
    directory.mkdir()
    site.configure()
    site.upload("well")
    with JournalFile(directory / "remote-a.journal", machine="a" * 32) as on_a:
        on_a.append('10.0.0.7:5 - "PUT /v1/episodes/well/e HTTP/1.1" 201')
    with start_service(site) as service:
        service.until_ready()
        for host, minutes in ("first", 9), ("second", 10):
            with JournalFile(directory / "remote-b.journal", machine="b" * 32) as on_b:
                for number in range(12):
                    line = f'10.0.0.7:5 - "PUT /v1/episodes/{host}/e HTTP/1.1" 412'
                    on_b.append(line, at_us=now_us() - minutes * MINUTE + number)
            service.until(lambda host=host: (host, "fatal-only") in site.alerted(), "the alert")  # type: ignore[misc]
        status = service.notify.status

    assert "journal following" in status
