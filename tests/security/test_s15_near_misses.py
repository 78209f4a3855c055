"""S15: a question about a name that nobody has costs next to nothing, however many hosts there are."""

from __future__ import annotations

import os
import random
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.model.near_miss import near_miss
from tests.rig.site import index_row, now_us

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService

HOSTS = 10_000
FLEETS = {
    "numbered": "pi-{:05}",
    "long, and alike to the last letters": "x" * 59 + "{:05}",
    "as long as names may be": "x" * 123 + "{:05}",
    "of the same letters": "",
}


@cache
def named(fleet: str) -> list[str]:
    """Return the names of the hosts of a fleet."""
    if form := FLEETS[fleet]:
        return [form.format(number) for number in range(HOSTS)]
    chosen = random.Random(7)  # noqa: S311 - nothing is secret here
    return ["".join(chosen.sample("abcdefgh" * 8, 64)) for _ in range(HOSTS)]


@pytest.mark.fault("S15", rig="core")
@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("spoil", ["{}x", "no-such-host", "y{}", "{:.40}zzzz", "yy{:.60}", "q" * 64, "q" * 128])
def test_S15_a_near_miss_is_looked_for_in_milliseconds(fleet: str, spoil: str) -> None:
    """Among 10,000 hosts of the nastiest names: a fifth of a second of the processor at most, where it took 20."""
    hosts = named(fleet)
    known = dict.fromkeys(hosts)
    name = spoil.format(hosts[HOSTS // 2])

    began_at = time.thread_time()
    near_miss(name, known)

    assert time.thread_time() - began_at < 0.2


@pytest.mark.fault("S15", rig="service")
def test_S15_explain_of_a_near_miss_among_10_000_hosts(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The service answers with the host that was meant, and spends no more on it than on any other question."""
    now = now_us()
    site.index.write_bytes(b"".join(index_row(host, now) for host in named("numbered")))
    site.answer("pi-00000", 201)
    site.sync_journal()
    site.configure(tick="1h")

    def spent_s(pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with start_service(site) as service:
        service.until_ready()
        service.until(lambda: service.evaluations() >= 1, "the first evaluation")
        before = spent_s(service.process.pid)
        finished = run_command("explain", "pi-0042x", "--config", site.config)
        spent = spent_s(service.process.pid) - before

    assert finished.status == 2
    assert finished.stderr.startswith("no host pi-0042x is known; did you mean pi-0042")
    assert spent < 2.0
