"""Find log sources that look like a receiver, because they have access lines of a known format with a host in the path.

All results are guesses from lines that clients can influence, and are shown to the operator as guesses.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.config import receiver_patterns
from fleet_health.parsing.known_patterns import DEFAULT_WORDS, KnownPattern, suggested, upload_request

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from fleet_health.sources.journal.survey import Origin

_DEFAULT = KnownPattern("uvicorn", receiver_patterns.RESPONSE)
_DEEPEST = 8
# Parts of an interface, such as `images` or `v1`. Host names usually have a digit.
_is_word = re.compile(r"[a-z_-]+|v\d+", re.IGNORECASE).fullmatch
_instance = re.compile(r"(?P<template>.+@).+(?P<kind>\.\w+)").fullmatch


@dataclass(frozen=True, slots=True)
class Candidate:
    """A log source that looks like a receiver.

    Attributes:
        origin: The log source. For a template unit, a glob for all instances.
        known: The known pattern that matches the most lines.
        words: The method, and the part of the path before the host.
        hosts: Host -> number of responses to its uploads.
        lines: The number of lines that were examined.

    """

    origin: Origin
    known: KnownPattern
    words: tuple[str, str]
    hosts: Counter[str]
    lines: int

    @property
    def matches(self) -> int:
        """The number of lines that are responses to uploads."""
        return self.hosts.total()

    @property
    def is_default(self) -> bool:
        """Whether the default pattern matches the lines."""
        return self.known.pattern == receiver_patterns.RESPONSE


def candidates(origins: Iterable[Origin], hosts: Collection[str] = ()) -> list[Candidate]:
    """Return the candidates among some log sources, the most likely first.

    Args:
        origins: The log sources.
        hosts: The hosts in an index, which show which part of a path is the host.

    """
    found = [one for origin in by_template(origins) if (one := candidate(origin, hosts)) is not None]
    return sorted(found, key=lambda one: (-len(one.hosts.keys() & set(hosts)), not one.is_default, -one.matches))


def by_template(origins: Iterable[Origin]) -> Iterator[Origin]:
    """Yield the log sources, with the instances of each template joined to one, which a glob names."""
    groups: dict[tuple[str, tuple[str, ...], str], list[Origin]] = defaultdict(list)
    for origin in origins:
        instance = _instance(origin.unit)
        name = f"{instance['template']}*{instance['kind']}" if instance else origin.unit
        groups[name, origin.match, origin.namespace].append(origin)
    for (name, _, _), group in groups.items():
        lines = tuple(line for one in group for line in one.lines)
        pids = tuple(pid for one in group for pid in one.pids)
        yield replace(group[0], unit=name if len(group) > 1 else group[0].unit, lines=lines, pids=pids)


def candidate(origin: Origin, hosts: Collection[str] = ()) -> Candidate | None:
    """Return the candidate for a log source; None if it has no access line of a known format with a host."""
    requests = [request for line in origin.lines if (request := upload_request(line)) is not None]
    if not requests:
        return None
    tried = [_read(origin, _DEFAULT, DEFAULT_WORDS)]
    if not tried[0].matches:
        tried = []
        for words in upload_words_of(requests, hosts):
            formats = Counter(
                known for line in origin.lines if upload_request(line) and (known := suggested(line, words)) is not None
            )
            tried += [_read(origin, known, words) for known, _ in formats.most_common(1)]
    return max((one for one in tried if one.matches), key=lambda one: _rank(one, hosts), default=None)


def upload_words_of(requests: Sequence[tuple[str, str]], hosts: Collection[str] = ()) -> list[tuple[str, str]]:
    """Guess the methods of uploads and the parts of their paths before the host; at most three, most frequent first.

    The host is the part of a path that is known from an index. Otherwise it is the first part that differs and is
    followed by another part. Words with the same following parts, such as `/v1/images` and `/v1/logs` of the same
    hosts, do not count. If only the last part differs, it is the part before that.
    """
    found: Counter[tuple[str, str]] = Counter()
    methods: dict[str, list[list[str]]] = defaultdict(list)
    for method, path in requests:
        parts = path.split("/")[1:]
        if len(parts) > 1:
            methods[method].append(parts)
    for method, paths in methods.items():
        for prefix, count in _prefixes(paths, frozenset(hosts)).items():
            found[method, "/" + "".join(f"{part}/" for part in prefix)] += count
    return [words for words, _ in found.most_common(3)]


def _prefixes(paths: Sequence[Sequence[str]], hosts: frozenset[str]) -> Counter[tuple[str, ...]]:
    known = Counter(
        tuple(parts[:depth])
        for parts in paths
        for depth in range(min(len(parts) - 1, _DEEPEST))
        if hosts and parts[depth] in hosts
    )
    return known or Counter(dict(_first_differing((), paths, 0)))


def _first_differing(
    prefix: tuple[str, ...], paths: Sequence[Sequence[str]], depth: int
) -> Iterator[tuple[tuple[str, ...], int]]:
    below: dict[str, list[Sequence[str]]] = defaultdict(list)
    for parts in paths:
        if len(parts) > depth + 1:  # another part follows
            below[parts[depth]].append(parts)
    if not below or depth > _DEEPEST:
        return
    deeper = [paths for paths in below.values() if any(len(parts) > depth + 2 for parts in paths)]
    is_alone = len(below) == 1
    if deeper and (is_alone or (all(map(_is_word, below)) and _share_parts(below.values(), depth + 1))):
        for part, paths_below in below.items():
            yield from _first_differing((*prefix, part), paths_below, depth + 1)
        return
    yield prefix, sum(map(len, below.values()))


def _share_parts(groups: Iterable[Sequence[Sequence[str]]], depth: int) -> bool:
    """Return whether several groups have a following part in common, which is not the last one."""
    seen = [{parts[depth] for parts in group if len(parts) > depth + 1} for group in groups]
    named = Counter(part for parts in seen for part in parts)
    return any(count > 1 for count in named.values())


def _read(origin: Origin, known: KnownPattern, words: tuple[str, str]) -> Candidate:
    search = re.compile(known.pattern).search
    found = Counter(
        match["host"] for line in origin.lines if (match := search(line)) is not None and match["host"] is not None
    )
    return Candidate(origin, known, words, found, len(origin.lines))


def _rank(one: Candidate, hosts: Collection[str]) -> tuple[int, int]:
    return sum(count for host, count in one.hosts.items() if host in hosts), one.matches
