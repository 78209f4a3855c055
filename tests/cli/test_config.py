"""`fleet-health config`: what is in force, and why."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.config.schema import OVERRIDABLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunCommand

TEXT = """
tick = "1m"

[detectors.silent]
after = "40m"

[[overrides]]
hosts = ["bench-*", "spare"]
detectors.silent.after = "2h"
detectors.fatal-only.ratio = 0.5

[[overrides]]
hosts = ["bench-7"]
detectors.silent.after = "3h"

[[quiet]]
days = ["fri", "sat"]
from = "22:00"
to = "08:00"
zone = "Europe/Berlin"
hosts = ["bench-*"]
"""

HOSTS = ("bench-7", "bench-8", "spare", "pi-1")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with overrides."""
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    return path


def test_a_good_configuration_is_good(config: Path, run_command: RunCommand) -> None:
    """The output names the file."""
    done = run_command("config", "check", "--config", config)

    assert (done.status, done.stdout) == (0, f"{config}: good\n")


@pytest.mark.parametrize("action", ["check", "show"])
def test_a_bad_one_is_refused_with_every_problem(action: str, config: Path, run_command: RunCommand) -> None:
    """It reports the same problems as the service."""
    config.write_text('tick = "soon"\ntock = 1\n')
    done = run_command("config", action, "--config", config)

    assert (done.status, done.stdout, len(done.stderr.splitlines())) == (2, "", 2)


def test_what_is_shown_is_a_configuration_of_the_same_settings(config: Path, run_command: RunCommand) -> None:
    """`show` prints valid TOML with overrides and mute windows, and the origin of each setting."""
    shown = run_command("config", "show", "--config", config).stdout
    again = config.with_name("again.toml")
    again.write_text(shown)

    assert f'tick = "1m"  # {config}\n' in shown
    assert 'blind_after = "15m"  # default\n' in shown
    assert f"\n[[quiet]]  # {config}\n" in shown
    ours, theirs = load(config), load(again)
    assert (ours.tick_us, ours.policy, ours.mute_windows) == (theirs.tick_us, theirs.policy, theirs.mute_windows)
    assert [ours.limits["silent"].of(host) for host in HOSTS] == [theirs.limits["silent"].of(host) for host in HOSTS]
    assert [ours.limits["fatal-only"].of(host) for host in HOSTS] == [
        theirs.limits["fatal-only"].of(host) for host in HOSTS
    ]


def test_both_can_be_documents(config: Path, run_command: RunCommand) -> None:
    """`show` and `check` print JSON with `--json`."""
    (all_of_it,) = run_command("config", "show", "--json", "--config", config).documents
    (of_a_host,) = run_command("config", "show", "--json", "bench-7", "--config", config).documents
    (good,) = run_command("config", "check", "--json", "--config", config).documents
    config.write_text('tick = "soon"\ntock = 1\n')
    bad = run_command("config", "check", "--json", "--config", config)

    assert {"key": "tick", "value": "1m", "origin": str(config)} in all_of_it["settings"]
    assert (all_of_it["version"], all_of_it["file"], all_of_it["host"]) == (1, str(config), None)
    assert [len(all_of_it[name]) for name in ("overrides", "quiet")] == [2, 1]
    after = {"key": "detectors.silent.after", "value": "3h", "origin": "overrides[2], bench-7"}
    assert (of_a_host["host"], after in of_a_host["settings"]) == ("bench-7", True)
    assert (good["is_good"], good["problems"]) == (True, [])
    assert (bad.status, bad.stderr, bad.documents[0]["is_good"]) == (2, "", False)
    assert [one["place"] for one in bad.documents[0]["problems"]] == ["tick", "tock"]


@pytest.mark.parametrize(
    ("host", "after", "origin", "ratio"),
    [
        ("bench-7", "3h", "overrides[2], bench-7", 0.5),
        ("bench-8", "2h", "overrides[1], bench-*", 0.5),
        ("spare", "2h", "overrides[1], spare", 0.5),
        ("pi-1", "40m", None, 0.95),
    ],
)
def test_a_hosts_limits_are_those_that_it_is_evaluated_by(  # noqa: PLR0917
    host: str, after: str, origin: str | None, ratio: float, config: Path, run_command: RunCommand
) -> None:
    """The most specific override applies, and the output names it."""
    shown = run_command("config", "show", host, "--config", config).stdout
    document = tomllib.loads(shown)["detectors"]
    settings = load(config)

    assert f'detectors.silent.after = "{after}"  # {origin or config}\n' in shown
    assert document["fatal-only"]["ratio"] == ratio == settings.limits["fatal-only"].of(host).ratio
    assert settings.limits["silent"].of(host).after_us == int(after[:-1]) * {"m": 60, "h": 3600}[after[-1]] * 1_000_000
    assert len(shown.splitlines()) == len(OVERRIDABLE)
