"""Counters only grow, whatever is reloaded, rotated or read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.model.counters import Counters

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService


def flat(row: dict[str, Any], path: str = "") -> dict[str, float]:
    """Return each number of nested counters by its path."""
    numbers: dict[str, float] = {}
    for key, value in row.items():
        numbers |= flat(value, f"{path}/{key}") if isinstance(value, dict) else {f"{path}/{key}": value}
    return numbers


def test_counters_never_go_backwards(site: Site, run_command: RunCommand, start_service: StartService) -> None:
    """Not even when reloads open both sources again, and one reload is refused."""
    site.configure()
    site.show_all_symptoms()
    site.journal.append('GET "PUT /v1/episodes/')
    site.sync_journal()
    seen: list[dict[str, float]] = []

    def look() -> None:
        seen.append(flat(run_command("status", "--json", "--config", site.config).documents[0]["counters"]))

    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until_evaluated_anew()
        look()
        site.configure("detectors.silent.lookback = '48h'\ndetectors.fatal-only.window = '2h'")
        service.reload()
        service.until_evaluated_anew()
        look()
        site.configure("tock = 1")
        service.reload()
        look()
        assert service.stop() == 0
    first, second, third = seen

    assert first["/read/index"] >= 2
    assert first["/read/journal"] >= 36
    assert first["/evaluations"] >= 1
    assert first["/evaluation_s"] > 0
    assert {path for path in first if path.startswith("/notifications")} == {
        "/notifications/fatal-only/notify",
        "/notifications/silent/notify",
        "/notifications/unstamped/notify",
    }
    for earlier, later in ((first, second), (second, third)):
        assert {path: later[path] for path, count in earlier.items() if later[path] < count} == {}
    assert second["/read/journal"] >= 2 * 36  # what is read again counts again
    assert (second["/reloads/taken"], third["/reloads/refused"]) == (1, 1)


def test_counters_with_two_labels_are_nested() -> None:
    """The document nests them in the order of the labels."""
    counters = Counters()
    counters.rejections.update({("journal", "no host"): 2, ("index", "not JSON"): 1, ("journal", "bad status"): 3})

    assert counters.row()["rejections"] == {"index": {"not JSON": 1}, "journal": {"bad status": 3, "no host": 2}}
