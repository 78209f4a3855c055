"""The words of a message: a subject for the screen of a watch, and a text. Pure.

Both are plain text. Anyone can choose the name of a host, so nothing in it ends a line, turns the direction of writing
or controls a terminal. Lengths are in bytes of UTF-8; services that count characters or UTF-16 count fewer.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleet_health.errors import printable
from fleet_health.model.host_name import host_name
from fleet_health.model.instant import describe
from fleet_health.model.subject import EVERY_HOST, is_subject, receiver_of
from fleet_health.notify.message import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from fleet_health.model.instant import Instant
    from fleet_health.notify.message import Message, Notification

SUBJECT_LIMIT = 150
"""The maximum length of a subject. Hosts have names of up to 128 characters, and symptoms of up to 20."""

LISTED = 10
"""How many incidents a message names at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ELLIPSIS = "…"
_LONGEST_SENTENCE = 2_000
_SHORTEST_SENTENCE = 40
_SHORTEST_HOST = 24

_COUNTED_AS = {Kind.OPENING: "new", Kind.REPEAT: "still open", Kind.LOSS: "lost", Kind.RESOLUTION: "over"}


def subject(message: Message, limit: int = SUBJECT_LIMIT) -> str:
    """Return a message's subject: `silent: pi-02`, `no longer silent: pi-02`, `silent: pi-02 and 41 more`.

    The symptom comes first, because a small screen cuts off the end. A long host is shortened in its middle.
    """
    ordered = _ordered(message)
    first, labels = ordered[0], {_label(one) for one in ordered}
    mark = "TEST " if message.is_test else ""
    if len(labels) > 1:
        mark += f"{len(ordered)} incidents: "
    more = f" and {len(ordered) - 1} more" if len(ordered) > 1 else ""
    return _headline(first, limit, mark, more)


def text(message: Message, limit: int | None = None, zone: tzinfo | None = None) -> str:
    """Return a message's text: what was found, since when, and what to do.

    Args:
        message: The message.
        limit: Its maximum length. Details are left out first, then hosts other than the first; the symptom, one host
            and what to do stay as long as they fit.
        zone: The zone of the times in it; None for the local one.

    """
    candidates = _of_one(message, limit, zone) if len(message.notifications) == 1 else _of_several(message, zone)
    for candidate in candidates:
        if limit is None or _size(candidate) <= limit:
            return candidate
    return _squeezed(message, limit or 0)


def named(subject_: str) -> str:
    """Return the name of what an incident is about: the host, `fleet`, or `receiver lab-2`."""
    if not is_subject(subject_):
        return host_name(subject_)
    if subject_ == EVERY_HOST:
        return "fleet"
    return f"receiver {receiver_of(subject_)}" if subject_.startswith(EVERY_HOST) else subject_


def suggestion(one: Notification) -> str:
    """Return what to do about an incident that is open, in one line."""
    fix = _sentence(one.suggested_fix)
    return fix or f"`fleet-health explain {shlex.quote(printable(one.host))}` shows what was found."


def when(at: Instant, zone: tzinfo | None = None) -> str:
    """Return an instant for people: `2026-11-23 20:45 CET`."""
    moment = (_EPOCH + timedelta(microseconds=at)).astimezone(zone)
    name = moment.tzname() or ""
    return f"{moment:%Y-%m-%d %H:%M} {'UTC' if name[:1] in '+-' else ''}{name}"


def cut(line: str, limit: int) -> str:
    """Return a line with at most `limit` bytes; one that is cut ends in `…`."""
    octets = line.encode()
    if len(octets) <= limit:
        return line
    kept = octets[: max(0, limit - _size(_ELLIPSIS))].decode(errors="ignore").rstrip()
    return kept + _ELLIPSIS if limit >= _size(_ELLIPSIS) else ""


def _size(line: str) -> int:
    return len(line.encode())


def _sentence(line: str) -> str:
    """Return a text as one line that is safe to show."""
    return cut(printable(" ".join(line.split())), _LONGEST_SENTENCE)


def _shortened(name: str, limit: int) -> str:
    """Cut a name in its middle: names of a fleet often differ at their end."""
    if _size(name) <= limit:
        return name
    half = max(0, limit - _size(_ELLIPSIS)) // 2
    return f"{name[:half]}{_ELLIPSIS}{name[len(name) - half :]}"


def symptom_of(one: Notification) -> str:
    """Return the symptom, safe to show."""
    return cut(_sentence(one.symptom), 64)


def _label(one: Notification) -> str:
    symptom = symptom_of(one)
    if one.kind is Kind.RESOLUTION:
        return f"was {symptom}" if one.is_unannounced else f"no longer {symptom}"
    if one.kind is Kind.LOSS:
        return f"lost while {symptom}"
    return f"still {symptom}" if one.kind is Kind.REPEAT else symptom


def _headline(one: Notification, limit: int, before: str = "", after: str = "") -> str:
    label = f"{before}{_label(one)}: "
    room = max(_SHORTEST_HOST, limit - _size(label) - _size(after))
    return cut(f"{label}{_shortened(named(one.host), room)}{after}", limit)


