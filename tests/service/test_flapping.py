"""What flaps and what is inhibited, in the real service: nothing is notified twice, and nothing is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.rig.suppressing import end, silence

if TYPE_CHECKING:
    from tests.conftest import Site, StartService

HOSTS = ("a", "b", "c")
FAILING = ("*", "receiver-failing")
REFUSED = [(host, "fatal-only") for host in HOSTS]
# A second opening is one too many; each window is as short as a busy machine allows.
CONFIGURATION = """
alerts.flap_limit = 1
[detectors.silent]
after = "1s"
[detectors.fatal-only]
window = "1500ms"
[detectors.unstamped]
window = "1s"
[receiver.failing]
window = "1500ms"
"""


def incidents_of(site: Site) -> dict[str, Any]:
    """Return the incidents in the saved state; none before it is saved."""
    path = site.directory / "state" / "state.json"
    if not path.exists():
        return {"open": [], "flapping": []}
    incidents: dict[str, Any] = json.loads(path.read_bytes())["incidents"]
    return incidents


def open_pairs(site: Site) -> set[tuple[str, str]]:
    """Return the open incidents."""
    return {(incident["host"], incident["symptom"]) for incident in incidents_of(site)["open"]}


def flapping_pairs(site: Site) -> set[tuple[str, str]]:
    """Return the flapping incidents, whether or not they were notified."""
    return {(host, symptom) for (host, symptom), _ in incidents_of(site)["flapping"]}


def notified(site: Site) -> set[tuple[str, str]]:
    """Return the notifications, without those that are repeated because an hour has begun."""
    return set(site.alerted())


def warn(site: Site, host: str) -> None:
    """Let a host upload without a stamp, often enough for a finding."""
    site.warn_unstamped(host, times=12)
    site.sync_journal()


def refuse_all(site: Site) -> None:
    """Let the receiver fail for each host, often enough for a finding."""
    for host in HOSTS:
        site.answer(host, 503, times=12)
    site.sync_journal()


def accept_all(site: Site) -> None:
    """Let the receiver accept uploads from so many hosts that it does not count as failing."""
    for host in ("w", "x", "y", "z", *HOSTS):
        site.answer(host, 201)
    site.sync_journal()


def test_a_silenced_host_is_notified_as_flapping_when_the_silence_ends(site: Site, start_service: StartService) -> None:
    """The silence also suppresses the alert about flapping, but only until it ends."""
    site.configure(CONFIGURATION)
    site.begin_journal()
    site.sync_journal()
    one = silence(site, "comes")
    site.accept("comes")
    with start_service(site) as service:
        service.until(lambda: ("comes", "silent") in open_pairs(site), "the opening")
        service.do_until(lambda: site.accept("comes"), lambda: not open_pairs(site), "the end")
        service.until(lambda: ("comes", "silent") in open_pairs(site), "the second opening")
        flapping, silenced = flapping_pairs(site), notified(site)
        end(site, one)
        service.until(site.alerted, "the alert")
        service.until_evaluated_anew()

    assert (flapping, silenced) == ({("comes", "silent")}, set())
    assert site.alerted() == [("comes", "flapping")]


def test_two_symptoms_of_a_host_that_flap_are_told_of_at_once(site: Site, start_service: StartService) -> None:
    """A host has one alert about flapping in an hour, with both symptoms. A silence delays both to one tick."""
    site.configure(CONFIGURATION)
    both = {silent := ("comes", "silent"), ("comes", "unstamped")}
    one = silence(site, "comes")
    site.accept("comes")
    with start_service(site) as service:
        service.until(lambda: silent in open_pairs(site), "its silence")
        service.do_until(lambda: warn(site, "comes"), lambda: both <= open_pairs(site), "both openings")
        service.do_until(lambda: site.accept("comes"), lambda: not open_pairs(site), "both ends")
        service.until(lambda: silent in open_pairs(site), "its second silence")
        service.do_until(lambda: warn(site, "comes"), lambda: both <= open_pairs(site), "both second openings")
        flapping, silenced = flapping_pairs(site), notified(site)
        end(site, one)
        service.do_until(lambda: warn(site, "comes"), site.alerted, "the alert")

    assert (flapping, silenced) == (both, set())
    assert site.alerted() == [("comes", "flapping")]
    assert site.alert_rows()[0]["detail"] == (
        "silent opened 2 times within 24 h, and unstamped opened 2 times within 24 h"
    )


def test_a_flapping_receiver_makes_no_host_flap_and_inhibits_none(site: Site, start_service: StartService) -> None:
    """It and its hosts come and go twice, and only it is reported as flapping. Then each host is notified by itself."""
    site.configure(CONFIGURATION.replace('after = "1s"', 'after = "1h"'))
    with start_service(site) as service:
        service.do_until(lambda: refuse_all(site), lambda: {FAILING, *REFUSED} <= open_pairs(site), "the opening")
        held = notified(site)
        service.do_until(lambda: accept_all(site), lambda: not open_pairs(site), "the end")
        service.do_until(lambda: refuse_all(site), lambda: notified(site) >= {*REFUSED}, "the alerts")
        flapping = service.until(lambda: flapping_pairs(site), "the state")

    assert held == {FAILING}
    assert notified(site) == {FAILING, ("*", "flapping"), *REFUSED}
    assert flapping == {FAILING}


def test_a_cause_that_is_no_longer_found_still_names_what_it_inhibits(site: Site, start_service: StartService) -> None:
    """Without uploads it is not seen to recover either. In a new hour it is notified again."""
    site.configure('[receiver.failing]\nwindow = "1s"')
    with start_service(site) as service:
        service.do_until(lambda: refuse_all(site), lambda: {FAILING, *REFUSED} <= open_pairs(site), "the opening")
        service.until(lambda: "1 unconfirmed" in service.notify.status, "that it is not found")
        service.until_evaluated_anew()
        before = notified(site)
        service.process.kill()
        service.process.wait()
    site.begin_an_hour()
    with start_service(site) as service:
        service.until(site.alert_rows, "the alert")
        service.until_evaluated_anew()

    assert (before, notified(site)) == ({FAILING}, {FAILING})
    assert site.alert_rows()[0]["detail"] == (
        "it is no longer found, but it has not been seen to recover;"
        " inhibits 3 alerts: a fatal-only, b fatal-only, c fatal-only"
    )
