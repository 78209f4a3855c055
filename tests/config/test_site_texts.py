"""On a site with another receiver, texts name that receiver and nothing of the reference deployment."""

from __future__ import annotations

import ast
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fleet_health
from fleet_health.config.in_force import in_force
from fleet_health.config.loading import load
from fleet_health.detectors.limits import HostLimits
from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.suggested_fix import SuggestedFix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RunCommand, Site, StartService

_PACKAGE = Path(fleet_health.__file__).parent
_names_reference = re.compile(r"cis490|FIXYOURSELF|install-lab-host", re.IGNORECASE).search

SITES = {
    "a service": (
        "journal.unit = 'nginx.service'",
        "`systemctl status nginx.service`",
        "`journalctl -u nginx.service`",
    ),
    "a name without a kind": ("journal.unit = 'nginx'", "`systemctl status nginx.service`", "-u nginx.service`"),
    "a glob": ("journal.unit = 'up@*.service'", "`systemctl status 'up@*.service'`", "`journalctl -u 'up@*.service'`"),
    "a container": (
        "journal.match = ['CONTAINER_NAME=up load']",
        "`docker ps --all '--filter=name=up load'`",
        "`journalctl 'CONTAINER_NAME=up load'`",
    ),
    "a unit of a user": (
        "journal.match = ['_SYSTEMD_USER_UNIT=up.service', '_UID=1000']",
        "`systemctl --user --machine=1000@ status up.service`",
        "`journalctl _SYSTEMD_USER_UNIT=up.service _UID=1000`",
    ),
    "a unit in a match": (
        "journal.match = ['_SYSTEMD_UNIT=up.service']",
        "`systemctl status up.service`",
        "journalctl",
    ),
    "a namespace": (
        "journal.unit = 'up.service'\njournal.namespace = 'lab'",
        "`systemctl status up.service`",
        "`journalctl -u up.service --namespace=+lab`",
    ),
    "several": (
        (
            "receivers = [{ name = 'a', index.path = '/a', journal.unit = 'a.service' },"
            " { name = 'b', index.path = '/b', journal.unit = 'b.service' }]"
        ),
        "`systemctl status a.service` and `systemctl status b.service`",
        "`journalctl -u a.service` and `journalctl -u b.service`",
    ),
    "neither unit nor container": ("journal.match = ['_COMM=upload']", "the receiver's service", "journalctl"),
    "what a text cannot hold": ("journal.match = ['CONTAINER_NAME=a`b']", "the receiver's service", "receiver"),
    "a dollar sign": ("journal.match = ['CONTAINER_NAME=a$b']", "'--filter=name=a$b'", "'CONTAINER_NAME=a$b'"),
}


def texts(limits: Any) -> Iterator[str]:
    """Return every text in the limits of a symptom, as an alert about a host would have it."""
    limits = limits.default if isinstance(limits, HostLimits) else limits
    if is_dataclass(limits):
        values = (getattr(limits, one.name) for one in fields(limits))
        yield from (value.render("pi-1") for value in values if isinstance(value, SuggestedFix))


@pytest.mark.parametrize(("text", "status", "log"), [pytest.param(*one, id=name) for name, one in SITES.items()])
def test_the_texts_name_the_receiver_that_is_watched(text: str, status: str, log: str, tmp_path: Path) -> None:
    """By its units, containers and namespace; `config show` has the same texts."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    settings = load(path)
    found = {symptom: list(texts(limits)) for symptom, limits in settings.limits.items()}
    shown = {key: one.written for key, one in in_force(settings.document, path).items() if "suggested_fix" in key}

    assert [one for some in (*found.values(), shown.values()) for one in some if _names_reference(one)] == []
    assert status in found["receiver-down"][0]
    assert log in found["receiver-failing"][0]
    assert log in found["journal-lossy"][0]
    again = tmp_path / "again.toml"
    again.write_text(text + "\n" + "\n".join(f"{key} = {value}" for key, value in shown.items()))
    assert {symptom: list(texts(limits)) for symptom, limits in load(again).limits.items()} == found


def test_the_reference_deployment_keeps_its_own() -> None:
    """The advice is about its own hosts."""
    found = " ".join(text for limits in load(None).limits.values() for text in texts(limits))

    assert all(word in found for word in ("FIXYOURSELF.md", "scripts/install-lab-host.sh", "cis490-receiver.service"))


def test_no_other_text_names_the_reference_deployment() -> None:
    """Only defaults do, and the demo, which shows the reference receiver."""
    settings = [one for spec in DETECTORS for one in spec.settings]
    defaults = {one.default for one in settings if _names_reference(str(one.default))}
    assert [one.key for one in settings if one.default in defaults and not one.elsewhere] == []
    assert [one.key for one in settings if _names_reference(one.elsewhere)] == []
    found = []
    for file in _PACKAGE.rglob("*.py"):
        if file.parent.name == "demo" or file.name in {"receiver_patterns.py", "schema.py", "pattern_speed.py"}:
            continue
        texts_of_file = (node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
        named = (one for one in texts_of_file if isinstance(one, str) and _names_reference(one))
        found += [(file.name, one) for one in named if one not in defaults]

    assert found == []
    assert _names_reference((_PACKAGE.parent / "packaging/fleet-health.catalog").read_text()) is None


def test_what_a_service_of_another_site_says(site: Site, start_service: StartService, run_command: RunCommand) -> None:
    """In its alerts, log, status and explanations."""
    access = r'^"PUT /v1/episodes/(?P<host>[^/ "]+)/\S+ HTTP/1.1" (?P<status>\d{3})$'
    site.configure(
        "journal.unit = 'nginx.service'\n"
        f"journal.response = '{access}'\n"
        "journal.unstamped = { contains = 'no stamp', host = '^no stamp: (?P<host>[^ ]+)$' }\n"
        "hosts.expected = ['missing']\ndetectors.never-seen.grace = '1ms'\n"
    )
    site.upload("quiet", minutes_ago=45)
    site.upload("well")
    for _ in range(12):
        site.journal.append('"PUT /v1/episodes/refused/e HTTP/1.1" 412', unit="nginx.service")
        site.journal.append('"PUT /v1/episodes/failing/e HTTP/1.1" 503', unit="nginx.service")
        site.journal.append("no stamp: unstamped", unit="nginx.service")
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: len(site.alerted()) >= 5, "the alerts")
        status = run_command("status", "--no-pager", "--config", site.config).stdout
        explained = [run_command("explain", host, "--config", site.config).stdout for host in ("quiet", "refused", "*")]
        log = service.stderr

    assert {symptom for _, symptom in site.alerted()} >= {"silent", "fatal-only", "unstamped", "never-seen"}
    assert [one for one in (site.alerts.read_text(), status, *explained, log) if _names_reference(one)] == []
