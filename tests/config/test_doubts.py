"""Settings that are valid, but probably not what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.doubts import doubts
from fleet_health.config.loading import load
from fleet_health.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = {"pi-1", "pi-12", "bench-3"}
EVERY_SWITCH = "\n".join(
    sorted({f"{switch} = false" for spec in DETECTORS for switch in spec.switches if switch.count(".") > 1})
)
EXEC = '[[destinations]]\nname = "a"\ntype = "exec"\ncommand = ["/bin/true"]\n'
NIGHT, DAY = 'from = "22:00"\nto = "08:00"\n', 'from = "08:00"\nto = "22:00"\n'
SILENT = "tick: {} is longer than {}detectors.silent.after ({}), so a host may be silent for {} longer"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="the defaults are in no doubt"),
        pytest.param('tick = "30m"', [], id="a tick as long as the limits"),
        pytest.param(
            'tick = "40m"\ndetectors.unstamped.enabled = false\nreceiver.enabled = false\n'
            "detectors.index-stalled.enabled = false\ndetectors.journal-lossy.enabled = false",
            [
                SILENT.format("40 min", "", "30m", "40 min"),
                "tick: 40 min is longer than detectors.fatal-only.window (30m), so some responses are never counted",
            ],
            id="a longer one, and the detectors that are on",
        ),
        pytest.param(
            '[[overrides]]\nhosts = ["pi-*"]\ndetectors.silent.after = "4m"',
            [
                SILENT.format("5 min", "overrides[1].", "4m", "5 min"),
            ],
            id="of an override",
        ),
        pytest.param(
            '[[overrides]]\nhosts = ["pi-*", "bnch-*"]\ndetectors.silent.after = "1h"',
            ["overrides[1].hosts: no known host matches bnch-*"],
            id="a glob without a host",
        ),
        pytest.param(
            f'[[quiet]]\n{NIGHT}[[quiet]]\n{NIGHT}hosts = ["pi-11"]',
            ["quiet[2].hosts: no known host matches pi-11; did you mean pi-1?"],
            id="a name of nobody, and who may be meant",
        ),
        pytest.param(
            f'{EXEC}hosts = ["lab-*", "*", "*@lab"]',
            ["destinations[1].hosts: no known host matches lab-*"],
            id="of a destination; a receiver is no host",
        ),
        pytest.param(
            'hosts.expected = ["pi-9"]\nhosts.ignore = ["old-*"]\n'
            '[[overrides]]\nhosts = ["pi-9"]\ndetectors.silent.after = "1h"',
            [],
            id="hosts that are expected may come, and those that are ignored may not be there",
        ),
        pytest.param(
            'hosts.ignore = ["pi-1", "[!x]*"]',
            ["hosts.ignore: [!x]* may match every host, and a host that matches is never reported"],
            id="everybody is ignored",
        ),
        pytest.param(
            EVERY_SWITCH,
            ["detectors: all detectors for hosts are off, so no host is ever reported"],
            id="everything is off",
        ),
        pytest.param(
            EVERY_SWITCH.replace("silent.enabled = false", "silent.enabled = true"), [], id="all but one are off"
        ),
        pytest.param(
            f"[[quiet]]\n{NIGHT}[[quiet]]\n{DAY}",
            ["quiet: the mute windows cover the whole week, so no alert is ever sent"],
            id="windows that leave no time",
        ),
        pytest.param(
            '[[quiet]]\nfrom = "00:00"\nto = "00:00"\nzone = "America/New_York"\nhosts = ["pi-*"]',
            ["quiet: the mute windows cover the whole week, so no alert of pi-* is ever sent"],
            id="for some hosts, in another zone",
        ),
        pytest.param(
            f'[[quiet]]\n{NIGHT}[[quiet]]\n{DAY}days = ["mon", "tue", "wed", "thu", "fri", "sat"]',
            [],
            id="windows that leave some of it",
        ),
        pytest.param(f'[[quiet]]\n{NIGHT}[[quiet]]\n{DAY}hosts = ["pi-*"]', [], id="windows of different hosts"),
    ],
)
def test_what_is_in_doubt_is_said(text: str, expected: list[str], tmp_path: Path) -> None:
    """In a sentence that names the key."""
    (path := tmp_path / "config.toml").write_text(text)

    assert doubts(load(path), HOSTS) == expected


def test_where_no_host_is_known_no_glob_is_in_doubt(tmp_path: Path) -> None:
    """As before the first upload, or on another machine."""
    (path := tmp_path / "config.toml").write_text('[[overrides]]\nhosts = ["a"]\ndetectors.silent.after = "1h"')

    assert doubts(load(path), set()) == []
