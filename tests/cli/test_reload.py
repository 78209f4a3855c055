"""`fleet-health reload`: what a changed configuration would do is said before it does it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fleet_health.__main__ import main
from fleet_health.config import values
from fleet_health.config.key import Key
from fleet_health.config.locations import LOCATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Finished, RunCommand, Site, StartService


@pytest.fixture
def reload(site: Site, run_command: RunCommand) -> Callable[..., Finished]:
    """Run the command for the site."""
    return lambda *arguments: run_command("reload", "--config", site.config, *arguments)


def test_what_changes_is_said_and_then_done(
    site: Site, reload: Callable[..., Finished], start_service: StartService
) -> None:
    """It prints changed settings, new incidents and resolved ones. With --dry-run, it applies nothing."""
    site.configure()
    site.show_all_symptoms()
    site.upload("slow", minutes_ago=20)
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        nothing = reload("--dry-run")
        site.configure(
            'detectors.silent.after = "15m"\ndetectors.fatal-only.min_count = 13\n'
            '[[quiet]]\nfrom = "00:00"\nto = "00:01"'
        )
        foreseen = reload("--dry-run")
        document = reload("--dry-run", "--json").documents[0]
        untouched = service.events("configuration reloaded")
        done = reload()
        applied = service.events("configuration reloaded")
        service.until(lambda: ("slow", "silent") in site.alerted(), "what was foreseen")

    assert nothing.stdout == "no setting has changed\nno incident would fire or resolve now\n"
    lines = foreseen.stdout.splitlines()
    assert lines[:3] == [
        "detectors.fatal-only.min_count: 10 -> 13",
        'detectors.silent.after: "30m" -> "15m"',
        "quiet: changed",
    ]
    assert [line.split(":")[:2] for line in lines[3:]] == [
        ["fires", " slow silent"],
        ["resolves", " refused fatal-only"],
    ]
    assert (document["fires"][0]["host"], document["resolves"][0]["host"]) == ("slow", "refused")
    assert (untouched, len(applied)) == ([], 1)
    assert done.status == 0
    assert done.stdout.splitlines()[:3] == lines[:3]
    assert done.stdout.endswith("the service has applied it; `fleet-health status` shows the fleet\n")


def test_what_will_not_be_told_of_at_once_is_marked(
    site: Site, reload: Callable[..., Finished], run_command: RunCommand, start_service: StartService
) -> None:
    """Incidents that are silenced, muted, inhibited or pending are marked."""
    site.configure("receiver.failing.enabled = false\ndetectors.fatal-only.min_count = 20")
    site.upload("well")
    site.upload("quiet", "known", "news", minutes_ago=25)
    site.answer("broken", 503, times=12)
    site.sync_journal()
    run_command("silence", "known", "--for", "1h", "--reason", "x", "--config", site.config)
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure(
            'detectors.silent.after = "15m"\nreceiver.failing.min_hosts = 1\nhosts.expected = ["absent"]\n'
            '[[quiet]]\nfrom = "00:00"\nto = "00:00"\nhosts = ["quiet"]'
        )
        shown = reload("--dry-run").stdout

    assert [line.split(":")[:2] for line in shown.splitlines() if line.startswith("fires")] == [
        ["fires", " * receiver-failing"],
        ["fires, pending", " absent never-seen"],
        ["fires, inhibited", " broken fatal-only"],
        ["fires, silenced", " known silent"],
        ["fires", " news silent"],
        ["fires, muted", " quiet silent"],
    ]


def test_what_is_no_longer_looked_for_is_named(
    site: Site, reload: Callable[..., Finished], start_service: StartService
) -> None:
    """Incidents of an ignored host or a disabled detector do not resolve; they are listed as dropped."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure('hosts.ignore = ["quiet"]\ndetectors.unstamped.enabled = false')
        shown = reload().stdout
        service.until(lambda: len(service.events("incident dropped")) == 2, "the log")

    assert [line.split(":")[:2] for line in shown.splitlines() if line.startswith(("drops", "resolves"))] == [
        ["drops without a notification, no longer evaluated", " quiet silent"],
        ["drops without a notification, no longer evaluated", " unstamped unstamped"],
    ]


def test_texts_that_only_follow_the_unit_are_no_changes(
    site: Site, reload: Callable[..., Finished], start_service: StartService
) -> None:
    """Advice names the unit, so it changes with the setting `journal.unit`, which is listed anyway."""
    site.configure('journal.unit = "one.service"')
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure('journal.unit = "other.service"')
        document = reload("--dry-run", "--json").documents[0]

    assert [change["key"] for change in document["changes"]] == ["journal.unit"]


def test_what_cannot_be_foreseen_is_named(
    site: Site, reload: Callable[..., Finished], start_service: StartService
) -> None:
    """It lists a longer lookback, changed sources, and hosts that are no longer ignored."""
    site.configure('hosts.ignore = ["q*"]')
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure('detectors.silent.lookback = "48h"\njournal.unit = "other"')
        shown = reload("--dry-run").stdout

    assert [line for line in shown.splitlines() if line.startswith("not shown: ")] == [
        "not shown: the index will be read further back",
        "not shown: the journal will be read again, because its settings differ",
        "not shown: hosts that are no longer ignored are not known yet",
    ]


