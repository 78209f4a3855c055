"""A pattern that backtracks is refused wherever a configuration is loaded, and delays nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config import pattern_speed, receiver_patterns
from fleet_health.config.loading import load
from fleet_health.config.pattern_speed import slowness, tried
from fleet_health.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import RunCommand, Site, StartService

HOPELESS = r"^(?P<host>(?:a|a)+)(?P<status>!!)$"


@pytest.fixture(autouse=True)
def nothing_tried_yet() -> Iterator[None]:
    """No test may rest on what another one has tried."""
    tried.cache_clear()
    yield
    tried.cache_clear()


@pytest.mark.parametrize(
    "pattern",
    [
        HOPELESS,
        r"(?P<host>(a+)+)!!",
        r"^x{5}(?P<host>([a-z]+)*),",
        r"upload of (?P<host>(\w+\s?)+): done$",
    ],
)
def test_a_pattern_that_backtracks_for_ever_is_found(pattern: str) -> None:
    """Also one that does so only after its own literal beginning."""
    seconds = slowness(re.compile(pattern))

    assert seconds is not None
    assert seconds >= 0.2


@pytest.mark.parametrize("pattern", [receiver_patterns.RESPONSE, receiver_patterns.DEFAULTS[2], r"^(?P<host>\S+) \d+$"])
def test_a_fast_pattern_is_fast(pattern: str) -> None:
    """Including the defaults, which are not tried when they are loaded."""
    assert tried(pattern) is None


def test_the_defaults_and_what_was_tried_before_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a configuration again costs almost nothing."""
    calls = []
    real = subprocess.run

    def run(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", run)
    load(None)
    assert calls == []
    for _ in range(3):
        assert slowness(re.compile(r"^(?P<host>\S+) (?P<status>\d+)$")) is None

    assert len(calls) == 1


def test_other_threads_go_on_meanwhile() -> None:
    """`re` lets no other thread run while it searches, so a thread of the service must not try a pattern."""
    found: list[float | None] = []
    thread = threading.Thread(target=lambda: found.append(slowness(re.compile(HOPELESS))))
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
        time.sleep(0)
    thread.join()

    assert found[0] is not None
    assert turns > 1_000


def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pattern that could not be tried is refused."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    (config := tmp_path / "config.toml").write_text("journal.response = '^(?P<host>a) (?P<status>b)$'")

    with pytest.raises(ConfigError, match=r"this one could not be tried: No such file or directory"):
        load(config)


def test_a_child_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its last output."""
    monkeypatch.setattr(pattern_speed, "_CHILD", "raise MemoryError('all of it')")

    with pytest.raises(ValueError, match="could not be tried: MemoryError: all of it"):
        slowness(re.compile("a"))


@pytest.mark.fault("F3", rig="service")
@pytest.mark.parametrize("how", ["a reload", "a preview"])
def test_F3_a_pattern_that_backtracks_does_not_stop_the_service(
    how: str, site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The service refuses the configuration and keeps the old one."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        site.configure(f"journal.response = '{HOPELESS}'")
        if how == "a reload":
            service.reload()
            assert "reload refused: journal.response" in service.notify.status
        else:
            done = run_command("reload", "--dry-run", "--config", site.config)
            assert "that is fast on any line" in done.stdout + done.stderr
        service.until_evaluated_anew()
        assert service.stop() == 0
