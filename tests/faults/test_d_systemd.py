"""D: what goes wrong between a service and its manager. Most of it needs a real systemd: see tests/machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Service, Site, StartAlteredService, StartService


@pytest.mark.fault("D2", rig="service")
@pytest.mark.parametrize("configuration", ["tick = '2s'", "tick = 5"], ids=["taken", "refused"])
def test_D2_a_reload_tells_when_it_began_and_is_always_answered(
    configuration: str, site: Site, start_service: StartService
) -> None:
    """From 253 on systemd only takes READY=1 for the answer if RELOADING=1 came with an instant after its signal."""
    with start_service(site) as service:
        service.until_ready()
        before = len(service.notify.messages)
        ours = "state.directory = 'state'\ncontrol.path = 'control.sock'"
        paths = f"index.path = '{site.index}'\nalerts.path = '{site.alerts}'\n{ours}"
        site.config.write_text(f"{configuration}\n{paths}\n")
        signalled_at_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        service.reload()
        messages = service.notify.messages[before:]

    (began,) = [number for number, message in enumerate(messages) if message.get("RELOADING") == "1"]
    (answered,) = [number for number, message in enumerate(messages) if message.get("READY") == "1"]
    assert began < answered
    assert int(messages[began].get("MONOTONIC_USEC", 0)) >= signalled_at_us
    assert messages[answered]["STATUS"].startswith("reload refused: tick: ") == (configuration == "tick = 5")


@pytest.mark.fault("D3", rig="service")
def test_D3_a_reload_during_the_slow_imports_does_not_kill_it(
    site: Site, start_altered_service: StartAlteredService
) -> None:
    """Long before there is a handler, SIGHUP is ignored; when the service is ready it is heeded."""
    hang_up_at_each_import = """
import os, signal

class HangUp:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("fleet_health.") and name != "fleet_health.__main__":
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, HangUp())
"""
    with start_altered_service(site, hang_up_at_each_import, is_first=True) as service:
        service.until_ready()
        service.reload()
        service.until(lambda: service.events("configuration reloaded"), "the reload")

        assert service.stop() == 0


@pytest.mark.fault("D5", rig="service")
def test_D5_a_long_catch_up_asks_for_more_time(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """As long as there is progress the start limit is extended, and the status shows how far it is."""
    site.upload(*(f"host-{number}" for number in range(20_000)))
    site.configure()
    code = """
import time
from fleet_health.sources.index.tail import Tail

read = Tail.read

def read_slowly(self):
    time.sleep(1.2)
    return read(self)

Tail.read = read_slowly
"""
    with start_altered_service(site, code) as service:
        service.until_ready()

        extensions = service.notify.having("EXTEND_TIMEOUT_USEC")
        # The journal is read after the index, for the index tells which hosts are known.
        assert all(
            message["STATUS"].startswith(("Starting: index ", "Starting: reading the")) for message in extensions
        )
        assert len(extensions) >= 2
        assert any("index catching up, " in message["STATUS"] for message in extensions)
        assert len({message["STATUS"] for message in extensions}) >= 2
