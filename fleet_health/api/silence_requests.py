"""Create and end silences on request of clients of the control socket, who cannot write the file themselves."""

from __future__ import annotations

import pwd
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from aiofiles.os import wrap

from fleet_health.alerting.silences import (
    AHEAD_US,
    LONGEST_US,
    NAME_LENGTH,
    REASON_LENGTH,
    SHORTEST_US,
    Silence,
    Silences,
    TooManySilences,
    breadth_problem,
    glob_problem,
)
from fleet_health.api.requests import RequestError
from fleet_health.api.unknown_names import unknown_warning
from fleet_health.errors import SinkUnavailable, printable
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.host_globs import is_plain
from fleet_health.model.instant import SECOND_US, describe, isoformat
from fleet_health.model.subject import subject_glob
from fleet_health.parsing.timestamp import TimeError, parse_time
from fleet_health.records.journal_sink import MESSAGE_IDS
from fleet_health.service import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.incidents import Incidents
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair
    from fleet_health.service.silencing import Silencing

BREADTH_ADVICE = "to silence them anyway, use --all (over the socket: `all` is true), or silence them for at most a day"
"""The advice for a silence that covers most of the fleet for long."""


class SilenceRequests:
    """Creates and ends silences on behalf of the user who requests it."""

    def __init__(
        self,
        silencing: Silencing,
        known_hosts: Callable[[], Awaitable[Sequence[str]]],
        incidents: Callable[[], Incidents],
        subjects: Callable[[], Iterable[str]],
    ) -> None:
        """Take the silences, and functions that return the known hosts, the incidents, and further names."""
        self._silencing = silencing
        self._known_hosts = known_hosts
        self._incidents = incidents
        self._subjects = subjects

    async def add(self, request: Mapping[str, Any], uid: int) -> Mapping[str, Any]:
        """Create a silence from a request. Return its row, the `incidents` that it acknowledges, and a `warning`.

        The warning is empty unless no such host is known. With `is_trial`, only check the request.

        Raises:
            RequestError: The request is invalid, there are too many silences, or the file cannot be written.

        """
        now = clock.now()
        silence = wanted(request, now, await wrap(author_of)(uid, request))
        acknowledged: Sequence[Pair] = ()
        if silence.is_until_resolved:
            incidents = self._incidents()
            silence, acknowledged = acknowledging(silence, incidents.open.values(), incidents.at)
        elif not request.get("all", False):
            await self._refuse_wide(silence)
        warning = await wrap(unknown_warning)(silence.hosts, await self._known_names())
        document = {"silence": silence.row(), "incidents": acknowledged, "warning": warning}
        if request.get("is_trial", False):
            return document
        file = self._silencing.file
        try:
            await call_at(file.path, file.add, silence, now)
        except TooManySilences as error:
            raise RequestError(str(error), 409) from error
        except SinkUnavailable as error:
            raise RequestError(f"the silences cannot be written: {error}", 500) from error
        self._silencing.log_made(silence)
        return document

    async def end(self, request: Mapping[str, Any], uid: int) -> Mapping[str, Any]:
        """End the silence with an `id`, or the silences of exactly a host or glob. Return their rows.

        Raises:
            RequestError: There is no such silence, or the file cannot be written.

        """
        what, file = subject_glob(_text(request, "id")), self._silencing.file
        if problem := glob_problem(what):
            raise RequestError(f"expected `id` to be the id of a silence, a host name or a short glob: {problem}")
        by = await wrap(author_of)(uid, request)
        try:
            ended = await call_at(file.path, file.end, what, clock.now(), by)
        except SinkUnavailable as error:
            raise RequestError(f"the silences cannot be written: {error}", 500) from error
        if not ended:
            known = self._silencing.silences
            raise RequestError(none_named(what, () if known is None else known.all, clock.now()), 404)
        for one in ended:
            self._silencing.log_ended(one)
        return {"silence": ended[0].row(), "silences": [one.row() for one in ended]}

    async def _known_names(self) -> list[str]:
        return [*await self._known_hosts(), *(host for host, _ in self._incidents().open), *self._subjects()]

    async def _refuse_wide(self, silence: Silence) -> None:
        known = await self._known_hosts()
        if problem := await wrap(breadth_problem)(silence.hosts, silence.ends_at - silence.starts_at, known):
            raise RequestError(f"{problem}; {BREADTH_ADVICE}")


def wanted(request: Mapping[str, Any], now: Instant, author: str) -> Silence:
    """Return the silence that a request describes.

    The request has the keys `hosts`, `symptom` (may be null) and `reason`; `for_s` or `ends_at_wall`; optionally
    `starts_at_wall`, by default now; `is_until_resolved`, which needs no end; and `all`.

    Raises:
        RequestError: The request is invalid.

    """
    hosts, reason, symptom = _text(request, "hosts"), _text(request, "reason").strip(), request.get("symptom")
    if symptom is not None and (not isinstance(symptom, str) or symptom not in MESSAGE_IDS):
        raise RequestError(f"expected `symptom` to be null or one of {', '.join(sorted(MESSAGE_IDS))}")
    if not reason or len(reason) > REASON_LENGTH:
        raise RequestError(f"expected `reason` to be a text of at most {REASON_LENGTH} characters")
    if problem := glob_problem(hosts) or glob_problem(hosts := subject_glob(hosts)):
        raise RequestError(f"expected `hosts` to be a host name or a short glob: {problem}")
    _flag(request, "all")
    is_until_resolved = _flag(request, "is_until_resolved")
    starts_at, ends_at = _span(request, now, is_until_resolved=is_until_resolved)
    return Silence(secrets.token_hex(3), hosts, symptom, starts_at, ends_at, reason, author, is_until_resolved)


