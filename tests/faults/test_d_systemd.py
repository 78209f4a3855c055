"""D: what goes wrong between a service and its manager. Most of it needs a real systemd: see tests/machine."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

import fleet_health.sources.reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Service, Site


@pytest.mark.fault("D5", rig="service")
def test_D5_a_long_catch_up_asks_for_more_time(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """As long as there is progress the start limit is extended, and the status shows how far it is."""
    site.ship(*(f"host-{number}" for number in range(9000)))
    site.configure()
    code = """
import time
from fleet_health.sources.tail import Tail

read = Tail.read

def read_slowly(self):
    time.sleep(1.2)
    return read(self)

Tail.read = read_slowly
"""
    with start_altered_service(site, code) as service:
        service.until_ready()

        extensions = service.notify.having("EXTEND_TIMEOUT_USEC")
        assert len(extensions) >= 2
        assert all(message["STATUS"].startswith("Starting: index catching up, ") for message in extensions)
        assert len({message["STATUS"] for message in extensions}) >= 2


@pytest.mark.fault("D7", rig="code")
def test_D7_the_boot_id_is_never_asked_for() -> None:
    """Under ProcSubset=pid the boot's id cannot be had, so nothing that needs it is called."""
    code = inspect.getsource(fleet_health.sources.reader)

    assert "this_boot" not in code
    assert "boot_id" not in code
