"""Look up the system units that systemd knows, in its directories of unit files.

systemd is not queried, because the service has no access to D-Bus and a unit need not be loaded. Units without a file
that run or have run are in the journal.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from fleet_health.model.host_globs import is_plain

_MASKED = "null"
# systemd.unit(5), "System Unit Search Path".
_SEARCH_PATH = tuple(
    map(
        Path,
        (
            "/etc/systemd/system.control",
            "/run/systemd/system.control",
            "/run/systemd/transient",
            "/run/systemd/generator.early",
            "/etc/systemd/system",
            "/etc/systemd/system.attached",
            "/run/systemd/system",
            "/run/systemd/system.attached",
            "/run/systemd/generator",
            "/usr/local/lib/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
            "/run/systemd/generator.late",
        ),
    )
)


def is_known_unit(unit: str) -> bool:
    """Return whether systemd has a file for a unit or its template; for a glob, for any unit that it matches.

    A dangling link does not count.
    """
    if is_plain(unit):
        return any((directory / name).exists() for directory in _SEARCH_PATH for name in _files_of(unit))
    names = (entry.name for directory in _SEARCH_PATH if directory.is_dir() for entry in directory.iterdir())
    return any(fnmatchcase(name, unit) or _may_be_instances(name, unit) for name in names)


def alias_of(unit: str) -> str | None:
    """Return the real name of a unit, under which it logs, if the given name is an alias; else None."""
    links = (link for directory in _SEARCH_PATH if (link := directory / unit).is_symlink())
    real = next((link.resolve().name for link in links if link.exists()), unit)
    return None if real in {*_files_of(unit), _MASKED} else real


def _files_of(unit: str) -> tuple[str, ...]:
    """Return the names of the files that may define a unit: its own, and for an instance that of the template."""
    name, _, kind = unit.rpartition(".")
    prefix, at, instance = name.partition("@")
    return (unit, f"{prefix}@.{kind}") if at and instance else (unit,)


def _may_be_instances(file: str, glob: str) -> bool:
    """Return whether instances of a template file can match a glob: `receiver@.service`, `receiver@*`."""
    prefix, at, rest = file.partition("@")
    return (
        bool(at)
        and rest.startswith(".")
        and (fnmatchcase(f"{prefix}@x{rest}", glob) or glob.partition("*")[0].startswith(f"{prefix}@"))
    )
