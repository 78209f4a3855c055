"""The status line that `systemctl status` shows (STATUS=)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fleet_health.alerting.lifecycle import ENDED, State
from fleet_health.detectors.hidden import in_words
from fleet_health.errors import printable
from fleet_health.model.words import plural
from fleet_health.parsing.local_time import local, localized, zone_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.instant import Instant
    from fleet_health.sources.state import SourceState


# Firing incidents are counted by symptom, and ended ones are not open.
_NOT_COUNTED = ENDED | {State.FIRING}


def starting_line(sources: Iterable[SourceState], now: Instant) -> str:
    """Return the status line while the service starts, with the progress of each source."""
    summaries = [source.summary(now) for source in sources]
    return _in_one_line(["Starting: " + ("; ".join(summaries) or "reading the saved state")])


def status_line(
    *,
    hosts_by_state: Mapping[str, int],
    sources: Iterable[SourceState],
    last: Evaluation | None,
    next_at: Instant | None,
    decisions: Sequence[Decision],
    problems: Sequence[str],
    now: Instant,
) -> str:
    """Return the status line: problems, hosts, sources, incidents, and when the next evaluation is due.

    Args:
        hosts_by_state: State -> number of hosts, in the order of the line.
        sources: The state of each source.
        last: The latest evaluation; None before the first.
        next_at: When the next evaluation is due; None before the first.
        decisions: The decisions of the latest evaluation on the open incidents.
        problems: The problems of the service itself.
        now: The present.

    """
    hosts = f"Watching {plural(sum(hosts_by_state.values()), 'host')}"
    states = ", ".join(f"{count} {state}" for state, count in hosts_by_state.items() if count)
    parts = [f"{hosts}: {states}" if last is not None and states else hosts]
    parts += [source.summary(now) for source in sources]
    if last is not None:
        parts.append(f"incidents: {_incidents(decisions)}")
        if last.hidden:
            hidden = {symptom: len(hosts) for symptom, hosts in last.hidden.items()}
            parts.append(f"cannot be ruled out: {in_words(hidden)}")
        if last.not_evaluated:
            parts.append(f"not evaluated: {', '.join(last.not_evaluated)}")
        parts.append(f"last tick {local(last.at)[11:19]}")
    if next_at is not None:
        parts.append(f"next {local(next_at)[11:19]} {zone_at(next_at)}")
    # Problems come first, because the end of the line may be cut off.
    return _in_one_line([*problems, *parts])


def _incidents(decisions: Sequence[Decision]) -> str:
    """Return the number of incidents in each state, and of firing ones by symptom."""
    counts = Counter(one.state for one in decisions)
    by_symptom = Counter(one.incident.symptom for one in decisions if one.state is State.FIRING)
    firing = ", ".join(f"{count} {symptom}" for symptom, count in sorted(by_symptom.items()))
    parts = [f"{by_symptom.total()} firing" + (f" ({firing})" if firing else "")]
    parts += [f"{counts[state]} {state}" for state in State if state not in _NOT_COUNTED and counts[state]]
    return ", ".join(parts)


def _in_one_line(parts: Iterable[str]) -> str:
    # A configured path may contain a newline, which would end the message to systemd.
    return localized(printable("; ".join(parts)))
