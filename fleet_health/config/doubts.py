"""Find valid settings that have no effect, or another effect than they seem to have. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.config.in_force import flat, in_force
from fleet_health.config.schema import HOSTS_KEY, KEYS
from fleet_health.detectors import silent
from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Subject
from fleet_health.model.host_globs import HostGlobs, is_plain, literal_length
from fleet_health.model.instant import HOUR_US, describe
from fleet_health.model.near_miss import near_miss
from fleet_health.model.subject import is_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from fleet_health.config.schema import Settings

_AFTER = f"detectors.{silent.SYMPTOM}.after"
_BY_HOST = ("overrides", "quiet", "destinations")
# Any week without a change of clocks in most zones: from Monday, 2026-01-12.
_MONDAY = 1_768_176_000_000_000
_WEEK_US = 7 * 24 * HOUR_US


def doubts(settings: Settings, hosts: AbstractSet[str]) -> list[str]:
    """Return a sentence for each doubtful setting.

    Args:
        settings: The settings.
        hosts: The names of the known hosts. If there are none, globs are not checked.

    """
    return [
        *_unwatched(settings),
        *_always_muted(settings),
        *_shorter_than_tick(settings),
        *_unmatched(settings, hosts),
    ]


def _unwatched(settings: Settings) -> Iterator[str]:
    for glob in settings.ignored.globs:
        if not is_plain(glob) and literal_length(glob) == 0:
            yield f"hosts.ignore: {glob} may match every host, and a host that matches is never reported"
    about_hosts = {spec.symptom for spec in DETECTORS if spec.subject is Subject.HOST}
    if about_hosts <= settings.switched_off:
        yield "detectors: all detectors for hosts are off, so no host is ever reported"


def _always_muted(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each group of mute windows with the same hosts that covers the whole week."""
    for hosts in dict.fromkeys(one.hosts for one in settings.mute_windows):
        windows = [one for one in settings.mute_windows if one.hosts == hosts]
        pauses = (pause for one in windows for pause in one.pauses(_MONDAY, _MONDAY + _WEEK_US))
        covered_to = _MONDAY
        for pause in sorted(pauses, key=lambda one: one.since):
            covered_to = max(covered_to, pause.until) if pause.since <= covered_to else covered_to
        if covered_to >= _MONDAY + _WEEK_US:
            whom = "no alert is ever sent" if hosts is None else f"no alert of {', '.join(hosts.globs)} is ever sent"
            yield f"quiet: the mute windows cover the whole week, so {whom}"


def _shorter_than_tick(settings: Settings) -> Iterator[str]:
    tick = describe(settings.tick_us)
    places = [("", {key: one.value for key, one in in_force(settings.document, settings.path).items()})]
    places += [
        (f"overrides[{number}].", dict(flat(table)))
        for number, table in enumerate(settings.document.get("overrides", ()), start=1)
    ]
    kinds = {
        one.key: one.attribute
        for spec in DETECTORS
        if spec.symptom not in settings.switched_off
        for one in spec.settings
    }
    shorter: dict[str, list[str]] = {}
    for prefix, values in places:
        for key, value in values.items():
            is_after = key == _AFTER
            if (is_after or kinds.get(key) == "window_us") and KEYS[key].read(value) < settings.tick_us:
                effect = f"a host may be silent for {tick} longer" if is_after else "some responses are never counted"
                shorter.setdefault(effect, []).append(f"{prefix}{key} ({value})")
    for effect, keys in shorter.items():
        yield f"tick: {tick} is longer than {', '.join(keys)}, so {effect}"


def _unmatched(settings: Settings, hosts: AbstractSet[str]) -> Iterator[str]:
    """Yield a sentence for each glob or name that matches no known host, except in the table `hosts`."""
    if not hosts:
        return
    known = hosts | {name for name in settings.expected if is_plain(name)}
    for table in _BY_HOST:
        for number, entry in enumerate(settings.document.get(table, ()), start=1):
            globs = tuple(filter(is_host, HOSTS_KEY.read(entry["hosts"]))) if "hosts" in entry else ()
            for glob in HostGlobs(globs).unmatched(known):
                meant = near_miss(glob, known) if is_plain(glob) else None
                hint = f"; did you mean {meant}?" if meant else ""
                yield f"{table}[{number}].hosts: no known host matches {glob}{hint}"
