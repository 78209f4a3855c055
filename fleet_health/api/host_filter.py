"""The filter for the hosts in a request, by names and globs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.silences import glob_problem
from fleet_health.api.requests import RequestError
from fleet_health.api.states import STATES
from fleet_health.errors import printable
from fleet_health.model.host_globs import HostGlobs, is_plain
from fleet_health.model.subject import subject_glob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GLOBS = 100
"""The largest number of globs in a request."""


def host_filter(hosts: Sequence[str], states: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that returns whether a host is selected by its name.

    Args:
        hosts: Names and globs; empty for all hosts.
        states: The states in the request. They are only validated here.

    Raises:
        RequestError: A glob or a state is invalid, or there are too many globs.

    """
    globs = _globs([subject_glob(text) for text in hosts])
    if strange := sorted(set(states) - set(STATES)):
        raise RequestError(f"expected `state` to be one of {', '.join(STATES)}, found {strange[0]!r}")
    return lambda host: not globs.globs or globs.matches(host)


def _globs(wanted: Sequence[str]) -> HostGlobs:
    """Return a selection by plain names and by a limited number of globs, because globs are slow to match."""
    shapes = [glob for glob in wanted if not is_plain(glob)]
    if len(shapes) > _GLOBS:
        raise RequestError(f"expected at most {_GLOBS} globs in `host`, apart from plain names, found {len(shapes)}")
    for glob in shapes:
        if problem := glob_problem(glob):
            raise RequestError(f"expected short globs in `host`, found {printable(glob)[:80]}: {problem}")
    return HostGlobs(tuple(wanted))
