"""Report the status line to systemd and, while the service starts, its progress."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from fleet_health.alerting.lifecycle import ENDED
from fleet_health.api.overview import by_subject, host_states
from fleet_health.api.states import STATES
from fleet_health.service import clock
from fleet_health.service.service_manager import notify
from fleet_health.service.status import starting_line, status_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.config.schema import Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.service.parts import Parts

_EVERY_S = 5.0
_EVERY_S_STARTING = 1.0
_EXTENSION_US = 30_000_000


class Report:
    """Keeps STATUS= up to date."""

    def __init__(self, parts: Parts, problems: Callable[[], Sequence[str]]) -> None:
        """Report on `parts` and on the result of `problems`."""
        self._parts = parts
        self._problems = problems
        self._is_ready = False
        self._hosts_by_state: dict[str, int] = {}
        self._counted: tuple[Evaluation, Settings] | None = None
        """The evaluation and the settings for which hosts were counted; None before the first evaluation."""

    async def run(self) -> NoReturn:
        """Report forever. During the start, ask systemd for more time as long as there is progress."""
        read_before = -1
        while True:
            if self._is_ready:
                self.send()
                await asyncio.sleep(_EVERY_S)
                continue
            states = self._parts.intake.states
            assignments = [f"STATUS={starting_line(states, clock.now())}"]
            if (read := sum(state.read for state in states)) > read_before:
                read_before = read
                assignments.append(f"EXTEND_TIMEOUT_USEC={_EXTENSION_US}")
            notify(*assignments)
            await asyncio.sleep(_EVERY_S_STARTING)

    def send(self) -> None:
        """Send the status line now."""
        notify(f"STATUS={self._status()}")

    def send_ready(self) -> None:
        """Report that the service is ready, after the start or a reload."""
        self._is_ready = True
        notify("READY=1", f"STATUS={self._status()}")

    def _status(self) -> str:
        return status_line(
            hosts_by_state=self._count_hosts(),
            sources=self._parts.intake.states,
            last=self._parts.engine.last,
            next_at=self._parts.evaluator.next_at,
            decisions=self._parts.engine.decisions,
            problems=self._problems(),
            now=clock.now(),
        )

    def _count_hosts(self) -> dict[str, int]:
        """Return state -> number of hosts, counted once for each evaluation, because 10,000 hosts take 9 ms."""
        last, settings = self._parts.engine.last, self._parts.configuration.settings
        if self._counted is not None and self._counted[0] is last and self._counted[1] is settings:
            return self._hosts_by_state
        hidden = frozenset[str]().union(*(() if last is None else last.hidden.values()))
        decisions = by_subject(one for one in self._parts.engine.decisions if one.state not in ENDED)
        states = Counter(host_states(settings, self._parts.intake.fleet, decisions, hidden, clock.now()).values())
        self._hosts_by_state = {state: states[state] for state in STATES if states[state]}
        self._counted = None if last is None else (last, settings)
        return self._hosts_by_state
