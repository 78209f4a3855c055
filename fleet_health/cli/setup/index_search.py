"""Find the index of a receiver: a file of JSON rows, each with a host and a time."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.config.schema import KEYS
from fleet_health.model.host_name import host_name
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.timestamp import TimeError, parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from fleet_health.cli.setup.units import Unit

DEFAULT_PATH = Path(KEYS["index.path"].default)
_HOST_FIELD: str = KEYS["index.host_field"].default
_TIME_FIELD: str = KEYS["index.time_field"].default
# Tried in this order, after the default.
_HOST_NAMES = ("host", "hostname", "host_name", "device", "device_id", "client", "client_id", "node", "source", "name")
_COMMON = ("/var/lib", "/srv", "/opt", "/data", "/var/spool", "/var/www")
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".log")
_TAIL = 1 << 16
_ROWS = 500
_FILES, _ENTRIES, _DEPTH = 2_000, 4_000, 3
_SHARE = 0.8
_OF_ANY_PROCESS = frozenset({b"HOME", b"PWD", b"OLDPWD", b"TMPDIR", b"SHELL", b"LOGNAME", b"USER"})
"""Variables that a login or a shell sets for any program, which do not point to an index."""


@dataclass(frozen=True, slots=True)
class FoundIndex:
    """A file that looks like an index.

    Attributes:
        path: The file.
        host_field: The key of the host in a row.
        time_field: The key of the time in a row.
        rows: The number of its latest rows that were examined.
        hosts: Host -> number of these rows.

    """

    path: Path
    host_field: str
    time_field: str
    rows: int
    hosts: Counter[str]

    def shared(self, hosts: Collection[str]) -> int:
        """Return the number of hosts that have rows in it."""
        return len(self.hosts.keys() & set(hosts))


def places_of(unit: Unit | None, pids: Iterable[int]) -> Iterator[Path]:
    """Yield files and directories to which a unit or a process may write, the most likely first.

    Processes that have ended or belong to another user are skipped.
    """
    main_pid = int(unit.properties.get("MainPID") or 0) if unit else 0
    for pid in dict.fromkeys(pid for pid in (main_pid, *pids) if pid):
        yield from _places_of_process(pid)
    properties: Mapping[str, str] = unit.properties if unit else {}
    for name in properties.get("StateDirectory", "").split():
        yield Path("/var/lib", name)
    for name in (*properties.get("ReadWritePaths", "").split(), properties.get("WorkingDirectory", "")):
        if (text := name.lstrip("-+!~")).startswith("/"):
            yield Path(text)


def common_places() -> Iterator[Path]:
    """Yield places of an index that do not depend on a receiver: the default, and the directories of programs."""
    yield DEFAULT_PATH
    for place in map(Path, _COMMON):
        try:
            yield from sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())
        except OSError:
            continue


def find_indexes(places: Iterable[Path], hosts: Collection[str]) -> list[FoundIndex]:
    """Return the indexes in some places, the most likely first.

    Args:
        places: Files, and directories to search.
        hosts: The hosts in the journal of a receiver.

    """
    seen: set[Path] = set()
    found = []
    for path in (file for place in places for file in _files(place)):
        if path in seen:
            continue
        seen.add(path)
        if len(seen) > _FILES:
            break
        if (index := read_index(path, hosts)) is not None:
            found.append(index)
    # The sort is stable, so of two equally good ones the earlier place wins.
    return sorted(found, key=lambda one: (-one.shared(hosts), one.path != DEFAULT_PATH, "index" not in one.path.name))


def read_index(path: Path, hosts: Collection[str] = ()) -> FoundIndex | None:
    """Return a file as an index; None if it does not look like one or cannot be read."""
    lines = _latest_lines(path)
    rows = [row for line in lines if isinstance(row := _json(line), dict)]
    if not rows or len(rows) < _SHARE * len(lines) or _is_alert_log(rows):
        return None
    keys = Counter(key for row in rows for key, value in row.items() if isinstance(value, str) and value)
    common = [key for key, count in keys.items() if count >= _SHARE * len(rows)]
    host_field, time_field = _host_field(rows, common, hosts), _time_field(rows, common)
    if host_field is None or time_field is None:
        return None
    uploads, _ = IndexParser(host_field=host_field, time_field=time_field).parse_block(b"\n".join(lines) + b"\n")
    if not uploads:
        return None
    return FoundIndex(path, host_field, time_field, len(lines), Counter(upload.host for upload in uploads))


def _places_of_process(pid: int) -> Iterator[Path]:
    process = Path("/proc", str(pid))
    try:
        open_files = [entry.readlink() for entry in (process / "fd").iterdir() if entry.is_symlink()]
        arguments = (process / "cmdline").read_bytes().split(b"\0")
        environment = (process / "environ").read_bytes().split(b"\0")
        directory = (process / "cwd").readlink()
    except OSError:
        return
    yield from (path for path in open_files if path.is_absolute() and path.suffix in _SUFFIXES)
    values = [value for one in environment for name, _, value in (one.partition(b"="),) if name not in _OF_ANY_PROCESS]
    # Arguments such as `--index=/srv/index.jsonl` contain a path as well.
    words = [word.rpartition(b"=")[2] for word in arguments]
    for text in map(os.fsdecode, (*words, *values)):
        if text.startswith("/") and ":" not in text:
            yield Path(text)
        elif Path(text).suffix in _SUFFIXES and not text.startswith("-"):
            yield directory / text
    yield directory


def _files(place: Path) -> Iterator[Path]:
    """Yield the files at a place whose name may be that of an index, but not of a rotated one."""
    try:
        if place.is_file():
            yield place
            return
        if not place.is_dir() or place in {Path("/"), Path("/usr"), Path("/etc")}:
            return
    except OSError:
        return
    count = 0
    for directory, names, files in os.walk(place):
        depth = len(Path(directory).relative_to(place).parts)
        names[:] = sorted(name for name in names if not name.startswith(".")) if depth < _DEPTH else []
        for name in sorted(files):
            if Path(name).suffix in _SUFFIXES[:2]:
                yield Path(directory, name)
        count += len(files) + len(names)
        if count > _ENTRIES:
            return


def _latest_lines(path: Path) -> list[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return []
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            return []
        block = os.pread(fd, _TAIL, max(0, state.st_size - _TAIL))
    except OSError:
        return []
    finally:
        os.close(fd)
    lines = block.split(b"\n")[:-1]  # the last line may be incomplete
    return [line for line in lines[state.st_size > _TAIL :] if line][-_ROWS:]


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_alert_log(rows: list[dict[str, Any]]) -> bool:
    return all("dedup_key" in row and "symptom" in row for row in rows)


def _host_field(rows: list[dict[str, Any]], keys: list[str], hosts: Collection[str]) -> str | None:
    wanted = set(hosts)
    known = {key: sum(host_name(row[key]) in wanted for row in rows if isinstance(row.get(key), str)) for key in keys}
    best = max(known, key=known.__getitem__, default=None)
    if best is not None and known[best]:
        return _HOST_FIELD if known.get(_HOST_FIELD) == known[best] else best
    names: tuple[str, ...] = (_HOST_FIELD, *_HOST_NAMES)
    return next((key for key in names if key in keys), None)


def _time_field(rows: list[dict[str, Any]], keys: list[str]) -> str | None:
    if _TIME_FIELD in keys:
        return _TIME_FIELD
    dated = [key for key in keys if sum(_is_time(row.get(key)) for row in rows) >= _SHARE * len(rows)]
    # Prefer the time of acceptance to a time from the host.
    likely = ("receiv", "accept", "upload", "stored", "server")
    return next((key for key in dated if any(word in key.casefold() for word in likely)), next(iter(dated), None))


def _is_time(value: Any) -> bool:
    try:
        parse_time(value)
    except (TimeError, TypeError, AttributeError):
        return False
    return True
