"""What the service answers to the operator's commands."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiofiles.os import wrap

from fleet_health.alerting.alert import Alert
from fleet_health.alerting.silences import Silences, glob_problem
from fleet_health.api.explanation import explanation_document, subjects
from fleet_health.api.overview import STATES, Knowledge, source_document, status_document
from fleet_health.api.preview import changed_sources, preview_document, refused_document
from fleet_health.api.server import RequestError
from fleet_health.api.silence_requests import SilenceRequests
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.detectors.spec import Finding
from fleet_health.errors import ConfigError, PathHangs, printable
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.host_globs import HostGlobs, is_plain
from fleet_health.model.near_miss import near_miss
from fleet_health.model.subject import subject_glob
from fleet_health.service import clock
from fleet_health.service.witness import SAMPLES, with_evidence, with_samples
from fleet_health.sources.inspection import inspected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.api.server import Answer
    from fleet_health.config.schema import Settings
    from fleet_health.engine import Engine
    from fleet_health.model.counters import Counters
    from fleet_health.model.fleet import Fleet
    from fleet_health.service.intake import Intake
    from fleet_health.service.silencing import Silencing
    from fleet_health.service.ticker import Evaluator

CONFIGURATION = Path("configuration")
"""The path under which `call_at` counts the calls that read the configuration."""

SOURCES = Path("sources of another configuration")
"""The same for the calls that look at the sources that another configuration names."""

_GLOBS = 100
"""How many globs a request for the status may have."""


class Answers:
    """Answers each request by its command. What takes time is done off the loop."""

    def __init__(
        self,
        *,
        intake: Intake,
        evaluator: Evaluator,
        engine: Engine,
        silencing: Silencing,
        counters: Counters,
        settings: Callable[[], Settings],
        problems: Callable[[], Sequence[str]],
        load: Callable[[], Settings],
        reload: Callable[[], None],
    ) -> None:
        """Take the parts that know, and the ways to ask the rest.

        Args:
            intake: Keeps the fleet.
            evaluator: Knows when the next evaluation is, and what the hosts did in the last hours.
            engine: Knows the latest evaluation, and what is open.
            silencing: What is silenced.
            counters: What the service has done since it started.
            settings: Gives the settings in force.
            problems: Gives what is wrong with the service.
            load: Reads the configuration as it is now; raises ConfigError.
            reload: Has it taken, soon.

        """
        self._intake = intake
        self._evaluator = evaluator
        self._engine = engine
        self._silencing = silencing
        self._counters = counters
        self._settings = settings
        self._problems = problems
        self._load = load
        self._reload = reload
        silences = SilenceRequests(silencing, self._known_hosts)
        self._by_command: dict[str, Answer] = {
            "status": self._status,
            "explain": self._explain,
            "preview": self._preview,
            "reload": self._take_configuration,
            "silence": silences.add,
            "end-silence": silences.end,
        }

    async def __call__(self, request: Mapping[str, Any], uid: int) -> Mapping[str, Any]:
        """Answer a request of a user.

        Raises:
            RequestError: It is not one that can be answered.

        """
        command = request.get("command")
        if not isinstance(command, str) or command not in self._by_command:
            raise RequestError(f"expected `command` to be one of {', '.join(self._by_command)}, found {command!r}")
        return await self._by_command[command](request, uid)

    async def _status(self, request: Mapping[str, Any], _: int) -> Mapping[str, Any]:
        globs = _globs([subject_glob(text) for text in _texts(request, "hosts")])
        states = frozenset(_texts(request, "states"))
        if strange := sorted(states - set(STATES)):
            raise RequestError(f"expected `states` from {', '.join(STATES)}, found {strange[0]!r}")
        limit = request.get("limit")
        if limit is not None and (not isinstance(limit, int) or limit < 0):
            raise RequestError(f"expected `limit` to be a whole number, found {limit!r}")

        def is_wanted(host: str) -> bool:
            return not globs.globs or globs.matches(host)

        suppressions = await self._suppressions()  # a silence that was just made is shown now, not at the next tick
        async with self._intake.held() as fleet:
            fleet.coverage = self._intake.known_coverage()  # it is a copy
            known = self._knowledge(self._engine.incidents.frozen(), suppressions)
            document = await wrap(status_document)(known, fleet, is_wanted, states, limit)
        return {**document, "counters": self._counters.row()}

    async def _explain(self, request: Mapping[str, Any], _: int) -> Mapping[str, Any]:
        host = request.get("host")
        if not isinstance(host, str) or not host:
            raise RequestError(f"expected `host` to be a host's name, found {host!r}")
        host = subject_glob(host)
        suppressions = await self._suppressions()
        settings, lookback_us = self._settings(), self._engine.lookback.traffic_us
        async with self._intake.held() as fleet:
            fleet.coverage = self._intake.known_coverage()
            self._engine.rules.apply_to(fleet)
            incidents = self._engine.incidents.frozen()
            known = self._knowledge(incidents, suppressions)
            document = await wrap(explanation_document)(known, fleet, incidents, host, self._silencing.muter)
            if not document["is_known"]:
                raise RequestError(await wrap(_unknown)(host, fleet, known))
            about = [Alert(Finding(host, "", "", ""), known.now)]
            about = await wrap(with_evidence)(about, fleet, settings.receivers, lookback_us)
        with suppress(PathHangs):
            about = await call_at(SAMPLES, with_samples, about, settings.receivers, lookback_us)
        (about_host,) = about
        return {**document, "evidence": about_host.facts()}

    async def _preview(self, _request: Mapping[str, Any], _: int) -> Mapping[str, Any]:
        try:
            settings = await call_at(CONFIGURATION, self._load)
        except ConfigError as error:
            return refused_document([f"{error.path}: {problem}" for problem in error.problems], clock.now())
        except PathHangs as error:
            return refused_document([str(error)], clock.now())
        try:
            source_problems = await call_at(SOURCES, _source_problems, self._settings(), settings)
        except PathHangs as error:
            source_problems = [f"the sources cannot be looked at: {error}"]
        await self._silencing.refresh(clock.now())
        async with self._intake.held() as fleet:
            now = clock.now()
            incidents = self._engine.incidents.frozen()
            suppressions = self._silencing.muter(now, settings.mute_windows)
            return await wrap(preview_document)(
                self._settings(),
                settings,
                now,
                fleet=fleet,
                incidents=incidents,
                suppressions=suppressions,
                source_problems=source_problems,
            )

    async def _take_configuration(self, _request: Mapping[str, Any], uid: int) -> Mapping[str, Any]:
        if uid not in {0, os.geteuid()}:
            raise RequestError(
                f"only root and the service's own user may reload the configuration, found user {uid};"
                " `fleet-health reload --dry-run` shows what would change"
            )
        self._reload()
        return {"is_requested": True}

    async def _known_hosts(self) -> Sequence[str]:
        async with self._intake.held() as fleet:
            return await wrap(list)(fleet.hosts())

    async def _suppressions(self) -> Suppressions:
        """Read the silences anew, and match the hosts of all that is open; off the loop, for there may be many."""
        now = clock.now()
        await self._silencing.refresh(now)
        return await self._silencing.match(self._engine.incidents.open, now)

    def _knowledge(self, incidents: Incidents, suppressions: Suppressions) -> Knowledge:
        now, last = clock.now(), self._engine.last
        return Knowledge(
            now=now,
            settings=self._settings(),
            problems=self._problems(),
            sources=[source_document(source, now) for source in self._evaluator.states],
            evaluation=last,
            details={} if last is None else {(one.host, one.symptom): one.detail for one in last.findings},
            next_at=self._evaluator.next_at,
            unseen=() if last is None else last.not_evaluated,
            clock=self._evaluator.clock_state.problem,
            decisions=incidents.decisions(now, suppressions),
            silences=self._silencing.silences or Silences(),
            history=self._evaluator.history.snapshot,
        )


def _source_problems(old: Settings, new: Settings) -> list[str]:
    """Return what is wrong with the sources that other settings name and these do not."""
    found = []
    for receiver in changed_sources(old, new):
        of_receiver = f"receiver {receiver.name}: " if receiver.name else ""
        found += [of_receiver + problem for problem in inspected(receiver, clock.now()).of_service]
    return found


def _globs(wanted: Sequence[str]) -> HostGlobs:
    """Take what hosts are asked for: any number of plain names, but only so many globs, for each costs something."""
    shapes = [glob for glob in wanted if not is_plain(glob)]
    if len(shapes) > _GLOBS:
        raise RequestError(f"expected up to {_GLOBS} globs in `hosts`, beside plain names, found {len(shapes)}")
    for glob in shapes:
        if problem := glob_problem(glob):
            raise RequestError(f"expected short globs in `hosts`: of {printable(glob)[:80]}, {problem}")
    return HostGlobs(tuple(wanted))


def _unknown(host: str, fleet: Fleet, known: Knowledge) -> str:
    """Return of a host that it is not known, or was left out, and which one may be meant."""
    close = near_miss(host, dict.fromkeys((*fleet.hosts(), *subjects(known.settings))))
    hint = f"; did you mean {close}?" if close else ""
    since = known.now - lookback_of(known.settings.detectors()).traffic_us
    if fleet.is_left_out(host, since):
        limit = fleet.traffic.stranger_limit
        return (
            f"{printable(host)} is not evaluated: it has never uploaded and is not expected, and more such hosts are"
            f" refused than the {limit} that are counted at a time; if it is yours, name it in `hosts.expected`{hint}"
        )
    return f"no host {printable(host)} is known{hint}"


def _texts(request: Mapping[str, Any], key: str) -> list[str]:
    texts = request.get(key) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestError(f"expected `{key}` to be a list of strings, found something else")
    return texts
