"""From systemd's messages about single units to the state of the receiver that they make up together.

A receiver can be several units: the instances of a template, a service and the socket that starts it. It is down only
when all of them are down. Whatever order the messages of different units come in, the result is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.model.observation import UnitState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.model.instant import Instant

_LIMIT = 256
"""How many units are remembered: names such as `libpod-ID.scope` are never used again."""


@dataclass(frozen=True, slots=True)
class UnitMessage:
    """One message of systemd about a unit.

    Attributes:
        unit: The unit; empty for the message that the boot is over.
        at: The journal entry's realtime timestamp.
        is_running: Whether it reports a start, or that the unit stopped, failed, or could not be started.
        invocation: The id of the run that it is about; empty if there was no run, None if it is not known.
        machine: The machine's id; empty if it is not known.
        boot: The boot's id; empty if it is not known.
        is_failed_start: Whether it reports that a start came to nothing.

    """

    unit: str
    at: Instant
    is_running: bool
    invocation: str | None = None
    machine: str = ""
    boot: str = ""
    is_failed_start: bool = False

    def is_start_after(self, earlier: UnitMessage) -> bool:
        """Return whether it reports that a run began, given the message before it about the same unit.

        systemd reports a start job that was skipped for a condition under the id of a start, too. Then there was no run
        (ConditionPathExists= and the like), or it is the one that has just ended (ExecCondition=).
        """
        has_ended = not earlier.is_running and earlier.invocation == self.invocation
        return self.is_running and self.invocation != "" and not (self.invocation and has_ended)

    def ends_no_run_of(self, earlier: UnitMessage) -> bool:
        """Return whether it leaves a unit running, given the message before it about the same unit.

        A unit that runs can be started again, as when its target is; if a dependency fails then, that start does,
        and the unit goes on.
        """
        is_same_run = bool(self.invocation) and earlier.invocation == self.invocation
        return self.is_failed_start and earlier.is_running and is_same_run


_NOTHING = UnitMessage("", 0, is_running=False)


class UnitStates:
    """The state of each unit of a receiver, and of the receiver.

    Attributes:
        latest: The receiver's state; None if it is not known.

    """

    def __init__(self) -> None:
        self._units: dict[tuple[str, str], UnitMessage] = {}
        self._boots: dict[str, str] = {}
        self._unheard: set[str] = set()
        self.latest: UnitState | None = None

    def expect(self, units: Iterable[str]) -> None:
        """Assume that units with known lines run; until systemd reports on them, the receiver is not down."""
        self._unheard.update(unit for unit in units if all(unit != known for _, known in self._units))

    def record(self, message: UnitMessage) -> UnitState | None:
        """Record a message; return the receiver's state if that has changed."""
        self._end_other_boots(message)
        if message.unit:
            self._unheard.discard(message.unit)
            self._record(message)
        state = self._state()
        if state is None or state == self.latest:
            return None
        self.latest = state
        return state

    def _end_other_boots(self, message: UnitMessage) -> None:
        """Stop what ran when its machine went down without a message, as it does when the power fails."""
        if not message.boot or self._boots.get(message.machine) == message.boot:
            return
        if message.machine in self._boots:
            for key, unit in self._units.items():
                if unit.machine == message.machine and unit.is_running:
                    self._units[key] = replace(unit, at=message.at, is_running=False)
        self._boots[message.machine] = message.boot

    def _record(self, message: UnitMessage) -> None:
        key = message.machine, message.unit
        known = self._units.get(key)
        if known is not None and message.ends_no_run_of(known):
            return
        is_running = message.is_start_after(known or _NOTHING)
        if known is None or is_running or known.is_running:
            self._units[key] = replace(message, is_running=is_running)
        else:  # it was down before, and has been since
            self._units[key] = replace(known, invocation=message.invocation or known.invocation)
        if len(self._units) > _LIMIT:
            stopped = [one for one, unit in self._units.items() if not unit.is_running]
            self._units.pop(min(stopped or self._units, key=lambda one: self._units[one].at))

    def _state(self) -> UnitState | None:
        if running := [unit.at for unit in self._units.values() if unit.is_running]:
            return UnitState(min(running), is_running=True)
        if self._unheard or not self._units:
            return None
        return UnitState(max(unit.at for unit in self._units.values()), is_running=False)