def test_a_configuration_that_is_wrong_changes_nothing(
    site: Site, reload: Callable[..., Finished], start_service: StartService
) -> None:
    """Every problem is reported, with exit status 2. Without a running service, it is 4."""
    site.configure()
    site.accept("well")
    absent = reload()
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure("blind_after = 5\nhosts.limit = 0")
        refused = reload()
        document = reload("--json")
        reloads = service.notify.having("RELOADING")

    assert (absent.status, "is not running" in absent.stderr) == (4, True)
    assert refused.status == 2
    assert [line.split(": ")[1] for line in refused.stderr.splitlines()] == ["blind_after", "hosts.limit"]
    assert document.status == 2
    assert document.documents[0]["version"] == 1
    assert len(document.documents[0]["problems"]) == 2
    assert reloads == []


def test_a_service_is_found_though_its_configuration_is_no_toml(
    site: Site, start_service: StartService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the installed configuration, the default socket is used. The error is shown, too."""
    site.configure()
    site.accept("well")
    monkeypatch.setattr("fleet_health.cli.options.DEFAULT_PATH", site.config)
    monkeypatch.setitem(LOCATIONS, "control.path", Key(values.path, str(site.directory / "control.sock")))
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.config.write_text("tick = 5m")
        elsewhere = main(["status"])
        monkeypatch.setattr("fleet_health.cli.client.DEFAULT_PATH", site.config)
        capsys.readouterr()
        status = main(["status"])
        shown = capsys.readouterr()
        reloaded = main(["reload"])
        refused = capsys.readouterr().err

    assert (elsewhere, status, reloaded) == (2, 0, 2)
    assert shown.out.startswith("1 host: 1 well\n")
    assert refused.count("expected TOML") == 1
    assert "line 1, column 9: expected TOML" in shown.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what another user may read")
def test_a_destination_that_cannot_be_used_is_said(
    site: Site, start_service: StartService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command checks it as root, for the installed configuration: the service may not read secrets."""
    site.configure()
    site.accept("well")
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure('[[destinations]]\nname = "a"\ntype = "exec"\ncommand = ["/none"]')
        arguments = ["reload", "--dry-run", f"--config={site.config}"]
        elsewhere = main(arguments)
        monkeypatch.setattr("fleet_health.cli.commands.reload.DEFAULT_PATH", site.config)
        capsys.readouterr()
        installed = main(arguments)

    assert (elsewhere, installed) == (0, 3)
    assert "problem: destinations[1].command: /none: there is no such program\n" in capsys.readouterr().out


def test_what_cannot_be_written_is_said_before_and_after(
    site: Site, reload: Callable[..., Finished], start_service: StartService
) -> None:
    """The preview reports it. With an alert log that cannot be written, the reload is refused."""
    site.configure()
    site.accept("well")
    missing = site.directory / "none"
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure(f'metrics.textfile = "{missing}/a.prom"\npage.directory = "{missing}"')
        absent = reload("--dry-run")
        taken = reload("--json")
        site.configure(alerts=site.directory)
        foreseen = reload("--dry-run")
        refused = reload()
        refused_document = reload("--json")

    assert absent.status == 3
    assert f"problem: metrics.textfile: {missing}: No such file or directory\n" in absent.stdout
    assert f"problem: page.directory: {missing}: No such file or directory\n" in absent.stdout
    assert (taken.status, taken.documents[0]["outcome"]) == (3, "taken")
    problem = f"problem: alerts.path: {site.directory}: expected a file, found a directory\n"
    assert (foreseen.status, problem in foreseen.stdout) == (3, True)
    assert (refused.status, problem in refused.stdout) == (2, True)
    assert refused.stdout.endswith("the service has refused it, and keeps the previous configuration\n")
    assert "reload refused: alerts.path: " in refused.stderr
    assert (refused_document.status, refused_document.documents[0]["outcome"]) == (2, "refused")


def test_a_service_is_found_by_a_configuration_that_it_refused(
    site: Site, run_command: RunCommand, start_service: StartService
) -> None:
    """It reports the refusal itself. Only an error in `control.path` prevents the connection."""
    site.configure()
    site.accept("well")
    with start_service(site) as service:
        service.until_evaluated_anew()
        site.configure("blind_after = 5")
        service.reload()
        status = run_command("status", "--config", site.config)
        silence = run_command("silence", "pi-*", "--for", "1h", "--reason", "x", "--config", site.config)
        site.configure("control.pth = 'x'")
        misspelt = run_command("status", "--config", site.config)

    assert status.status == 1  # for that is a problem
    assert status.stdout.startswith("reload refused: blind_after: expected a duration")
    assert silence.status == 0
    assert (misspelt.status, "did you mean control.path?" in misspelt.stderr) == (2, True)
