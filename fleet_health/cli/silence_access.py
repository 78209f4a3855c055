"""Create and end silences for the command, through the service or, if it is not running, in the file."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from fleet_health.alerting.silences import breadth_problem
from fleet_health.api.requests import RequestError
from fleet_health.api.silence_requests import BREADTH_ADVICE, acknowledging, author_of, none_named, wanted
from fleet_health.cli.client import NoResponseError, ask, target
from fleet_health.cli.privileges import become_owner_of
from fleet_health.errors import SinkUnavailable, printable
from fleet_health.records.silence_file import silence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fleet_health.alerting.silences import Silence
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair
    from fleet_health.records.silence_file import SilenceFile

_Written = TypeVar("_Written")


@dataclass(frozen=True, slots=True)
class SilenceAccess:
    """Access to silences through the service, which knows the user from the kernel; without a service, in the file.

    Raises:
        SinkUnavailable: In every method, if the file cannot be written for a reason other than permissions.
        NoResponseError: This user may not write the file, and there is no service to ask.
        RefusedError: The service refuses the request.
        RequestError: There is no service, and the request is invalid.

    """

    file: SilenceFile
    control_path: Path
    author: str = field(default_factory=lambda: author_of(os.getuid(), {"on_behalf_of": _sudo_user()}))

    def add(self, request: Mapping[str, Any]) -> tuple[Silence, Sequence[Pair]]:
        """Create a silence. Return it, and the incidents that it acknowledges."""
        try:
            response = ask(self.control_path, target("silences"), "POST", {**request, "on_behalf_of": _sudo_user()})
        except NoResponseError as error:
            return self._written(error, lambda: self._add(request))
        _warn(response["warning"])
        return silence_of(response["silence"]), [(host, symptom) for host, symptom in response["incidents"]]

    def end(self, what: str) -> list[Silence]:
        """End and return the silences that an id, a host name or a glob selects."""
        user = _sudo_user()
        query = {} if user is None else {"on_behalf_of": [user]}
        try:
            response = ask(self.control_path, target("silences", what, query=query), "DELETE")
        except NoResponseError as error:
            return self._written(error, lambda: self._end(what))
        return [silence_of(row) for row in response["silences"]]

    def _add(self, request: Mapping[str, Any]) -> tuple[Silence, Sequence[Pair]]:
        acknowledged: Sequence[Pair] = ()
        now = _now()
        silence = wanted(request, now, self.author)
        if silence.is_until_resolved:
            # Imported only here, because it takes long.
            from fleet_health.service.restoring import read_state  # noqa: PLC0415
            from fleet_health.service.saved_state import SavedState  # noqa: PLC0415

            saved = (read_state(self.file.path.parent) or SavedState()).incidents
            silence, acknowledged = acknowledging(silence, saved.open, saved.at)
        elif not request["all"] and (
            problem := breadth_problem(silence.hosts, silence.ends_at - silence.starts_at, ())
        ):
            raise RequestError(f"{printable(problem)}; {BREADTH_ADVICE}")
        self.file.add(silence, now)
        return silence, acknowledged

    def _end(self, what: str) -> list[Silence]:
        if not (ended := self.file.end(what, _now(), self.author)):
            raise RequestError(none_named(what, self.file.load(), _now()))
        return ended

    def _written(self, error: NoResponseError, write: Callable[[], _Written]) -> _Written:
        """Write the file if no service responds. If this user may not, raise the error that there is no service."""
        try:
            become_owner_of(self.file.path.parent)
            return write()
        except SinkUnavailable as unavailable:
            if isinstance(unavailable.__cause__, PermissionError):
                raise error from unavailable
            raise


def _warn(warning: str) -> None:
    if warning:
        print(f"warning: {printable(warning)}", file=sys.stderr)  # noqa: T201


def _sudo_user() -> str | None:
    """Return the user who runs this command through sudo; None without sudo."""
    return os.environ.get("SUDO_USER") or None


def _now() -> Instant:
    return time.time_ns() // 1000
