"""Make the documents of the API from the state of the service."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiofiles.os import wrap

from fleet_health import __version__
from fleet_health.alerting.alert import Alert
from fleet_health.alerting.misfits import misfits
from fleet_health.alerting.silences import Silences
from fleet_health.api.explanation import explanation_document, subjects
from fleet_health.api.host_filter import host_filter
from fleet_health.api.incident_list import incidents_document
from fleet_health.api.metrics import HostSeries, Measured, document, hosts_of
from fleet_health.api.overview import Knowledge, source_document, status_document
from fleet_health.api.page.facts import incidents_of, open_incidents
from fleet_health.api.preview import changed_sources, preview_document, refused_document
from fleet_health.api.requests import RequestError
from fleet_health.api.states import VERSION
from fleet_health.api.unknown_names import unknown_error
from fleet_health.detectors.spec import Finding
from fleet_health.errors import ConfigError, PathHangs
from fleet_health.files.hanging_calls import call_at
from fleet_health.files.outputs import outputs, unwritable
from fleet_health.model.instant import isoformat
from fleet_health.model.subject import subject_glob
from fleet_health.service import clock
from fleet_health.service.footprint import footprint
from fleet_health.service.witness import SAMPLES, with_evidence, with_samples
from fleet_health.sources.inspection import inspected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.config.schema import Settings
    from fleet_health.model.fleet import Fleet
    from fleet_health.service.parts import Parts
    from fleet_health.service.publication import Publication

SOURCES = Path("sources of another configuration")
"""The name under which `call_at` checks the sources of another configuration."""

_PUBLISHED_WITHIN = 15.0
# The metrics of so many hosts are made at a time, because the fleet is paused meanwhile.
_SLICE = 500


class Documents:
    """Makes the documents. All slow work is done in threads."""

    def __init__(self, parts: Parts, problems: Callable[[], Sequence[str]]) -> None:
        """Make documents about the parts of the service and the result of `problems`."""
        self._configuration = parts.configuration
        self._counters = parts.counters
        self._delivery = parts.delivery
        self._engine = parts.engine
        self._evaluator = parts.evaluator
        self._intake = parts.intake
        self._silencing = parts.silencing
        self._problems = problems
        self._started_at = clock.now()

    async def status(self, hosts: Sequence[str], states: Sequence[str], limit: int | None) -> dict[str, Any]:
        """Return the status of the fleet.

        Args:
            hosts: Names and globs of the hosts to list; empty for all.
            states: The states of the hosts to list; empty for all.
            limit: The largest number of hosts to list; None for all.

        Raises:
            RequestError: A glob or a state is invalid.

        """
        is_wanted = host_filter(hosts, states)
        ended = tuple(self._engine.incidents.ended.all)
        async with self._known() as (known, fleet, _):
            document = await wrap(status_document)(known, fleet, is_wanted, frozenset(states), limit)
        found = await wrap(misfits)(ended, self._engine.rules.policy.is_fixed)
        return {**document, "misfits": sorted(found), "counters": self._counters.row()}

    async def overview(self, hosts: Sequence[str], states: Sequence[str], limit: int, offset: int) -> dict[str, Any]:
        """Return the status of the fleet with its open incidents and their suggested fixes, for the page.

        Args:
            hosts: Names and globs of the hosts to list; empty for all.
            states: The states of the hosts to list; empty for all.
            limit: The largest number of hosts to list.
            offset: The number of these to skip.

        Raises:
            RequestError: A glob or a state is invalid.

        """
        is_wanted, only = host_filter(hosts, states), frozenset(states)

        def made(known: Knowledge, fleet: Fleet) -> dict[str, Any]:
            document = status_document(known, fleet, is_wanted, only, limit, offset)
            return {**document, **open_incidents(known, is_wanted, only)}

        async with self._known() as (known, fleet, _):
            document = await wrap(made)(known, fleet)
        return {**document, "health": self.health()["health"]}

    @property
    def publication(self) -> Publication:
        """The publication of evaluations and notifications."""
        return self._delivery.publication

    async def incidents(self) -> tuple[int, dict[str, Any]]:
        """Return the number of the latest published evaluation, and the incidents after it.

        Raises:
            RequestError: There is no evaluation yet, or the delivery of its notifications takes too long.

        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_PUBLISHED_WITHIN):
                while self._evaluator.deciding.locked() or not self._delivery.is_settled:
                    await self.publication.change.wait()
        last = self._engine.last
        if last is None or self._evaluator.deciding.locked():
            raise RequestError("there is no evaluation yet; try again", 503, {"Retry-After": "1"})
        number, incidents = self.publication.number, self._engine.incidents.frozen()
        problems = list(self._problems())
        return number, await wrap(incidents_document)(last, self._engine.decisions, incidents, problems)

    async def metrics(self, *, is_openmetrics: bool = False, is_file: bool = False) -> bytes:
        """Return the metrics in a format of Prometheus; for a file, without the metrics of the process."""
        measured = self._measured()
        series = await wrap(HostSeries)(measured)
        async with self._intake.paused() as fleet:
            hosts = await wrap(hosts_of)(fleet, measured.open)
        for begin in range(0, len(hosts), _SLICE):
            async with self._intake.paused() as fleet:
                some = hosts[begin : begin + _SLICE]
                await wrap(series.add)(fleet, some, clock.now())
        return await wrap(document)(measured, series, is_openmetrics=is_openmetrics, is_file=is_file)

    def _measured(self) -> Measured:
        return Measured(
            version=__version__,
            settings=self._settings,
            counters=self._counters,
            journal_outcomes=self._delivery.journal_outcomes,
            sources=self._evaluator.states,
            evaluation=self._engine.last,
            decisions=self._engine.decisions,
            next_at=self._evaluator.next_at,
            problems=len(self._problems()),
            waiting=self._delivery.waiting,
            started_at=self._started_at,
            footprint=footprint(),
        )

    async def explanation(self, host: str, *, is_with_incidents: bool = False) -> dict[str, Any]:
        """Return the explanation of a host, a receiver or the fleet; for the page, with its incidents.

        Raises:
            RequestError: The host or receiver is not known.

        """
        host = subject_glob(host)
        settings, lookback_us = self._settings, self._engine.lookback.traffic_us
        async with self._known() as (known, fleet, incidents):
            self._engine.rules.apply_to(fleet)
            document = await wrap(explanation_document)(known, fleet, incidents, host, self._silencing.muter)
            if not document["is_known"]:
                names = subjects(settings)
                raise RequestError(await wrap(unknown_error)(host, fleet, settings, known.now, names), 404)
            if is_with_incidents:
                document |= await wrap(incidents_of)(known, incidents, host)
            about = [Alert(Finding(host, "", "", ""), known.now)]
            about = await wrap(with_evidence)(about, fleet, settings.receivers, lookback_us)
        with suppress(PathHangs):
            about = await call_at(SAMPLES, with_samples, about, settings.receivers, lookback_us)
        (about_host,) = about
        return {**document, "evidence": about_host.facts()}

    async def preview(self) -> dict[str, Any]:
        """Return the changes that a reload of the configuration would make now."""
        try:
            settings = await self._configuration.loaded()
        except ConfigError as error:
            return refused_document([f"{error.path}: {problem}" for problem in error.problems], clock.now())
        try:
            source_problems = await call_at(SOURCES, _problems, self._settings, settings)
        except PathHangs as error:
            source_problems = [f"its sources and destinations cannot be checked: {error}"]
        await self._silencing.refresh(clock.now())
        async with self._intake.paused() as fleet:
            now = clock.now()
            incidents = self._engine.incidents.frozen()
            suppressions = self._silencing.muter(now, settings.mute_windows)
            return await wrap(preview_document)(
                self._settings,
                settings,
                now,
                fleet=fleet,
                incidents=incidents,
                suppressions=suppressions,
                source_problems=source_problems,
            )

    async def active_silences(self) -> dict[str, Any]:
        """Return the active silences."""
        now = clock.now()
        await self._silencing.refresh(now)
        silences = self._silencing.silences or Silences()
        return {
            "version": VERSION,
            "at_wall": isoformat(now),
            "silences": [silence.row() for silence in silences.all if silence.is_active(now)],
        }

    def health(self) -> dict[str, Any]:
        """Return the health of the service: `starting`, `ok`, or `stuck` if an evaluation is overdue."""
        now, last, next_at = clock.now(), self._engine.last, self._evaluator.next_at
        overdue_us = 0 if next_at is None else now - next_at
        health = "starting" if last is None else "stuck" if overdue_us > 2 * self._settings.tick_us else "ok"
        return {
            "version": VERSION,
            "at_wall": isoformat(now),
            "health": health,
            "last_tick_wall": None if last is None else isoformat(last.at),
            "next_tick_wall": None if next_at is None else isoformat(next_at),
        }

    def subjects(self) -> Sequence[str]:
        """Return what a silence can cover in addition to hosts: the fleet, and each receiver if there are several."""
        return (*subjects(self._settings), *self._settings.expected)

    @property
    def _settings(self) -> Settings:
        """The settings in force."""
        return self._configuration.settings

    async def known_hosts(self) -> Sequence[str]:
        """Return the hosts of the fleet."""
        async with self._intake.paused() as fleet:
            return await wrap(list)(fleet.hosts())

    async def _suppressions(self) -> Suppressions:
        """Read the silences again, and match the hosts of open incidents, in a thread."""
        now = clock.now()
        await self._silencing.refresh(now)
        return await self._silencing.match(self._engine.incidents.open, now)

    @asynccontextmanager
    async def _known(self) -> AsyncIterator[tuple[Knowledge, Fleet, Incidents]]:
        """Pause the fleet. Yield the present facts, the fleet and a copy of the incidents, for use in a thread."""
        suppressions = await self._suppressions()  # so that a new silence is shown at once
        async with self._intake.paused() as fleet:
            fleet.coverage = self._intake.known_coverage()  # it is a copy
            incidents = self._engine.incidents.frozen()
            yield self._knowledge(incidents, suppressions), fleet, incidents

    def _knowledge(self, incidents: Incidents, suppressions: Suppressions) -> Knowledge:
        now, last = clock.now(), self._engine.last
        return Knowledge(
            now=now,
            settings=self._settings,
            problems=self._problems(),
            sources=[source_document(source, now) for source in self._evaluator.states],
            evaluation=last,
            details={} if last is None else {(one.host, one.symptom): one.detail for one in last.findings},
            next_at=self._evaluator.next_at,
            unseen=() if last is None else last.not_evaluated,
            clock=self._evaluator.clock_check.problem,
            decisions=incidents.decisions(now, suppressions),
            silences=self._silencing.silences or Silences(),
            history=self._evaluator.history.snapshot,
        )


def _problems(old: Settings, new: Settings) -> list[str]:
    """Return the problems of sources and outputs that the new settings name and the old ones do not."""
    known = set(outputs(old))
    changed = [output for output in outputs(new) if output not in known]
    found = [f"{output.key}: {problem}" for output in changed if (problem := unwritable(output))]
    for receiver in changed_sources(old, new):
        of_receiver = f"receiver {receiver.name}: " if receiver.name else ""
        found += [of_receiver + problem for problem in inspected(receiver, clock.now()).of_service]
    return found
