"""One host by several names (G12): each source writes a name in its own way, and it is one host all the same."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING
from unicodedata import normalize
from urllib.parse import quote

import pytest

from fleet_health.cli.client import ask, target
from tests.rig.site import now_us

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService

MINUTE_US = 60_000_000
WELL = {"büro": "b%C3%BCro", "aa:bb:cc": "aa:bb:cc", "a b": "a%20b", "50%": "50%25"}
REFUSED = {"$(id)'\n": "%24%28id%29%27%0A", "-ü": "%2D%C3%BC"}


@pytest.mark.fault("G12", rig="service", says="the index has a name, uvicorn its encoding; the command finds its lines")
def test_G12_a_name_that_a_url_encodes_is_one_host(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """Neither source lacks it, it is shown once, its lines are found, and one glob matches it everywhere."""
    site.configure('hosts.expected = ["aa:*"]\n[[overrides]]\nhosts = ["bür?"]\ndetectors.silent.after = "2h"\n')
    begin_us = now_us() - 25 * MINUTE_US
    for minute in range(24):
        at_us = begin_us + minute * MINUTE_US
        for host in WELL:
            site.upload(host, at_us=at_us)
            site.answer(quote(host), 201, at_us=at_us)
        for host in REFUSED:
            if minute % 2:
                site.answer(quote(host), 412, at_us=at_us)
    site.sync_journal()
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) >= len(REFUSED), "the alerts")
        service.until_evaluated_anew()
        control = site.directory / "control.sock"
        document = ask(control, target("status"))
        request = {"symptom": None, "for_s": 3600, "reason": "x"}
        by_socket = ask(control, target("silences"), "POST", request | {"hosts": "bür*"})["silence"]["hosts"]
        by_command = run_command(
            "silence", "bür*", "--for", "1h", "--reason", "x", "--config", site.config
        ).stdout.split()[1]
        wanted = ask(control, target("status", query={"host": ["bür*", "-ü"]}))
        explained = ask(control, target("hosts", "büro"))

    assert site.alerted() == sorted((name, "fatal-only") for name in REFUSED.values())
    assert {one["host"] for one in document["hosts"]} == {"well", *WELL.values(), *REFUSED.values()}
    assert by_socket == by_command == "b%C3%BCr*"
    assert {one["host"] for one in wanted["hosts"]} == {"b%C3%BCro", "%2D%C3%BC"}
    assert explained["host"] == "b%C3%BCro"
    for row in site.alert_rows():
        done = subprocess.run(
            ["sh", "-c", f"{row['command']} --output=json"], capture_output=True, text=True, check=True
        )
        lines = [json.loads(line)["MESSAGE"] for line in done.stdout.splitlines()]
        (host,) = [host for host, name in REFUSED.items() if name == row["host"]]
        assert (len(lines), {line.split("/")[3] for line in lines}) == (12, {quote(host)})


@pytest.mark.fault("G12", rig="service", says="the index keeps the name as the URL encodes it")
def test_G12_a_name_that_the_receiver_keeps_encoded_is_one_host(site: Site, start_service: StartService) -> None:
    """In its index and in its own messages: a host is named alike everywhere, and neither source lacks it."""
    begin_us = now_us() - 25 * MINUTE_US
    for minute in range(24):
        at_us = begin_us + minute * MINUTE_US
        for host in ("büro", "aa:bb", "a b"):
            name = quote(host, safe="")
            site.upload(name, at_us=at_us)
            site.answer(name, 201, at_us=at_us)
        site.warn_unstamped("-%C3%BC", at_us=at_us)
        site.answer("-%C3%BC", 412, at_us=at_us)
    site.sync_journal()
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) >= 2, "the alerts")
        service.until_evaluated_anew()
        document = ask(site.directory / "control.sock", target("status"))

    assert site.alerted() == [("%2D%C3%BC", "fatal-only"), ("%2D%C3%BC", "unstamped")]
    assert {one["host"] for one in document["hosts"]} == {"well", "b%C3%BCro", "aa:bb", "a%20b", "%2D%C3%BC"}


@pytest.mark.fault("G12", rig="service", says="the index has the name in NFC, the journal in NFD")
def test_G12_a_name_in_two_forms_of_unicode_is_one_host(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """It is evaluated as one host, a glob in either form matches it, and the alert's command finds its lines."""
    decomposed = normalize("NFD", "büro")
    site.configure(f'hosts.expected = ["{decomposed}"]\n')
    begin_us = now_us() - 25 * MINUTE_US
    for minute in range(24):
        at_us = begin_us + minute * MINUTE_US
        site.upload("büro", at_us=at_us)
        site.answer(quote(decomposed), 201, at_us=at_us)
        site.answer(quote(normalize("NFD", "-ü")), 412, at_us=at_us)
    site.sync_journal()
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: site.alert_rows() != [], "the alert")
        service.until_evaluated_anew()
        document = ask(site.directory / "control.sock", target("status"))
        wanted = run_command("status", "--json", normalize("NFD", "bür?"), "--config", site.config).documents[0]
        explained = run_command("explain", "--json", decomposed, "--config", site.config).documents[0]

    assert site.alerted() == [("%2D%C3%BC", "fatal-only")]
    assert {one["host"] for one in document["hosts"]} == {"well", "b%C3%BCro", "%2D%C3%BC"}
    assert [one["host"] for one in wanted["hosts"]] == [explained["host"]] == ["b%C3%BCro"]
    (row,) = site.alert_rows()
    done = subprocess.run(["sh", "-c", row["command"]], capture_output=True, text=True, check=True)
    assert done.stdout.count(" 412") == 24