def _ordered(message: Message) -> list[Notification]:
    """Return the notifications in the order of their kinds."""
    return sorted(message.notifications, key=lambda one: one.kind.rank)


def _since(one: Notification, zone: tzinfo | None) -> str:
    """Return what happened when, as it follows the name of the host."""
    symptom, opened = symptom_of(one), when(one.opened_at, zone)
    if one.kind is Kind.OPENING:
        return f"{symptom} since {opened}."
    if one.kind is Kind.REPEAT:
        return f"still {symptom}, since {opened} ({_lasted(one.opened_at, one.decided_at)})."
    undelivered = " Its opening could not be delivered in time." if one.is_unannounced else ""
    if one.kind is Kind.LOSS:
        return (
            f"lost, {symptom} since {opened}. It has shown no sign for the whole lookback; nothing more is sent about"
            f" it until it does.{undelivered}"
        )
    ended = one.decided_at if one.ended_at is None else one.ended_at
    span = f"from {opened} to {when(ended, zone)} ({_lasted(one.opened_at, ended)})"
    if one.is_unannounced:
        return f"was {symptom} {span}. It is over.{undelivered}"
    return f"no longer {symptom}. It was {span}."


def _lasted(since: Instant, until: Instant) -> str:
    return describe(max(0, until - since))


def _preface(message: Message) -> list[str]:
    return ["This is a test of this destination. Nothing has happened."] if message.is_test else []


def _appendix(message: Message) -> list[str]:
    if not message.delayed:
        return []
    them = "it" if len(message.notifications) == 1 else f"{message.delayed} of them"
    return [f"The rate limit delayed {them}."]


def _detail(one: Notification) -> str:
    """Return the figures; empty in a loss or resolution whose opening was sent, because they are not current."""
    return "" if one.kind.is_closing and not one.is_unannounced else _sentence(one.detail)


def _to_do(one: Notification) -> list[str]:
    return [] if one.kind is Kind.RESOLUTION else [f"What to do: {suggestion(one)}"]


def _of_one(message: Message, limit: int | None, zone: tzinfo | None) -> Iterator[str]:
    """Yield the texts of a message about one incident, the best first."""
    (one,) = message.notifications
    head = [*_preface(message), f"{named(one.host)}: {_since(one, zone)}"]
    tail = [*_to_do(one), *_appendix(message)]
    if detail := _detail(one):
        whole = "\n".join([*head, detail, *tail])
        yield whole
        room = (limit or 0) - (_size(whole) - _size(detail))
        if room >= _SHORTEST_SENTENCE:
            yield "\n".join([*head, cut(detail, room), *tail])
    yield "\n".join([*head, *tail])


def _of_several(message: Message, zone: tzinfo | None) -> Iterator[str]:
    """Yield the texts of a message about several incidents, the best first."""
    ordered = _ordered(message)
    head = [*_preface(message), f"{len(ordered)} incidents{_in_numbers(ordered)}."]
    fixes = list({one.symptom: suggestion(one) for one in reversed(ordered) if _to_do(one)}.values())[::-1]
    for has_detail, has_times, most_fixes, listed in (
        (True, True, len(fixes), LISTED),
        (False, True, len(fixes), LISTED),
        (False, True, 1, LISTED),
        (False, False, 1, LISTED),
        (False, False, 1, 5),
        (False, False, 1, 2),
    ):
        lines = [*head, *(_item(one, zone, has_detail=has_detail, has_times=has_times) for one in ordered[:listed])]
        if len(ordered) > listed:
            lines.append(f"- and {len(ordered) - listed} more; `fleet-health status` shows all of them.")
        lines += [f"What to do: {fix}" for fix in fixes[:most_fixes]]
        yield "\n".join([*lines, *_appendix(message)])


def _in_numbers(ordered: Sequence[Notification]) -> str:
    counts = {word: sum(one.kind is kind for one in ordered) for kind, word in _COUNTED_AS.items()}
    for word, count in counts.items():
        if count == len(ordered):
            return f", all {word}"
    return ": " + ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _item(one: Notification, zone: tzinfo | None, *, has_detail: bool, has_times: bool) -> str:
    if not has_times:
        return f"- {named(one.host)}: {_label(one)}"
    detail = _detail(one) if has_detail else ""
    return f"- {named(one.host)}: {_since(one, zone)}" + (f" {detail}" if detail else "")


def _squeezed(message: Message, limit: int) -> str:
    """Return host, symptom and what to do, each cut so that all fit."""
    first = _ordered(message)[0]
    more = len(message.notifications) - 1
    after, mark = f" and {more} more" if more else "", "TEST " if message.is_test else ""
    to_do: Sequence[str] = _to_do(first)
    reserved = min(limit // 2, _size(to_do[0])) + 1 if to_do else 0
    head = _headline(first, limit - reserved, mark, after)
    return "\n".join(filter(None, [head, *(cut(line, limit - _size(head) - 1) for line in to_do)]))
