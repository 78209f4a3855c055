"""Silences that are asked for by the socket: by who may use it, and need not be able to write the file."""

from __future__ import annotations

import pwd
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiofiles.os import wrap

from fleet_health.alerting.silences import (
    LONGEST_US,
    NAME_LENGTH,
    REASON_LENGTH,
    SHORTEST_US,
    Silence,
    TooManySilences,
    breadth_problem,
    glob_problem,
)
from fleet_health.api.requests import RequestError
from fleet_health.errors import SinkUnavailable, printable
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.instant import SECOND_US
from fleet_health.model.subject import subject_glob
from fleet_health.records.journal_sink import MESSAGE_IDS
from fleet_health.service import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from fleet_health.service.silencing import Silencing

BREADTH_ADVICE = "ask with --all (over the socket: `all` is true) if that is meant, or for a day at most"
"""What to do about a silence that keeps most of the fleet quiet for long."""


class SilenceRequests:
    """Makes silences, and ends them, in the name of who asks."""

    def __init__(self, silencing: Silencing, known_hosts: Callable[[], Awaitable[Sequence[str]]]) -> None:
        """Take the silences, and what gives the hosts that are known at present."""
        self._silencing = silencing
        self._known_hosts = known_hosts

    async def add(self, request: Mapping[str, Any], uid: int) -> Mapping[str, Any]:
        """Make one: `hosts`, `symptom` or null, `for_s`, `reason`, and `all` if need be; return its row.

        With `is_trial` it is not made: whether it could be is all that is asked.

        Raises:
            RequestError: It is asked for wrongly, as many hold as may, or it cannot be written.

        """
        hosts, reason = _text(request, "hosts"), _text(request, "reason").strip()
        symptom, length_us = request.get("symptom"), _length_us(request)
        if symptom is not None and (not isinstance(symptom, str) or symptom not in MESSAGE_IDS):
            raise RequestError(f"expected `symptom` to be null or one of {', '.join(sorted(MESSAGE_IDS))}")
        if not reason or len(reason) > REASON_LENGTH:
            raise RequestError(f"expected `reason` to be a text of up to {REASON_LENGTH} characters")
        if problem := glob_problem(hosts) or glob_problem(hosts := subject_glob(hosts)):
            raise RequestError(f"expected `hosts` to be a host's name or a short glob: {problem}")
        if not isinstance(is_meant := request.get("all", False), bool):
            raise RequestError(f"expected `all` to be true or false, found {is_meant!r}")
        known = () if is_meant else await self._known_hosts()
        if not is_meant and (problem := await wrap(breadth_problem)(hosts, length_us, known)):
            raise RequestError(f"{problem}; {BREADTH_ADVICE}")
        now = clock.now()
        silence = Silence(
            id=secrets.token_hex(3),
            hosts=hosts,
            symptom=symptom,
            starts_at=now,
            ends_at=now + length_us,
            reason=reason,
            author=(await wrap(user_name)(uid))[:NAME_LENGTH],
        )
        if request.get("is_trial", False):
            return {"silence": silence.row()}
        file = self._silencing.file
        try:
            await call_at(file.path, file.add, silence, now)
        except TooManySilences as error:
            raise RequestError(str(error)) from error
        except SinkUnavailable as error:
            raise RequestError(f"the silences cannot be written: {error}") from error
        self._silencing.log_made(silence)
        return {"silence": silence.row()}

    async def end(self, request: Mapping[str, Any], uid: int) -> Mapping[str, Any]:
        """End the one with an `id`; return its row.

        Raises:
            RequestError: There is none, or it cannot be written.

        """
        name, file = _text(request, "id"), self._silencing.file
        try:
            ended = await call_at(file.path, file.end, name, clock.now())
        except SinkUnavailable as error:
            raise RequestError(f"the silences cannot be written: {error}") from error
        if ended is None:
            raise RequestError(f"there is no silence {printable(name)}; `silence list` shows them")
        self._silencing.log_ended(ended, await wrap(user_name)(uid))
        return {"silence": ended.row()}


def _text(request: Mapping[str, Any], key: str) -> str:
    text = request.get(key)
    if not isinstance(text, str) or not text:
        raise RequestError(f"expected `{key}` to be a text that is not empty, found {text!r}")
    return text


def _length_us(request: Mapping[str, Any]) -> int:
    seconds = request.get("for_s")
    if isinstance(seconds, int | float) and SHORTEST_US <= seconds * SECOND_US <= LONGEST_US:
        return round(seconds * SECOND_US)
    raise RequestError(f"expected `for_s` to be a number of seconds, from a minute to 30 days, found {seconds!r}")


def user_name(uid: int) -> str:
    """Name a user; one without a name by his number."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
