"""The metrics of `notify`: the state of each destination. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.api.exposition import Family, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.notify.overview import Overview, Row

REPORTED = Family(
    "fleet_health_notify_reported_timestamp_seconds", "gauge", "When notify wrote its metrics, since the epoch."
)
EVALUATION = Family(
    "fleet_health_notify_last_evaluation_timestamp_seconds",
    "gauge",
    "The latest evaluation that notify has seen, since the epoch.",
)
PROBLEMS = Family("fleet_health_notify_problems", "gauge", "How many problems notify has with itself.")
UP = Family("fleet_health_notify_destination_up", "gauge", "Whether the latest call of a destination was taken.")
SUCCESS = Family(
    "fleet_health_notify_last_success_timestamp_seconds",
    "gauge",
    "When a destination last took something, since the epoch.",
)
WAITING = Family("fleet_health_notify_waiting", "gauge", "How many notifications wait for a destination.")
WAITING_SINCE = Family(
    "fleet_health_notify_waiting_since_timestamp_seconds",
    "gauge",
    "Since when the first notification waits for a destination.",
)
CALLS = Family(
    "fleet_health_notify_calls_total", "counter", "Calls of a destination since notify started, by their outcome."
)
DROPPED = Family(
    "fleet_health_notify_dropped_total",
    "counter",
    "Notifications that were dropped: they had waited too long, or were refused.",
)

FAMILIES = (REPORTED, EVALUATION, PROBLEMS, UP, SUCCESS, WAITING, WAITING_SINCE, CALLS, DROPPED)
"""All families."""

_OUTCOMES = ("taken", "failed", "refused", "gone")


def metrics(overview: Overview) -> bytes:
    """Return the metrics in the text format of Prometheus."""
    rows = overview.destinations
    samples: tuple[tuple[Family, Iterable[str]], ...] = (
        (REPORTED, [REPORTED.sample(seconds(overview.at))]),
        (EVALUATION, EVALUATION.instants([({}, overview.evaluated_at)])),
        (PROBLEMS, [PROBLEMS.sample(len(overview.problems))]),
        (UP, [UP.sample(int(one.state in {"ok", "waiting"}), **_labels(one)) for one in rows]),
        (SUCCESS, SUCCESS.instants((_labels(one), one.last_success_at) for one in rows)),
        (WAITING, [WAITING.sample(one.standing.waiting, **_labels(one)) for one in rows]),
        (WAITING_SINCE, WAITING_SINCE.instants((_labels(one), one.standing.waiting_since) for one in rows)),
        (
            CALLS,
            [
                CALLS.sample(one.calls.get(outcome, 0), **_labels(one), outcome=outcome)
                for one in rows
                for outcome in _OUTCOMES
            ],
        ),
        (DROPPED, [DROPPED.sample(one.standing.dropped, **_labels(one)) for one in rows]),
    )
    return "".join(family.text(lines, is_openmetrics=False) for family, lines in samples).encode(
        "utf-8", "backslashreplace"
    )


def _labels(row: Row) -> dict[str, str]:
    return {"destination": row.settings.name, "type": row.settings.type}
