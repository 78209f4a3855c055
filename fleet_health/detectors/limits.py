"""Limits that may differ by host: one default, and overrides for the hosts that a glob names."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fleet_health.model.host_globs import is_plain, literal_length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Limits = TypeVar("Limits")

# Enough for any fleet; a stream of invented host names must not fill the memory.
_REMEMBERED_HOSTS = 20_000


@dataclass(frozen=True, slots=True)
class Override:
    """Changes to a detector's limits for the hosts that match a glob.

    Attributes:
        glob: `*`, `?` and `[…]` as in the shell, matched against the whole host name, case-sensitively.
        changes: Attribute of the limits -> its value for these hosts.

    """

    glob: str
    changes: Mapping[str, Any]

    @property
    def specificity(self) -> tuple[bool, int]:
        """How specific the glob is: a plain name is most so, else the more characters it spells out."""
        return is_plain(self.glob), literal_length(self.glob)


class HostLimits(Generic[Limits]):
    """The limits in force for each host.

    If several overrides match, each attribute comes from the most specific one that sets it; of two equally specific
    ones, from the later.
    """

    def __init__(self, default: Limits, overrides: Sequence[Override] = ()) -> None:
        self.default = default
        by_glob: dict[str, dict[str, Any]] = {}
        for override in sorted(overrides, key=lambda override: override.specificity):  # stable: later ones win ties
            by_glob.setdefault(override.glob, {}).update(override.changes)
        self._overrides = [(re.compile(translate(glob)), changes) for glob, changes in by_glob.items()]
        self._by_host: dict[str, Limits] = {}

    def of(self, host: str) -> Limits:
        """Return the limits in force for one host."""
        if not self._overrides:
            return self.default
        limits = self._by_host.get(host)
        if limits is None:
            if len(self._by_host) >= _REMEMBERED_HOSTS:
                self._by_host.clear()
            limits = self._by_host[host] = self._resolve(host)
        return limits

    def each_alone(self) -> list[Limits]:
        """Return the default, and the limits by each glob alone: together, every value that an attribute can have."""
        return [self.default, *(self._changed(changes) for _, changes in self._overrides)]

    def _resolve(self, host: str) -> Limits:
        changes: dict[str, Any] = {}
        for pattern, override in self._overrides:
            if pattern.match(host):
                changes.update(override)
        return self._changed(changes) if changes else self.default

    def _changed(self, changes: Mapping[str, Any]) -> Limits:
        return dataclasses.replace(self.default, **changes)  # type: ignore[type-var]
