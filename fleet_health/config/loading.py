"""Load a TOML file as `Settings`, or raise a `ConfigError` that names every problem at once."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.mute_windows import MuteWindow
from fleet_health.config.destinations.reading import read_destinations
from fleet_health.config.document import LISTS, TableReader, read_document, shown
from fleet_health.config.learned_defaults import learned_defaults
from fleet_health.config.receiver_patterns import depending_defaults
from fleet_health.config.schema import (
    BY_HOST,
    HOSTS_KEY,
    KEYS,
    OVERRIDABLE,
    QUIET_KEYS,
    RECEIVER_KEYS,
    IndexSettings,
    JournalSettings,
    MetricsSettings,
    ReceiverSettings,
    Settings,
)
from fleet_health.config.site_texts import text_defaults
from fleet_health.detectors import silent
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.registry import DETECTORS
from fleet_health.errors import ConfigError, Problem
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fleet_health.detectors.spec import ByHost

ABSENT = object()
"""The value of an option that unsets a key of the file."""


_GRACES = {spec.symptom: spec.grace_us for spec in DETECTORS if spec.grace_us is not None}
_ABSENCES = {spec.symptom: spec.absence_us for spec in DETECTORS if spec.absence_us is not None}


# The keys that select the journal.
_WHERE = frozenset({"journal.directory", "journal.namespace"})


def load(
    path: Path | None,
    options: Mapping[str, tuple[str, Any]] | None = None,
    more_overrides: Sequence[Mapping[str, Any]] = (),
) -> Settings:
    """Return the settings of a configuration file; None stands for an empty file, with all defaults.

    Args:
        path: The file. Its relative paths start at its directory.
        options: Key -> (name of the command-line option, value as in TOML). They take precedence over the file.
        more_overrides: Further overrides after those of the file, as in TOML.

    Raises:
        ConfigError: With every problem of the file and the options.

    """
    document = read_document(path) if path else {}
    if more_overrides:
        document = {**document, "overrides": [*document.get("overrides", ()), *more_overrides]}
    problems: list[Problem] = []
    raw_receivers, raw_overrides, raw_quiet, raw_destinations = (document.get(key, []) for key in LISTS)
    found = TableReader(problems, KEYS, "").read({key: raw for key, raw in document.items() if key not in LISTS})
    found = _absolute(found, path)
    for key, (option, raw) in (options or {}).items():
        try:
            found[key] = None if raw is ABSENT else KEYS[key].read(raw)
        except ValueError as error:
            problems.append(Problem(option, str(error), shown(raw)))
    receivers = _read_receivers(raw_receivers, found, path, problems)
    if receivers:
        problems += [
            Problem(option, "a configuration without [[receivers]]", f"one with {plural(len(receivers), 'receiver')}")
            for key, (option, _) in (options or {}).items()
            if key in RECEIVER_KEYS
        ]
    overrides = _read_overrides(raw_overrides, problems, prevailing=frozenset(options or ()))
    found["quiet"] = _read_quiet(raw_quiet, problems)
    found["destinations"] = read_destinations(raw_destinations, partial(_absolute, path=path), problems)
    found = {**learned_defaults(is_learned=_is_learned(found, overrides)), **found}
    found = _with_defaults(found, [_journal_keys(receiver.journal) for receiver in receivers] or [found])
    settings = _assemble(found, overrides, document, path, receivers)
    problems += list(_contradictions(settings, problems))
    if problems:
        raise ConfigError(path or "command line", problems)
    return settings


def _journal_keys(journal: JournalSettings) -> dict[str, Any]:
    """Return key -> value for the settings that select the entries of a receiver."""
    return {
        "journal.unit": journal.units,
        "journal.match": journal.match,
        "journal.directory": journal.directory,
        "journal.namespace": journal.namespace,
    }


def _with_defaults(found: Mapping[str, Any], receivers: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the values with the defaults of keys that are not set, which depend on the receiver."""
    defaults = {key: entry.default for key, entry in KEYS.items()} | text_defaults(receivers)
    defaults |= depending_defaults({key: getattr(value, "pattern", value) for key, value in found.items()})
    missing = {key: default for key, default in defaults.items() if key not in found}
    return {**found, **{key: None if raw is None else KEYS[key].read(raw) for key, raw in missing.items()}}


def _read_receivers(
    raw_receivers: Any, shared: Mapping[str, Any], path: Path | None, problems: list[Problem]
) -> tuple[ReceiverSettings, ...]:
    """Read `[[receivers]]`. `[index]` and `[journal]` have the values of their missing keys."""
    if not isinstance(raw_receivers, list) or not all(isinstance(entry, dict) for entry in raw_receivers):
        problems.append(Problem("receivers", "tables, each headed [[receivers]]", shown(raw_receivers)))
        return ()
    receivers: list[ReceiverSettings] = []
    for number, entry in enumerate(raw_receivers, start=1):
        place = f"receivers[{number}]."
        found = _absolute(TableReader(problems, RECEIVER_KEYS, place).read(entry), path)
        name = found.pop("name", "")
        if "name" not in entry:
            problems.append(Problem(place + "name", 'a short name for the receiver, such as "lab-2"', "nothing"))
        elif name in (names := [receiver.name for receiver in receivers]):
            problems.append(
                Problem(place + "name", "a name of its own", f'"{name}", as in receivers[{names.index(name) + 1}]')
            )
        if _WHERE & found.keys():  # only one of the two may be set, so this receiver selects another journal
            shared = {key: value for key, value in shared.items() if key not in _WHERE}
        receivers.append(ReceiverSettings(name, *_sources(_with_defaults({**shared, **found}))))
    return tuple(receivers)


