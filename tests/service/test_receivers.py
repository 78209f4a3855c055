"""Several receivers: a host is evaluated over all of them, and each of them by itself."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.loading import load
from fleet_health.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import RunCommand, Service, Site, StartService

_LIMITS = """
detectors.silent.after = "30m"
receiver.failing.min_hosts = 1
blind_after = "1s"
"""


class Receivers:
    """Two receivers in one configuration. The files of the service are in the directory of the first.

    Attributes:
        a: The files of the first.
        b: Those of the second.

    """

    def __init__(self, a: Site, b: Site) -> None:
        self.a, self.b = a, b
        self.configure("a", "b")

    def configure(self, *names: str) -> None:
        """Write the configuration with these receivers."""
        sites = {"a": self.a, "b": self.b}
        tables = (
            f'[[receivers]]\nname = "{name}"\nindex.path = {json.dumps(str(sites[name].index))}\n'
            f"journal.directory = {json.dumps(str(sites[name].journal_directory))}\n"
            for name in names
        )
        self.a.configure("\n".join((_LIMITS, *tables)))

    def sync(self) -> None:
        """Return when every entry is in the journals."""
        for site in (self.a, self.b):
            site.sync_journal()

    def begin(self) -> None:
        """Let both receivers accept an upload, so that each has an index and a journal."""
        for name, site in (("at-a", self.a), ("at-b", self.b)):
            site.upload(name)
            site.answer(name, 201)
        self.sync()


@pytest.fixture
def receivers(site: Site, make_site: Callable[[Path], Site]) -> Receivers:
    """Return two receivers without any file."""
    (site.directory / "b").mkdir()
    return Receivers(site, make_site(site.directory / "b"))


@pytest.fixture
def service(receivers: Receivers, start_service: StartService) -> Iterator[Service]:
    """Return a service that watches both, each with a host that is well."""
    receivers.begin()
    with start_service(receivers.a) as one:
        one.until_ready()
        one.until_evaluated_anew()
        yield one
        assert one.stop() == 0


def hosts_of(run_command: RunCommand, site: Site) -> dict[str, dict[str, Any]]:
    """Return the hosts in the status of the service."""
    document = json.loads(run_command("status", "--json", "--config", site.config).stdout)
    return {host["host"]: host for host in document["hosts"]}


def test_a_host_may_move_between_receivers(
    receivers: Receivers, start_service: StartService, run_command: RunCommand
) -> None:
    """Its last upload is the latest over all receivers, its responses are the sum. A host without uploads is silent."""
    receivers.begin()
    for host in ("moved", "gone"):
        receivers.a.upload(host, minutes_ago=40)
    receivers.a.answer("moved", 412, times=12)
    receivers.a.answer("refused", 412, times=6)
    receivers.b.upload("moved")
    receivers.b.answer("moved", 201)
    receivers.b.answer("refused", 412, times=6)
    receivers.sync()
    with start_service(receivers.a) as service:
        service.until_ready()
        service.until_evaluated_anew()
        hosts = hosts_of(run_command, receivers.a)

    assert receivers.a.alerted() == [("gone", "silent"), ("refused", "fatal-only")]
    assert {name: host["receiver"] for name, host in hosts.items()} == {
        "at-a": "a",
        "at-b": "b",
        "gone": "a",
        "moved": "b",
        "refused": "b",
    }
    assert hosts["moved"]["responses"] == {"2xx": 1, "4xx": 12, "5xx": 0, "unstamped": 0}


def test_incidents_of_one_receiver_name_it(receivers: Receivers, service: Service, run_command: RunCommand) -> None:
    """They have the host `*@NAME` and a key like others; `status` and `explain` name it, and it can be silenced."""
    receivers.b.answer("at-b", 500, times=30)
    receivers.sync()
    service.until(receivers.a.alerted, "the alert")
    (row,) = receivers.a.alert_rows()
    table = run_command("status", "--config", receivers.a.config).stdout
    explained = run_command("explain", "*@b", "--config", receivers.a.config).stdout
    of_the_other = run_command("explain", "*@a", "--config", receivers.a.config).stdout
    unknown = run_command("explain", "*@c", "--config", receivers.a.config)
    run_command(
        "silence",
        "*@b",
        "--symptom",
        "receiver-failing",
        "--for",
        "1h",
        "--reason",
        "known",
        "--config",
        receivers.a.config,
    )
    silenced = run_command("status", "--json", "--config", receivers.a.config).stdout

    assert (row["host"], row["symptom"]) == ("*@b", "receiver-failing")
    assert (
        row["dedup_key"]
        == hashlib.sha256(f"*@b|receiver-failing|{row['detected_at_wall'][:13]}".encode()).hexdigest()[:16]
    )
    assert "receiver-failing@b for" in table
    assert "RECEIVER" in table
    assert explained.startswith("the receiver b: firing")
    assert of_the_other.startswith("the receiver a: well")
    assert unknown.status == 2
    assert [one["state"] for one in json.loads(silenced)["fleet_incidents"]] == ["silenced"]


def test_no_host_is_silent_while_a_receiver_cannot_be_seen(
    receivers: Receivers, service: Service, run_command: RunCommand
) -> None:
    """A missing index is `blind` for its receiver. Silent hosts of the other one may be uploading to it."""
    receivers.b.index.rename(away := receivers.b.index.with_name("away"))
    receivers.b.index.mkdir()
    receivers.a.upload("gone", minutes_ago=40)
    service.until(lambda: ("*@b", "blind") in receivers.a.alerted(), "the alert that we are blind")
    while_away = receivers.a.alerted()
    not_evaluated = json.loads(run_command("status", "--json", "--config", receivers.a.config).stdout)["not_evaluated"]
    receivers.b.index.rmdir()
    away.rename(receivers.b.index)
    service.until(lambda: ("gone", "silent") in receivers.a.alerted(), "the alert of the silent host")

    assert while_away == [("*@b", "blind")]
    assert "silent" in not_evaluated
    assert "index-stalled@b" in not_evaluated
    assert "index-stalled@a" not in not_evaluated


def test_a_reload_adds_and_removes_a_receiver(receivers: Receivers, service: Service, run_command: RunCommand) -> None:
    """Incidents of a removed receiver are dropped, as the preview and the log report. Other hosts stay known."""
    receivers.b.answer("at-b", 500, times=30)
    receivers.sync()
    service.until(lambda: ("*@b", "receiver-failing") in receivers.a.alerted(), "the alert")
    receivers.configure("a")
    foreseen = run_command("reload", "--dry-run", "--json", "--config", receivers.a.config).documents[0]
    service.reload()
    service.until(lambda: "0 firing" in service.notify.status, "nothing but what is well")
    alone = hosts_of(run_command, receivers.a)
    receivers.configure("a", "b")
    service.reload()
    service.until(lambda: "at-b" in hosts_of(run_command, receivers.a), "the hosts of both")

    assert list(alone) == ["at-a"]
    assert [(one["host"], one["symptom"]) for one in foreseen["drops"]] == [("*@b", "receiver-failing")]
    assert foreseen["resolves"] == []
    assert [(one["host"], one["symptom"]) for one in service.events("incident dropped")] == [
        ("*@b", "receiver-failing")
    ]


def test_the_state_contains_each_receiver(receivers: Receivers, start_service: StartService) -> None:
    """Uploads without rows are known after a restart, each for the index that had them."""
    receivers.begin()
    receivers.b.upload("in-the-index-alone")
    with start_service(receivers.a) as service:
        service.until_ready()
        service.until_evaluated_anew()
        service.stop()
    state = json.loads((receivers.a.directory / "state" / "state.json").read_text())
    receivers.b.index.write_bytes(b"")
    with start_service(receivers.a) as service:
        service.until_ready()
        service.until_evaluated_anew()
        status = service.notify.status

    assert {name: list(saved["uploads"]) for name, saved in state["receivers"].items()} == {
        "a": ["at-a"],
        "b": ["at-b", "in-the-index-alone"],
    }
    assert "Watching 3 hosts" in status


def test_a_receiver_that_gets_a_name_keeps_its_state(receivers: Receivers, start_service: StartService) -> None:
    """Its state from the time when it was the only one is found by the index."""
    receivers.begin()
    receivers.a.upload("in-the-index-alone")
    receivers.a.configure()
    with start_service(receivers.a) as service:
        service.until_ready()
        service.until_evaluated_anew()
        service.stop()
    receivers.a.index.write_bytes(b"")
    receivers.configure("a", "b")
    with start_service(receivers.a) as service:
        service.until_ready()
        service.until_evaluated_anew()
        status = service.notify.status

    assert "Watching 3 hosts" in status


def test_check_replay_and_patterns_use_every_receiver(receivers: Receivers, run_command: RunCommand) -> None:
    """They find what the service finds, under the same names."""
    receivers.begin()
    receivers.b.answer("at-b", 500, times=30)
    receivers.a.upload("moved", minutes_ago=40)
    receivers.b.upload("moved")
    receivers.sync()
    config = receivers.a.config
    checked = run_command("check", "--json", "--dry-run", "--config", config)
    refused = run_command("check", "--index-path", receivers.a.index, "--config", config)
    replayed = run_command("replay", "--since", "2m", "--json", "--config", config)
    patterns = run_command("patterns", "--receiver", "b", "--json", "--config", config)
    nobody = run_command("patterns", "--config", config)

    findings = [(one["host"], one["symptom"]) for one in checked.documents if "symptom" in one]
    incidents = json.loads(replayed.stdout)["incidents"]
    assert findings == [("*@b", "receiver-failing")]
    assert "--index-path: expected a configuration without [[receivers]]" in refused.stderr
    assert ("*@b", "receiver-failing") in {(one["host"], one["symptom"]) for one in incidents}
    assert not [one for one in incidents if one["symptom"] == "silent" and one["ended_wall"] is None]
    assert json.loads(patterns.stdout)["response"]["matches"] == 31
    assert "--receiver: expected one of a, b, found nothing" in nobody.stderr


def test_two_receivers_with_one_source_are_refused(receivers: Receivers) -> None:
    """Two receivers that read the same lines or the same index are a mistake in the configuration."""
    text = receivers.a.config.read_text().replace(str(receivers.b.directory), str(receivers.a.directory))
    receivers.a.config.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(receivers.a.config)
    problems = [str(problem) for problem in raised.value.problems]

    assert [problem.partition(", found")[0] for problem in problems] == [
        "receivers[2].index.path: expected an index of its own",
        "receivers[2].journal.unit: expected a unit or a journal of its own",
    ]
