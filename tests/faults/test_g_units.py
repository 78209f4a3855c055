"""The state of the receiver's units (G10 and G11), as the service follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Site, StartService

_STARTED, _STOPPED = "39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286"
_FAILED, _NOT_STARTED = "d9b373ed55a64feb8242e02dbe79a49c", "be02cf6855d2428ba40df7e9d022f03d"
_SKIPPED = "0e4284a0caca4bfc81c0bb6786972673"
_DOWN = [("*", "receiver-down")]
_QUICK = '[receiver.down]\nafter = "100ms"\n'


def report(site: Site, message_id: str, unit: str, **fields: str) -> None:
    """Log a message of PID 1, in words that nobody expects."""
    named: dict[str, Any] = {"UNIT": unit, "MESSAGE_ID": message_id, "_PID": "1"} | fields
    site.journal.append("Das kann man auch anders sagen.", unit="init.scope", **named)


@pytest.mark.fault("G10", rig="R3", says="systemd's words are not those that are expected")
@pytest.mark.parametrize("message_id", [_STOPPED, _FAILED, _NOT_STARTED, _SKIPPED])
def test_G10_any_words(message_id: str, site: Site, start_service: StartService) -> None:
    """While the service runs and after a restart alike, a unit that does not run is down by the id alone."""
    site.configure(_QUICK)
    site.upload("well")
    report(site, _STARTED, "cis490-receiver.service")
    with start_service(site) as service:
        service.until_ready()
        report(site, message_id, "cis490-receiver.service", _PID="4242")
        report(site, message_id, "other.service")
        service.until_evaluated_anew()
        before = site.alerted()
        report(site, message_id, "cis490-receiver.service")
        service.until(lambda: site.alerted() == _DOWN, "the alert")
    site.begin_an_hour()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == _DOWN, "the alert after a restart")

    assert before == []


@pytest.mark.fault("G10", rig="R3", says="a unit that can never be started, again and again")
def test_G10_a_start_that_fails_again_and_again(site: Site, start_service: StartService) -> None:
    """It is down since the first failure: one that comes more often than the limit does not put the alert off."""
    site.configure('[receiver.down]\nafter = "1s"\n')
    site.upload("well")
    report(site, _STARTED, "cis490-receiver.service")
    with start_service(site) as service:
        service.until_ready()

        def has_alert() -> bool:
            report(site, _NOT_STARTED, "cis490-receiver.service")
            return site.alerted() == _DOWN

        service.until(has_alert, "the alert, while it fails on")


@pytest.mark.fault("G10", rig="R3", says="a unit is started while it runs, and a dependency fails")
def test_G10_a_start_that_fails_while_it_runs(site: Site, start_service: StartService) -> None:
    """It is not down, neither as the service follows it nor after a restart; a later stop is seen."""
    unit = "cis490-receiver.service"
    site.configure(_QUICK)
    site.upload("well")
    report(site, _STARTED, unit, INVOCATION_ID="a" * 32)
    with start_service(site) as service:
        service.until_ready()
        report(site, _NOT_STARTED, unit, INVOCATION_ID="a" * 32, JOB_RESULT="dependency")
        site.sync_journal()
        service.until_evaluated_anew()
        service.until_evaluated_anew()
        while_it_follows = site.alerted()
        assert service.stop() == 0
    with start_service(site) as service:
        service.until_ready()
        service.until_evaluated_anew()
        after_a_restart = site.alerted()
        report(site, _STOPPED, unit, INVOCATION_ID="a" * 32)
        service.until(lambda: site.alerted() == _DOWN, "the alert")

    assert (while_it_follows, after_a_restart) == ([], [])


@pytest.mark.fault("G11", rig="R3", says="instances stop one after the other, while the service runs")
def test_G11_one_instance_after_the_other(site: Site, start_service: StartService) -> None:
    """The receiver is down with the last of them, also if that one was started only later, and its socket."""
    site.configure(f'journal.unit = "receiver@*.service"\n{_QUICK}')
    site.upload("well")
    report(site, _STARTED, "receiver@1.service")
    report(site, _STARTED, "receiver.socket")
    with start_service(site) as service:
        service.until_ready()
        report(site, _STARTED, "receiver@2.service")
        for unit in ("receiver@1.service", "receiver@2.service"):
            report(site, _STOPPED, unit)
            service.until_evaluated_anew()
        site.sync_journal()
        service.until_evaluated_anew()
        before = site.alerted()
        report(site, _FAILED, "receiver.socket")
        service.until(lambda: site.alerted() == _DOWN, "the alert")

    assert before == []
