"""Suppression by operators, through silences and mute windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiofiles.os import wrap

from fleet_health.alerting.lifecycle import Fact
from fleet_health.alerting.silences import ENDED_LIMIT, SilenceRecord, Silences, SilenceWatch, admitted
from fleet_health.alerting.suppression import Suppression
from fleet_health.errors import SinkUnavailable, printable
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.instant import isoformat
from fleet_health.service import clock
from fleet_health.service.logging import notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleet_health.alerting.mute_windows import MuteWindow
    from fleet_health.alerting.silences import Changes, Ended, Silence
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair
    from fleet_health.records.silence_file import SilenceFile

_log = structlog.get_logger("fleet_health.service")

# How many ignored silences are logged with their reason, because a file may have thousands.
_PROBLEMS_NAMED = 3
ASKED_FOR, WRITTEN = "a request over the socket", "silences.json, where the author is only a claim"
"""The origin of a silence, as it is logged."""


class Silencing:
    """Holds the silences and the mute windows, and logs when silences begin, change and end."""

    def __init__(self, file: SilenceFile, mute_windows: tuple[MuteWindow, ...] = ()) -> None:
        self.file = file
        self.watch = SilenceWatch()
        self.problem = ""
        """The reason why silences cannot be used; empty if all can. The silences that were read last stay in force."""
        self.silences: Silences | None = None
        """The silences that were read last; None if the file could never be read."""
        self.mute_windows = mute_windows
        """The mute windows of the configuration."""
        # The file that was read last, its content, and all silences in it, including those that are not admitted.
        self._known: tuple[SilenceFile, bytes, list[Silence]] | None = None
        # The changes that were logged when they were requested over the socket, oldest first.
        self._logged: dict[str, None] = {}
        self._unended: frozenset[str] = frozenset()
        """The ids of silences whose incidents are resolved, but whose end could not be written yet."""
        self.are_incidents_known = True
        """Whether all open incidents are known. False while the saved state cannot be read."""

    def restore(self, records: dict[str, SilenceRecord]) -> None:
        """Restore the records of silences from the saved state, by id."""
        self.watch = SilenceWatch(records)

    def switch(self, file: SilenceFile, mute_windows: tuple[MuteWindow, ...]) -> None:
        """Replace the file and the mute windows."""
        self.file, self.mute_windows = file, mute_windows

    async def refresh(self, now: Instant) -> None:
        """Read the silences again, in a thread. If the file has not changed, keep the cached matches."""
        try:
            problems = await call_at(self.file.path, self._read, now)
        except SinkUnavailable as error:
            problems = [str(error)]
        else:
            if problems:
                more = f" and {len(problems) - _PROBLEMS_NAMED} more" if len(problems) > _PROBLEMS_NAMED else ""
                named = "; ".join(problems[:_PROBLEMS_NAMED])
                problems = [f"{self.file.path}: silences ignored: {named}{more}; remove those rows"]
        problem = printable("".join(problems))
        if problem and problem != self.problem:
            _log.error("silences cannot be used", reason=problem)
        self.problem = problem

    def _read(self, now: Instant) -> list[str]:
        """Read the file if it has changed. Return one text for each silence in it that is ignored."""
        file, content = self.file, self.file.read()
        if self._known is None or self._known[:2] != (file, content):
            self._known = (file, content, file.decode(content))
        silences, problems = admitted(self._known[2], now)
        if self.silences is None or self.silences.all != tuple(silences):
            self.silences = Silences(silences)
        return problems

    async def match(self, pairs: Iterable[Pair], now: Instant) -> Suppressions:
        """Match the hosts of some pairs in a thread. Return a function that looks up their suppression.

        The function also accepts other hosts, and matches them when it is called.
        """
        hosts = {host for host, _ in pairs}
        return await wrap(self._matched)(hosts, now)

    def _matched(self, hosts: set[str], now: Instant) -> Suppressions:
        silences, active = self.silences or Silences(), _active(self.mute_windows, now)
        silences.prepare(hosts)
        in_window = {host: _window_of(active, host) for host in hosts}
        return _muter(silences, active, in_window, now)

    def muter(self, now: Instant, mute_windows: tuple[MuteWindow, ...] | None = None) -> Suppressions:
        """Return the suppressions at an instant by silences and by `mute_windows`, by default those in force."""
        return _muter(
            self.silences or Silences(),
            _active(self.mute_windows if mute_windows is None else mute_windows, now),
            {},
            now,
        )

    async def look(self, incidents: Mapping[Pair, Instant], now: Instant) -> None:
        """Log the silences that were made, changed or removed, or began or ended, since the last evaluation.

        End silences all of whose acknowledged incidents are resolved.

        Args:
            incidents: Open incident -> when it opened.
            now: The instant of the evaluation.

        """
        if self.silences is None:
            return  # the file could not be read, and may still contain the known silences
        changes = await wrap(self.watch.look)(self.silences, incidents, now)
        self._log_changes(changes)
        if changes.resolved and self.are_incidents_known:
            await self._end_resolved(frozenset(one.id for one in changes.resolved), now)

    async def _end_resolved(self, ids: frozenset[str], now: Instant) -> None:
        """End silences whose incidents are resolved. If the file cannot be written, the next evaluation retries."""
        try:
            ended = await call_at(self.file.path, self.file.resolve, ids, now)
        except SinkUnavailable as error:
            if self._unended != ids:
                _log.warning("silences resolved, their end not written", ids=sorted(ids), reason=str(error))
            self._unended = ids
            return
        self._unended = frozenset()
        for silence in ended:
            self._note_logged(f"end of {silence.id}")
            notice(_log, "silence ended, incidents resolved", **_facts(silence))

    def log_made(self, silence: Silence) -> None:
        """Log a new silence and the user who made it, as identified by the kernel."""
        self._note_logged(silence.id)
        # Recorded now, so that it is saved even if the service stops before the next evaluation. A new mapping, because
        # another thread may iterate over the old one.
        record = SilenceRecord(ends_at=silence.ends_at, is_planned=clock.now() < silence.starts_at)
        self.watch.records = {**self.watch.records, silence.id: record}
        notice(_log, "silence made", **_facts(silence), origin=ASKED_FOR)

    def log_ended(self, silence: Silence) -> None:
        """Log the end of a silence and the user who ended it, as identified by the kernel."""
        self._note_logged(f"end of {silence.id}")
        notice(_log, "silence ended early", by=silence.ended_by, **_facts(silence), origin=ASKED_FOR)

    def _note_logged(self, key: str) -> None:
        self._logged[key] = None
        while len(self._logged) > 4 * ENDED_LIMIT:
            del self._logged[next(iter(self._logged))]

    def _log_changes(self, changes: Changes) -> None:
        for silence in changes.made:
            if silence.id not in self._logged:
                notice(_log, "silence made", **_facts(silence), origin=WRITTEN)
        for silence in changes.begun:
            notice(_log, "silence begun", **_facts(silence))
        for silence in changes.moved:
            notice(_log, "silence changed in silences.json", **_facts(silence))
        for id_, ends_at in changes.removed:
            until = None if ends_at is None else isoformat(ends_at)
            notice(_log, "silence removed from silences.json", id=id_, until=until)
        for ended in changes.ended:
            self._log_end(ended)

    def _log_end(self, ended: Ended) -> None:
        silence = ended.silence
        is_logged = f"end of {silence.id}" in self._logged
        if silence.ended_by and not is_logged:
            notice(_log, "silence ended early", by=silence.ended_by, **_facts(silence), origin=WRITTEN)
        elif silence.is_resolved and not is_logged:
            notice(_log, "silence ended, incidents resolved", **_facts(silence))
        standing: Sequence[str] = [f"{host} {symptom}" for host, symptom in ended.standing[:10]]
        facts = _facts(silence) | {"ended": isoformat(silence.ends_at)}
        if ended.standing:
            _log.warning(
                "silence expired, incidents still open",
                **facts,
                standing=standing,
                count=len(ended.standing),
            )
        elif silence.is_resolved or silence.starts_at == silence.ends_at:
            pass  # it was resolved, or never began
        elif ended.never_matched:
            _log.warning("silence expired, never matched an incident", **facts, standing=standing, count=0)
        elif not silence.ended_by:
            notice(_log, "silence expired", **facts)


def _facts(silence: Silence) -> dict[str, str | None]:
    return {
        "id": silence.id,
        "hosts": silence.hosts,
        "symptom": silence.symptom,
        "since": isoformat(silence.starts_at),
        "until": isoformat(silence.ends_at),
        "or_until": "all acknowledged incidents are resolved" if silence.is_until_resolved else None,
        "author": silence.author,
        "reason": silence.reason,
    }


def _active(mute_windows: Iterable[MuteWindow], now: Instant) -> list[MuteWindow]:
    return [window for window in mute_windows if window.is_active(now)]


def _window_of(active: Iterable[MuteWindow], host: str) -> MuteWindow | None:
    return next((window for window in active if window.is_about(host)), None)


def _muter(
    silences: Silences, active: Sequence[MuteWindow], in_window: Mapping[str, MuteWindow | None], now: Instant
) -> Suppressions:
    def suppression(host: str, symptom: str, opened_at: Instant | None) -> Suppression | None:
        if (silence := silences.of(host, symptom, now)) is not None:
            return Suppression(Fact.SILENCED, silence.in_words())
        window = in_window[host] if host in in_window else _window_of(active, host)
        if window is not None:
            return Suppression(Fact.MUTED, window.in_words())
        if (silence := silences.acknowledging(host, symptom, opened_at, now)) is not None:
            return Suppression(Fact.ACKNOWLEDGED, silence.in_words())
        return None

    return suppression
