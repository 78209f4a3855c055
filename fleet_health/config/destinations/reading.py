"""Reads `[[destinations]]`, to which notifications are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleet_health.config.destinations.registry import TYPES
from fleet_health.config.destinations.shared import COMMON
from fleet_health.config.document import TableReader, shown
from fleet_health.errors import Problem
from fleet_health.model.host_globs import HostGlobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """A destination as it is configured.

    Attributes:
        name: Its name, which is unique.
        type: Its type, one of `TYPES`.
        hosts: The hosts whose incidents it is sent.
        symptoms: The symptoms that it is sent.
        send: The kinds of notifications that it is sent, some of `KINDS`.
        after_us: How long after its first notification an incident must still be open, in microseconds.
        group_wait_us: How long an opening waits for others, in microseconds.
        rate_limit: The maximum number of messages, and in how many microseconds; None for no limit.
        give_up_after_us: How long delivery is retried, in microseconds.
        timeout_us: How long one delivery may take, in microseconds.
        own: The type's own keys -> their values, with the defaults.

    """

    name: str
    type: str
    hosts: HostGlobs
    symptoms: frozenset[str]
    send: frozenset[str]
    after_us: int
    group_wait_us: int
    rate_limit: tuple[int, int] | None
    give_up_after_us: int
    timeout_us: int
    own: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, host: str, symptom: str) -> bool:
        """Return whether the filters accept an incident."""
        return symptom in self.symptoms and self.hosts.matches(host)


def read_destinations(
    raw: Any, absolute: Callable[[Mapping[str, Any]], dict[str, Any]], problems: list[Problem]
) -> tuple[DestinationSettings, ...]:
    """Read `[[destinations]]`; one with a problem is left out.

    Args:
        raw: The value in TOML.
        absolute: Makes paths relative to the directory of the configuration.
        problems: Collects the problems.

    """
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        problems.append(Problem("destinations", "tables, each headed [[destinations]]", shown(raw)))
        return ()
    names: dict[Any, int] = {}
    found = []
    for number, entry in enumerate(raw, start=1):
        before = len(problems)
        problems += _name_problems(entry, names, number)
        destination = _read(entry, f"destinations[{number}].", absolute, problems)
        if destination is not None and len(problems) == before:
            found.append(destination)
    return tuple(found)


def _name_problems(entry: Mapping[str, Any], names: dict[Any, int], number: int) -> Iterator[Problem]:
    place = f"destinations[{number}].name"
    name = entry.get("name")
    if name is None:
        yield Problem(place, 'a short name for the destination, such as "phone"', "nothing")
    elif isinstance(name, str) and names.setdefault(name, number) != number:
        yield Problem(place, "a name of its own", f'"{name}", as in destinations[{names[name]}]')


def _read(
    entry: Mapping[str, Any],
    place: str,
    absolute: Callable[[Mapping[str, Any]], dict[str, Any]],
    problems: list[Problem],
) -> DestinationSettings | None:
    type_ = entry.get("type")
    if not isinstance(type_, str) or type_ not in TYPES:
        known = " or ".join([", ".join(f'"{name}"' for name in [*TYPES][:-1]), f'"{[*TYPES][-1]}"'][len(TYPES) == 1 :])
        problems.append(Problem(place + "type", known, "nothing" if type_ is None else shown(type_)))
        every = {key: one for spec in TYPES.values() for key, one in spec.keys.items()}
        TableReader(problems, {**every, **COMMON}, place).read({**entry, "type": "unknown"})
        return None
    spec, before = TYPES[type_], len(problems)
    keys = spec.all_keys
    found = absolute(TableReader(problems, keys, place).read(entry))
    problems += [
        Problem(place + key, f'it to be set for type "{type_}"', "nothing")
        for key in spec.required
        if not any(one == key or one.startswith(f"{key}.") for one in found) and key not in entry
    ]
    if len(problems) > before:
        return None
    defaults = {key: None if one.default is None else one.read(one.default) for key, one in (COMMON | keys).items()}
    merged = {**defaults, **found}
    problems += [Problem(place + key, expected, said) for key, expected, said in spec.problems(merged)]
    return DestinationSettings(
        name=found.get("name", ""),
        type=type_,
        hosts=HostGlobs(merged["hosts"]),
        symptoms=frozenset(merged["symptoms"]),
        send=frozenset(merged["send"]),
        after_us=merged["after"],
        group_wait_us=merged["group_wait"],
        rate_limit=merged["rate_limit"],
        give_up_after_us=merged["give_up_after"],
        timeout_us=merged["timeout"],
        own={key: merged[key] for key in spec.keys},
    )