def acknowledging(
    silence: Silence, incidents: Iterable[Incident], at: Instant | None
) -> tuple[Silence, Sequence[Pair]]:
    """Return a silence for the incidents that are open after the latest evaluation, and those incidents.

    Args:
        silence: The silence as requested, which begins at the request.
        incidents: The open incidents.
        at: The instant of the latest evaluation, because the user has not seen incidents that open later.

    Raises:
        RequestError: It would cover no open incident.

    """
    starts_at = silence.starts_at if at is None else min(silence.starts_at, at)
    silence = msgspec.structs.replace(
        silence, starts_at=starts_at, ends_at=min(silence.ends_at, starts_at + LONGEST_US)
    )
    covers = Silences((silence,)).acknowledging
    covered = sorted(
        (one.host, one.symptom) for one in incidents if covers(one.host, one.symptom, one.opened_at, starts_at)
    )
    if not covered:
        symptom = "" if silence.symptom is None else f" {silence.symptom}"
        raise RequestError(
            f"{printable(silence.hosts)}{symptom} has no open incident that could be acknowledged"
            " (`fleet-health status` shows them); use --for to silence future incidents"
        )
    return silence, covered


def none_named(what: str, silences: Sequence[Silence], now: Instant) -> str:
    """Return the error that there is no such silence; for a host, with the silences that also cover other hosts."""
    wider = [one for one in Silences(silences).about(what) if one.ends_at > now] if is_plain(what) else []
    if wider:
        named = ", ".join(f"{one.id} ({one.hosts})" for one in wider[:3])
        return printable(
            f"there is no silence of {what} alone, and {named} also covers other hosts; end that by its ID"
        )
    return f"there is no silence {printable(what)}; `silence list` shows all silences"


def author_of(uid: int, request: Mapping[str, Any]) -> str:
    """Return the name of the requesting user; for root, with the user on whose behalf root acts.

    Raises:
        RequestError: `on_behalf_of` is not a valid name.

    """
    user, claimed = user_name(uid), request.get("on_behalf_of")
    if claimed is not None and not isinstance(claimed, str):
        raise RequestError(f"expected `on_behalf_of` to be a user name, found {claimed!r}")
    return (f"{claimed[: NAME_LENGTH // 2]} as {user}" if claimed and uid == 0 else user)[:NAME_LENGTH]


def user_name(uid: int) -> str:
    """Return the name of a user; the number if there is no name."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _span(request: Mapping[str, Any], now: Instant, *, is_until_resolved: bool) -> tuple[Instant, Instant]:
    """Return the requested begin and end of a silence, without the part in the past."""
    starts_at = _instant(request, "starts_at_wall")
    ends_at = _instant(request, "ends_at_wall")
    if is_until_resolved and starts_at is not None:
        raise RequestError(
            "expected no `starts_at_wall` with `is_until_resolved`, which covers the incidents that are open now"
        )
    if ends_at is not None and request.get("for_s") is not None:
        raise RequestError("expected `for_s` or `ends_at_wall`, found both")
    begins_at = now if starts_at is None else starts_at
    if ends_at is None:
        is_open = is_until_resolved and request.get("for_s") is None
        ends_at = now + LONGEST_US if is_open else begins_at + _length_us(request)
    begins_at = max(begins_at, now)
    if ends_at <= now:
        raise RequestError(f"expected a silence that ends in the future, found an end at {isoformat(ends_at)}")
    if begins_at - now > AHEAD_US:
        raise RequestError(
            f"expected a silence that begins within {describe(AHEAD_US)}, found a begin at {isoformat(begins_at)}"
        )
    # If it begins in the past, less than a minute may be left.
    if not (SHORTEST_US if starts_at is None else 1) <= ends_at - begins_at <= LONGEST_US:
        raise RequestError(
            f"expected an end from a minute to 30 days after the begin, found {isoformat(ends_at)} after"
            f" {isoformat(begins_at)}"
        )
    return begins_at, ends_at


def _text(request: Mapping[str, Any], key: str) -> str:
    text = request.get(key)
    if not isinstance(text, str) or not text:
        raise RequestError(f"expected `{key}` to be a text and not empty, found {text!r}")
    return text


def _flag(request: Mapping[str, Any], key: str) -> bool:
    if not isinstance(flag := request.get(key, False), bool):
        raise RequestError(f"expected `{key}` to be true or false, found {flag!r}")
    return flag


def _instant(request: Mapping[str, Any], key: str) -> Instant | None:
    text = request.get(key)
    if text is None:
        return None
    try:
        return parse_time(text if isinstance(text, str) else "")
    except TimeError as error:
        raise RequestError(
            f"expected `{key}` to be a time with its offset such as 2026-11-23T18:55:00Z, found {text!r}: {error}"
        ) from error


def _length_us(request: Mapping[str, Any]) -> int:
    seconds = request.get("for_s")
    if isinstance(seconds, int | float) and SHORTEST_US <= seconds * SECOND_US <= LONGEST_US:
        return round(seconds * SECOND_US)
    raise RequestError(f"expected `for_s` to be a number of seconds, from a minute to 30 days, found {seconds!r}")
