"""How long a test waits for what must come, and how long the product waits in tests that are not about its timeouts.

A busy machine can let a process stand still for longer than any timeout. A test that is not about a timeout must not
fail of one: so waits here do not count the time in which nobody could look, and the product's own timeouts are set so
high that no load reaches them.
"""

from __future__ import annotations

import inspect
import sys
import time
from importlib import import_module
from operator import attrgetter

PATIENCE_S = 600.0
"""How long something may take that comes by itself; it is never reached when all is well, however busy the machine."""

LOOKING_S = 60.0
"""How long a test looks whether something has come; a standstill of the machine takes little of it."""

POLL_S = 0.01
"""The wait between two looks."""

_LONGEST_LOOK_S = 0.25

_ENDLESS_S = 3_600.0
_CONSTANTS = (
    ("fleet_health.api.documents", "_PUBLISHED_WITHIN"),
    ("fleet_health.api.listener", "_IDLE_S"),
    ("fleet_health.api.listener", "_SEND_S"),
    ("fleet_health.api.server", "_REMOVAL_TIME"),
    ("fleet_health.cli.client", "_PATIENCE"),
    ("fleet_health.daemon.composition", "_LAST_LOOK_TIME"),
    ("fleet_health.daemon.composition", "_SETTLE_TIME"),
    ("fleet_health.files.hanging_calls", "LIMIT_S"),
    ("fleet_health.files.lock_wait", "PATIENCE_S"),
    ("fleet_health.service.intake", "_POLL_TIME"),
    ("fleet_health.service.ticker", "_WITNESS_TIME"),
    ("fleet_health.sources.journal.samples", "_PATIENCE"),
)
"""Each timeout after which the product goes on without a response: the module, and its constant."""
_DEFAULTS = (
    ("fleet_health.api.server", "ControlSocket.__init__", "idle_time"),
    ("fleet_health.api.server", "ControlSocket.__init__", "send_time"),
    ("fleet_health.cli.client", "ask", "patience_s"),
    ("fleet_health.cli.client", "connected", "patience_s"),
    ("fleet_health.files.hang_watch", "work_in_a_child", "limit_s"),
)
"""Likewise: the module, the function, and its parameter with a default."""


class Patience:
    """What is left of the time that a test waits for something. A standstill of the machine takes little of it."""

    def __init__(self, seconds: float = LOOKING_S) -> None:
        self._left_s = seconds
        self._looked_at = time.monotonic()

    @property
    def is_left(self) -> bool:
        """Whether to go on waiting; to be asked at each look."""
        now = time.monotonic()
        self._left_s -= min(now - self._looked_at, _LONGEST_LOOK_S)
        self._looked_at = now
        return self._left_s > 0


def lift_timeouts() -> None:
    """Set the timeouts of the product's modules that are loaded so high that no load reaches them."""
    for module_name, constant in _CONSTANTS:
        if module := sys.modules.get(module_name):
            assert hasattr(module, constant), f"{module_name} has no {constant}"
            setattr(module, constant, _ENDLESS_S)
    for module_name, path, parameter in _DEFAULTS:
        if module := sys.modules.get(module_name):
            defaults = inspect.unwrap(attrgetter(path)(module)).__kwdefaults__
            assert parameter in defaults, f"{module_name}.{path} has no {parameter}"
            defaults[parameter] = _ENDLESS_S


def lift_all_timeouts() -> None:
    """Load the modules of the product that have timeouts, and lift these: for a process that is not pytest's."""
    for module_name, *_ in (*_CONSTANTS, *_DEFAULTS):
        import_module(module_name)
    lift_timeouts()
