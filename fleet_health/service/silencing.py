"""What nobody wants to be told of now: silences, which a command may change at any time, and quiet windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiofiles.os import wrap

from fleet_health.domain.instant import isoformat
from fleet_health.domain.silences import Silences, SilenceWatch
from fleet_health.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleet_health.domain.instant import Instant
    from fleet_health.domain.quiet import QuietWindow
    from fleet_health.sinks.silence_file import SilenceFile

_log = structlog.get_logger("fleet_health.service")


class Silencing:
    """Knows which silences hold, and says which have ended in vain or too soon."""

    def __init__(self, file: SilenceFile, quiet: tuple[QuietWindow, ...] = ()) -> None:
        self.file = file
        self.watch = SilenceWatch()
        self.problem = ""
        """Why the silences cannot be read; empty if they can. Those that were read last hold on."""
        self.silences: Silences | None = None
        """What was read last; None if nothing ever was."""
        self.quiet = quiet
        """The quiet windows of the configuration."""

    async def refresh(self) -> None:
        """Read the silences anew."""
        try:
            self.silences = Silences(await wrap(self.file.load)())
        except SinkUnavailable as error:
            if not self.problem:
                _log.error("the silences cannot be read", reason=str(error))
            self.problem = str(error)
        else:
            self.problem = ""

    def muter(self, now: Instant, quiet: tuple[QuietWindow, ...] | None = None) -> Callable[[str, str], bool]:
        """Give what says of a host and symptom whether it is silenced at an instant, by these quiet windows or ours."""
        active = [window for window in (self.quiet if quiet is None else quiet) if window.is_active(now)]
        silences = self.silences or Silences()

        def is_muted(host: str, symptom: str) -> bool:
            return any(window.is_about(host) for window in active) or silences.of(host, symptom, now) is not None

        return is_muted

    def look(self, incidents: Iterable[tuple[str, str]], now: Instant) -> None:
        """Say which silences have ended although what they are about still stands, or without ever having mattered."""
        if self.silences is None:
            return  # of which we know nothing, and must not forget what we knew
        for ended in self.watch.look(self.silences, incidents, now):
            silence = ended.silence
            _log.warning(
                "silence ended, and what it was about still stands"
                if ended.standing
                else "silence ended, and there never was anything for it",
                id=silence.id,
                hosts=silence.hosts,
                symptom=silence.symptom,
                ended=isoformat(silence.ends_at),
                author=silence.author,
                reason=silence.reason,
                standing=[f"{host} {symptom}" for host, symptom in ended.standing[:10]],
                count=len(ended.standing),
            )
