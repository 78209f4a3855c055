"""The defaults are a contract: no file, an empty file and the example are the reference deployment."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.destinations.shared import COMMON
from fleet_health.config.loading import load
from fleet_health.config.schema import KEYS, QUIET_KEYS, RECEIVER_KEYS
from fleet_health.detectors.fatal_only import FatalOnlyLimits
from fleet_health.detectors.silent import SilentLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import UnstampedLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleet_health.config.schema import Settings

MINUTE, HOUR = 60_000_000, 3_600_000_000
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"

# Written out here once more, because operators' files rely on them. Most come from the design.
CONTRACT: dict[str, Any] = {
    "tick": "5m",
    "blind_after": "15m",
    "hosts.limit": 10_000,
    "index.path": "/var/lib/cis490/index.jsonl",
    "index.rotated": [],
    "index.host_field": "host_id",
    "index.time_field": "received_at_wall",
    "journal.unit": "cis490-receiver.service",
    "journal.response": r"^(?:(?:INFO: {5}|INFO:uvicorn\.access:"
    r"|(?!(?:TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|\d{4}-\d\d-\d\d|\[)).*"
    r' - )?"PUT /v1/episodes/(?P<host>[^/\s"?]*)/\S+ HTTP/\d(?:\.\d)?" (?P<status>\d{3})(?: [^"\d]*)?$',
    "journal.unstamped.contains": "missing X-Cis490-Code-Commit",
    "journal.unstamped.host": r"^(?:\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)? )?WARNING:? *(?:[\w.]+:? ?)?"
    r"(?:(?:rejected upload|upload rejected|rejected|refused): ?)?(?i:missing X-Cis490-Code-Commit)[:;,]? "
    r'host=(?P<host>[^\s"]*[^\s":;,.])[:;,.]?(?: (?:refused|episode=[^\s"]*))?$',
    "alerts.path": "/var/lib/fleet-health/alerts.jsonl",
    "alerts.rotated": [],
    "alerts.resolved": False,
    "alerts.repeat": "hour",
    "alerts.flap_limit": 5,
    "alerts.flap_quiet": "1h",
    "metrics.hosts": "all",
    "hosts.forget_after": "30d",
    "hosts.expected": [],
    "hosts.ignore": [],
    "detectors.never-seen.grace": "1h",
    "control.path": "/run/fleet-health/control.sock",
    "state.directory": "/var/lib/fleet-health",
    "notify.directory": "/var/lib/fleet-health-notify",
    "notify.control": "/run/fleet-health-notify/control.sock",
    "detectors.silent.after": "30m",
    "detectors.silent.cadence": "fixed",
    "detectors.silent.after_max": "8d",
    "detectors.silent.expected": None,
    "detectors.silent.lookback": "24h",
    "detectors.fatal-only.window": "30m",
    "detectors.fatal-only.min_count": 10,
    "detectors.fatal-only.ratio": 0.95,
    "detectors.unstamped.window": "30m",
    "detectors.unstamped.min_count": 10,
    "receiver.enabled": True,
    "receiver.failing.enabled": True,
    "receiver.down.enabled": True,
    "receiver.failing.window": "30m",
    "receiver.failing.min_hosts": 3,
    "receiver.failing.ratio": 0.5,
    "receiver.down.after": "2m",
    "receiver.down.starts": 5,
    "receiver.down.window": "30m",
    "receiver.down.min_hosts": 3,
    "receiver.down.ratio": 0.9,
    "detectors.index-stalled.window": "30m",
    "detectors.index-stalled.slack": "2m",
    "detectors.index-stalled.min_count": 3,
    "detectors.index-stalled.min_hosts": 1,
    "detectors.journal-lossy.window": "30m",
    "detectors.journal-lossy.slack": "2m",
    "detectors.journal-lossy.min_hosts": 3,
    "detectors.silent.enabled": True,
    "detectors.fatal-only.enabled": True,
    "detectors.unstamped.enabled": True,
    "detectors.never-seen.enabled": True,
    "detectors.index-stalled.enabled": True,
    "detectors.journal-lossy.enabled": True,
    "detectors.blind.enabled": True,
    "detectors.too-many-hosts.enabled": True,
    "detectors.degraded.enabled": False,
    "detectors.degraded.window": "6h",
    "detectors.degraded.min_count": 20,
    "detectors.degraded.ratio": 0.3,
    "detectors.slow.enabled": False,
    "detectors.slow.ratio": 0.6,
    "detectors.slow.min_count": 24,
    "detectors.unknown-hosts.min_hosts": 10,
    "detectors.unknown-hosts.enabled": True,
}
OPTIONAL = {
    "journal.match",
    "journal.directory",
    "journal.namespace",
    "alerts.resolve_after",
    "metrics.textfile",
    "metrics.notify_textfile",
    "page.directory",
}
TEXTS = {
    "receiver.failing.suggested_fix",
    "receiver.down.suggested_fix",
    "detectors.index-stalled.suggested_fix",
    "detectors.journal-lossy.suggested_fix",
    "detectors.unknown-hosts.suggested_fix",
    "detectors.silent.suggested_fix",
    "detectors.fatal-only.suggested_fix",
    "detectors.fatal-only.suggested_fix_412",
    "detectors.fatal-only.suggested_fix_5xx",
    "detectors.unstamped.suggested_fix",
    "detectors.degraded.suggested_fix",
    "detectors.slow.suggested_fix",
    "detectors.never-seen.suggested_fix",
}


def flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return each key of a document, dotted, with its value."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_the_keys_and_defaults_are_the_contract() -> None:
    """No key is renamed and no default changes; the texts of suggested fixes may."""
    assert {key: entry.default for key, entry in KEYS.items() if key not in TEXTS | OPTIONAL} == CONTRACT
    assert {key: entry.default for key, entry in KEYS.items() if key in OPTIONAL} == dict.fromkeys(OPTIONAL)
    assert set(KEYS) >= TEXTS


def test_the_defaults_mean_what_they_say() -> None:
    """As values of the program, they are those of the reference deployment."""
    settings = load(None)
    fix = {key: SuggestedFix(KEYS[key].default) for key in TEXTS}

    assert (settings.tick_us, settings.limits["blind"].after_us, settings.host_limit) == (
        5 * MINUTE,
        15 * MINUTE,
        10_000,
    )
    assert (settings.receivers[0].index.path, settings.alerts_path) == (
        Path("/var/lib/cis490/index.jsonl"),
        Path("/var/lib/fleet-health/alerts.jsonl"),
    )
    assert (settings.receivers[0].index.host_field, settings.receivers[0].index.time_field) == (
        "host_id",
        "received_at_wall",
    )
    assert (
        settings.receivers[0].journal.units,
        settings.receivers[0].journal.directory,
        settings.receivers[0].journal.namespace,
    ) == (
        ("cis490-receiver.service",),
        None,
        None,
    )
    assert settings.receivers[0].journal.response.pattern == CONTRACT["journal.response"]
    assert settings.receivers[0].journal.unstamped_marker == CONTRACT["journal.unstamped.contains"]
    assert settings.receivers[0].journal.unstamped_host is not None
    assert settings.receivers[0].journal.unstamped_host.pattern == CONTRACT["journal.unstamped.host"]
    assert settings.limits["silent"].each_alone() == [
        SilentLimits(30 * MINUTE, 24 * HOUR, fix["detectors.silent.suggested_fix"], after_max_us=8 * 24 * HOUR)
    ]
    assert settings.limits["fatal-only"].each_alone() == [
        FatalOnlyLimits(
            30 * MINUTE,
            10,
            0.95,
            fix["detectors.fatal-only.suggested_fix"],
            fix["detectors.fatal-only.suggested_fix_412"],
            fix["detectors.fatal-only.suggested_fix_5xx"],
        )
    ]
    assert settings.limits["unstamped"].each_alone() == [
        UnstampedLimits(30 * MINUTE, 10, fix["detectors.unstamped.suggested_fix"])
    ]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("detectors.silent.suggested_fix", ["cis490-shipper", "cis490-orchestrator", "inactive", "FIXYOURSELF.md"]),
        (
            "detectors.unstamped.suggested_fix",
            ["scripts/install-lab-host.sh", "VERSION", "cis490-orchestrator", "cis490-autoupdate.timer", "30 minutes"],
        ),
        ("detectors.fatal-only.suggested_fix", ["cis490-shipper", "-5min", "412", "FIXYOURSELF.md, section B", "HEAD"]),
        (
            "detectors.fatal-only.suggested_fix_412",
            ["cis490-shipper", "-5min", "412", "FIXYOURSELF.md, section B", "HEAD"],
        ),
        ("detectors.fatal-only.suggested_fix_5xx", ["receiver"]),
    ],
)
def test_the_suggested_fixes_name_what_helps(key: str, words: list[str]) -> None:
    """Each text states where to look."""
    text = SuggestedFix(KEYS[key].default).render("pi-1")

    assert [word for word in [*words, "pi-1"] if word not in text] == []


@pytest.mark.parametrize(
    "text", ["", "\n# nothing here\n", "\ufeff", "[index]\n[detectors.silent]\n", "overrides = []"]
)
def test_an_empty_file_is_all_defaults(
    text: str, settings_of: Callable[..., Settings], plain: Callable[[Settings], dict[str, Any]]
) -> None:
    """It means the same as no file."""
    assert plain(settings_of(text)) == plain(load(None))


def test_the_example_is_the_defaults(plain: Callable[[Settings], dict[str, Any]]) -> None:
    """Unchanged, it sets every key to its default, in the same form."""
    assert plain(load(EXAMPLE)) == plain(load(None))
    assert dict(flat(tomllib.loads(EXAMPLE.read_text()))) == {
        key: entry.default for key, entry in KEYS.items() if entry.default is not None
    }


# A setting that is off stands right behind its `#`, prose behind a blank. A blank line or prose ends a run of them.
SETTINGS_OFF = re.findall(r"(?:^#[a-z\[].*\n)+", EXAMPLE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("run", SETTINGS_OFF)
def test_what_is_off_in_the_example_can_be_switched_on(
    run: str, settings_of: Callable[..., Settings], plain: Callable[[Settings], dict[str, Any]]
) -> None:
    """Each commented setting is valid when uncommented, and makes a difference."""
    text = EXAMPLE.read_text().replace(run, run.replace("#", ""))

    assert plain(settings_of(text)) != plain(load(None))


def test_all_that_is_off_in_the_example_is_known(settings_of: Callable[..., Settings]) -> None:
    """Both overrides are valid together, too."""
    text = EXAMPLE.read_text()
    for run in SETTINGS_OFF:
        if not run.startswith("#namespace"):
            text = text.replace(run, run.replace("#", ""))

    assert settings_of(text).limits["silent"].of("bench-7").after_us == 3 * 24 * HOUR


def test_every_key_is_in_the_example() -> None:
    """Including those that are off by default, and the overrides."""
    text = EXAMPLE.read_text()
    for run in SETTINGS_OFF:
        text = text.replace(run, run.replace("#", ""))

    document = dict(flat(tomllib.loads(text)))

    assert set(document) - {"receivers", "overrides", "quiet", "destinations"} == set(KEYS)
    assert all(set(dict(flat(receiver))) <= set(RECEIVER_KEYS) for receiver in document["receivers"])
    assert [set(window) for window in document["quiet"]] == [set(QUIET_KEYS)]
    assert {key for one in document["destinations"] for key in dict(flat(one))} >= set(COMMON)
    assert [set(override) for override in document["overrides"]] == [{"hosts", "detectors"}] * 2
