"""The documents that `--json` prints have the keys that json.md promises, and a version."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import Action, State

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService

PROMISES = (Path(__file__).parents[2] / "packaging/doc/json.md").read_text()


def promised(document: str) -> set[str]:
    """Return the keys in json.md's row of a document, nested ones included."""
    (row,) = re.findall(rf"^\| {re.escape(document)} \| (.*) \|$", PROMISES, re.MULTILINE)
    return set(re.findall(r"`([a-z_]+)`", row)) - {"s", "r", "b"} - {"silence", "grace", "inhibition"}


def keys_of(value: Any) -> set[str]:
    """Return all keys of a document, nested ones included."""
    if isinstance(value, dict):
        return set(value) | {key for one in value.values() for key in keys_of(one)}
    return {key for one in value for key in keys_of(one)} if isinstance(value, list) else set()


def test_each_document_has_what_is_promised(site: Site, run_command: RunCommand, start_service: StartService) -> None:
    """The site has at least one of everything that a document can show."""
    always = 'from = "00:00"\nto = "00:00"\n'
    site.configure(f'[[quiet]]\nhosts = ["nobody"]\n{always}')
    site.show_all_symptoms()
    site.journal.append("a line that matches nothing")
    site.journal.append('{"method":"PUT","path":"/v1/episodes/other/e","status":412}')
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until_evaluated_anew()
        old = site.directory / "old.toml"
        old.write_text(f'{site.config.read_text()}\n[[quiet]]\nhosts = ["refused"]\n{always}')
        site.configure("detectors.silent.after = '2h'\nhosts.expected = ['absent']")
        run_command("silence", "pi-*", "--for", "2h", "--reason", "a test", "--config", site.config)
        documents = {
            name: run_command(*name.split(), *arguments, "--config", site.config, "--json").documents[0]
            for name, arguments in {
                "status": (),
                "explain": ("refused",),
                "reload": ("--dry-run",),
                "replay": ("--since", "10s", "--diff", old),
                "patterns": (),
                "config show": (),
                "silence list": (),
            }.items()
        }

    (forgeable := site.directory / "forgeable.toml").write_text(
        f"{site.config.read_text()}journal.response = 'PUT (?P<host>[^ ]+) (?P<status>[0-9]+)'\n"
    )
    documents["patterns"] = run_command("patterns", "--json", "--config", forgeable).documents[0] | {
        key: value for key, value in documents["patterns"].items() if key != "forgeable"
    }
    site.configure("tock = 1")
    documents["config check"] = run_command("config", "check", "--json", "--config", site.config).documents[0]

    for name, document in documents.items():
        assert document["version"] == 1
        assert promised(f"`{name}`") <= keys_of(document), name
    assert promised("a host in it") - {"strip_bin_s"} <= set(documents["status"]["hosts"][0])
    (incident,) = documents["status"]["hosts"][0]["incidents"]
    assert promised("an incident") - {*State} - {*Action} <= set(incident)
