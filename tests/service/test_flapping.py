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
    """Read what the saved state says of the incidents; nothing if there is none yet."""
    path = site.directory / "state" / "state.json"
    if not path.exists():
        return {"open": [], "flapping": []}
    incidents: dict[str, Any] = json.loads(path.read_bytes())["incidents"]
    return incidents


def open_pairs(site: Site) -> set[tuple[str, str]]:
    """Return what is open."""
    return {(incident["host"], incident["symptom"]) for incident in incidents_of(site)["open"]}


def flapping_pairs(site: Site) -> set[tuple[str, str]]:
    """Return what has come too often, whether or not that was said."""
    return {(host, symptom) for (host, symptom), _ in incidents_of(site)["flapping"]}


def told(site: Site) -> set[tuple[str, str]]:
    """Return what was notified, however many hours had begun meanwhile."""
    return set(site.alerted())


def warn(site: Site, host: str) -> None:
    """Let a host upload without a stamp, often enough."""
    site.warn_unstamped(host, times=12)
    site.sync_journal()


def refuse_all(site: Site) -> None:
    """Let the receiver fail for each of the hosts, often enough."""
    for host in HOSTS:
        site.answer(host, 503, times=12)
    site.sync_journal()


def accept_all(site: Site) -> None:
    """Let the receiver accept from everybody; from so many others that it does not count as failing at once."""
    for host in ("w", "x", "y", "z", *HOSTS):
        site.answer(host, 201)
    site.sync_journal()


def test_a_silenced_host_is_told_of_as_flapping_when_the_silence_ends(site: Site, start_service: StartService) -> None:
    """Who does not want to hear of it does not want to hear that either; but it is not forgotten over it."""
    site.configure(CONFIGURATION)
    site.begin_journal()
    site.sync_journal()
    one = silence(site, "comes")
    site.upload("comes")
    with start_service(site) as service:
        service.until(lambda: ("comes", "silent") in open_pairs(site), "the opening")
        service.do_until(lambda: site.upload("comes"), lambda: not open_pairs(site), "the end")
        service.until(lambda: ("comes", "silent") in open_pairs(site), "the second opening")
        flapping, silenced = flapping_pairs(site), told(site)
        end(site, one)
        service.until(site.alerted, "the alert")
        service.until_evaluated_anew()

    assert (flapping, silenced) == ({("comes", "silent")}, set())
    assert site.alerted() == [("comes", "flapping")]


def test_two_symptoms_of_a_host_that_flap_are_told_of_at_once(site: Site, start_service: StartService) -> None:
    """A host has one alert of each kind in an hour, so both are in it. A silence brings them to one tick.

    It is silent before it is refused, or that would be the cause.
    """
    site.configure(CONFIGURATION)
    both = {silent := ("comes", "silent"), ("comes", "unstamped")}
    one = silence(site, "comes")
    site.upload("comes")
    with start_service(site) as service:
        service.until(lambda: silent in open_pairs(site), "its silence")
        service.do_until(lambda: warn(site, "comes"), lambda: both <= open_pairs(site), "both openings")
        service.do_until(lambda: site.upload("comes"), lambda: not open_pairs(site), "both ends")
        service.until(lambda: silent in open_pairs(site), "its second silence")
        service.do_until(lambda: warn(site, "comes"), lambda: both <= open_pairs(site), "both second openings")
        flapping, silenced = flapping_pairs(site), told(site)
        end(site, one)
        service.do_until(lambda: warn(site, "comes"), site.alerted, "the alert")

    assert (flapping, silenced) == (both, set())
    assert site.alerted() == [("comes", "flapping")]
    assert site.alert_rows()[0]["detail"] == (
        "silent has come 2 times within 24 h, and unstamped has come 2 times within 24 h"
    )


def test_a_flapping_receiver_makes_nobody_flap_and_holds_nobody_back(site: Site, start_service: StartService) -> None:
    """It comes twice, and its hosts with it: that is said of it alone. Then each host is notified by itself."""
    site.configure(CONFIGURATION.replace('after = "1s"', 'after = "1h"'))
    with start_service(site) as service:
        service.do_until(lambda: refuse_all(site), lambda: {FAILING, *REFUSED} <= open_pairs(site), "the opening")
        held = told(site)
        service.do_until(lambda: accept_all(site), lambda: not open_pairs(site), "the end")
        service.do_until(lambda: refuse_all(site), lambda: told(site) >= {*REFUSED}, "the alerts")
        flapping = service.until(lambda: flapping_pairs(site), "the state")

    assert held == {FAILING}
    assert told(site) == {FAILING, ("*", "flapping"), *REFUSED}
    assert flapping == {FAILING}


def test_a_cause_that_is_not_found_any_more_names_again_what_it_holds_back(
    site: Site, start_service: StartService
) -> None:
    """Nobody uploads, so it is not seen to be over either. In a new hour it is notified again."""
    site.configure('[receiver.failing]\nwindow = "1s"')
    with start_service(site) as service:
        service.do_until(lambda: refuse_all(site), lambda: {FAILING, *REFUSED} <= open_pairs(site), "the opening")
        service.until(lambda: "1 unconfirmed" in service.notify.status, "that it is not found")
        service.until_evaluated_anew()
        before = told(site)
        service.process.kill()
        service.process.wait()
    site.begin_an_hour()
    with start_service(site) as service:
        service.until(site.alert_rows, "the alert")
        service.until_evaluated_anew()

    assert (before, told(site)) == ({FAILING}, {FAILING})
    assert site.alert_rows()[0]["detail"] == (
        "it is no longer found, but it has not been seen to recover;"
        " inhibits 3 alerts: a fatal-only, b fatal-only, c fatal-only"
    )