def _absolute(found: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """Return the values with each path relative to the directory of the file."""
    if path is None:
        return dict(found)
    # An absolute path is unchanged.
    return {key: path.parent / value if isinstance(value, Path) else value for key, value in found.items()}


def _sources(found: Mapping[str, Any]) -> tuple[IndexSettings, JournalSettings]:
    index = IndexSettings(
        found["index.path"], found["index.host_field"], found["index.time_field"], found["index.rotated"]
    )
    return index, JournalSettings(
        units=found["journal.unit"] or (),
        match=found["journal.match"] or (),
        directory=found["journal.directory"],
        namespace=found["journal.namespace"],
        response=found["journal.response"],
        unstamped_marker=found["journal.unstamped.contains"],
        unstamped_host=found["journal.unstamped.host"],
    )


def _read_overrides(
    raw_overrides: Any, problems: list[Problem], *, prevailing: frozenset[str]
) -> dict[str, list[Override]]:
    """Return symptom -> the overrides of its limits from `[[overrides]]`, in order, without `prevailing` keys."""
    overrides: dict[str, list[Override]] = {symptom: [] for symptom in BY_HOST}
    if not isinstance(raw_overrides, list) or not all(isinstance(entry, dict) for entry in raw_overrides):
        problems.append(Problem("overrides", "tables, each headed [[overrides]]", shown(raw_overrides)))
        return overrides
    keys = {"hosts": HOSTS_KEY, **OVERRIDABLE}
    for number, entry in enumerate(raw_overrides, start=1):
        place = f"overrides[{number}]."
        found = TableReader(problems, keys, place).read(entry)
        globs = found.pop("hosts", ())
        if "hosts" not in entry:
            problems.append(Problem(place + "hosts", 'a list of host globs, such as ["bench-*"]', "nothing"))
        for symptom, spec in BY_HOST.items():
            changes = {one.attribute: found[one.key] for one in spec.settings if one.key in found.keys() - prevailing}
            if changes:
                overrides[symptom] += [Override(glob, changes) for glob in globs]
    return overrides


def _read_quiet(raw_quiet: Any, problems: list[Problem]) -> tuple[MuteWindow, ...]:
    """Return the windows of `[[quiet]]`, without invalid ones."""
    if not isinstance(raw_quiet, list) or not all(isinstance(entry, dict) for entry in raw_quiet):
        problems.append(Problem("quiet", "tables, each headed [[quiet]]", shown(raw_quiet)))
        return ()
    windows = []
    for number, entry in enumerate(raw_quiet, start=1):
        place, before = f"quiet[{number}].", len(problems)
        found = TableReader(problems, QUIET_KEYS, place).read(entry)
        problems += [
            Problem(place + key, 'a time of day such as "22:00"', "nothing")
            for key in ("from", "to")
            if key not in entry
        ]
        if len(problems) > before:
            continue
        for key in ("days", "zone"):
            found.setdefault(key, QUIET_KEYS[key].read(QUIET_KEYS[key].default))
        hosts = HostGlobs(found["hosts"]) if "hosts" in found else None
        windows.append(MuteWindow(found["days"], found["from"], found["to"], found["zone"], hosts))
    return tuple(windows)


def _is_learned(found: Mapping[str, Any], overrides: Mapping[str, list[Override]]) -> bool:
    """Return whether the limit of any host is learned."""
    return found.get(silent.CADENCE, False) or any(one.changes.get("is_learned") for one in overrides[silent.SYMPTOM])


def _assemble(
    found: Mapping[str, Any],
    overrides: Mapping[str, list[Override]],
    document: Mapping[str, Any],
    path: Path | None,
    receivers: tuple[ReceiverSettings, ...],
) -> Settings:
    limits = _limits(found, overrides)
    lookbacks = limits[silent.SYMPTOM]
    return Settings(
        document=document,
        path=path,
        tick_us=found["tick"],
        host_limit=found["hosts.limit"],
        expected=found["hosts.expected"],
        ignored=HostGlobs(found["hosts.ignore"]),
        receivers=receivers or (ReceiverSettings("", *_sources(found)),),
        alerts_path=found["alerts.path"],
        alerts_rotated=found["alerts.rotated"],
        state_directory=found["state.directory"],
        control_path=found["control.path"],
        are_notices_recorded=found["alerts.resolved"],
        mute_windows=found["quiet"],
        destinations=found["destinations"],
        notify_directory=found["notify.directory"],
        metrics=MetricsSettings(found["metrics.hosts"], found["metrics.textfile"], found["metrics.notify_textfile"]),
        page_directory=found["page.directory"],
        notify_control_path=found["notify.control"],
        policy=AlertPolicy(
            tick_us=found["tick"],
            repeat=found["alerts.repeat"],
            resolve_after_us=found["alerts.resolve_after"],
            flap_limit=found["alerts.flap_limit"],
            flap_quiet_us=found["alerts.flap_quiet"],
            forget_after_us=found["hosts.forget_after"],
            most_remembered=found["hosts.limit"],
            grace_us=_declared(_GRACES, limits),
            lookback_us=lambda host: lookbacks.of(host).lookback_us,
            is_fixed=lambda host: not lookbacks.of(host).is_learned and lookbacks.of(host).expected is None,
            is_one_fault=lambda host: lookbacks.of(host).is_learned,
            absence_us=_declared(_ABSENCES, limits),
        ),
        limits=limits,
        switched_off=frozenset(
            spec.symptom for spec in DETECTORS if not all(found[switch] for switch in spec.switches)
        ),
    )


def _declared(times_us: Mapping[str, ByHost], limits: Mapping[str, Any]) -> Callable[[str, str], int]:
    """Return a function of host and symptom that returns the time that the detector declares; 0 if there is none."""

    def time_us(host: str, symptom: str) -> int:
        of_symptom = times_us.get(symptom)
        return 0 if of_symptom is None else of_symptom(limits, host)

    return time_us


def _limits(found: Mapping[str, Any], overrides: Mapping[str, list[Override]]) -> dict[str, Any]:
    """Return symptom -> its limits, for symptoms with limits."""
    limits: dict[str, Any] = {}
    for spec in DETECTORS:
        if spec.limits is not None:
            default = spec.limits(**{one.attribute: found[one.key] for one in spec.settings})
            limits[spec.symptom] = HostLimits(default, overrides[spec.symptom]) if spec.is_by_host else default
    return limits


def _contradictions(settings: Settings, problems: Sequence[Problem]) -> Iterator[Problem]:
    """Yield a problem for each combination of settings that is invalid although each setting is valid."""
    # The default replaces an invalid value, and must not cause further problems.
    wrong = {problem.place.rpartition("].")[2] for problem in problems}

    def are_read(*keys: str) -> bool:
        return wrong.isdisjoint(keys)

    for spec in DETECTORS:
        limits = settings.limits.get(spec.symptom)
        every = limits.each_alone() if isinstance(limits, HostLimits) else [limits]
        for one in spec.contradictions:
            if are_read(*one.keys) and not all(map(one.is_right, every)):
                yield Problem(one.keys[-1], one.expected, "one that is not", one.hint)
    yield from _contradictions_of_receivers(settings, are_read)
    taken = {settings.alerts_path: "the alert log"} | {one.index.path: "the index" for one in settings.receivers}
    for key in ("textfile", "notify_textfile"):
        path = getattr(settings.metrics, key)
        if path in taken:
            yield Problem(f"metrics.{key}", "a file of its own", f"{taken[path]}, which it would replace")
        taken |= {} if path is None else {path: f"metrics.{key}"}


def _contradictions_of_receivers(settings: Settings, are_read: Callable[..., bool]) -> Iterator[Problem]:
    for number, receiver in enumerate(settings.receivers, start=1):
        index, journal, place = receiver.index, receiver.journal, f"receivers[{number}]." if receiver.name else ""
        if journal.directory is not None and journal.namespace is not None:
            yield Problem(f"{place}journal.namespace", "only one of directory and namespace", "both")
        of_unit = [field for fields in journal.match for field in fields if field.startswith("_SYSTEMD_UNIT=")]
        if journal.units and of_unit:
            yield Problem(f"{place}journal.match", "the unit in journal.unit only", shown(of_unit[0]))
        if are_read("alerts.path", "index.path") and settings.alerts_path == index.path:
            yield Problem("alerts.path", "a file of its own", "the path of the index")
        if are_read("index.host_field", "index.time_field") and index.host_field == index.time_field:
            yield Problem(f"{place}index.time_field", "another key than index.host_field", shown(index.time_field))
        for before, other in enumerate(settings.receivers[: number - 1], start=1):
            if are_read("index.path") and index.path == other.index.path:
                yield Problem(f"{place}index.path", "an index of its own", f"that of receivers[{before}]: {index.path}")
            if are_read("journal.unit") and _share_lines(journal, other.journal):
                yield Problem(
                    f"{place}journal.unit",
                    "a unit or a journal of its own",
                    f"those of receivers[{before}]: {', '.join(journal.units)}",
                )


def _share_lines(one: JournalSettings, other: JournalSettings) -> bool:
    """Return whether lines would count for both receivers. If their matches differ, only the operator can know."""
    if (one.directory, one.namespace, one.match) != (other.directory, other.namespace, other.match):
        return False
    return one.units == other.units or any(
        fnmatchcase(unit, glob) or fnmatchcase(glob, unit) for unit in one.units for glob in other.units
    )
