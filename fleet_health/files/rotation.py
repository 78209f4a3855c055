"""Find the files that a log was rotated to, because a reader that starts just after a rotation needs them as well.

It recognises the names of logrotate with any of its options, of the rotating handlers of common logging libraries, and
names chosen by hand: a number, a date or `old` after the name or before its suffix, optionally followed by one more
suffix and one for compression. Globs find files with other names or in other directories.
"""

from __future__ import annotations

import glob
import os
import re
import resource
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from fleet_health.files.safe_files import link_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleet_health.model.instant import Instant

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

# logrotate: `.1`, dateext `-20261123`, dateformat `-%Y-%m-%d_%H`, addextension `.1.bak`; Python: `.2026-11-23_10`.
_is_tag = re.compile(
    r"[._-](?:\d[\dTZ:_.+-]*|old|bak|backup|prev)"
    r"(?:\.(?!(?:lock|tmp|swp|part|partial|md5|sha\d*|sig|asc)\Z)[A-Za-z]\w{0,9})?",
    re.ASCII,
).fullmatch
# logrotate's `extension`: `index.1.jsonl`. Only a date may follow a hyphen, because `index-2.jsonl` may be another
# index.
_is_inner_tag = re.compile(r"\.\d{1,4}|[._-](?=(?:\D*\d){6})\d[\dTZ:_.+-]*", re.ASCII).fullmatch


def is_rotated_name(name: str, other: str) -> bool:
    """Return whether a file named `name` may have the name `other` after a rotation."""
    plain = without_compression(other)
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    if plain == name:
        return plain != other
    if plain.startswith(name) and _is_tag(plain[len(name) :]):
        return True
    is_alike = plain.startswith(stem) and plain.endswith(suffix)
    return is_alike and bool(_is_inner_tag(plain[len(stem) : len(plain) - len(suffix)]))


def without_compression(name: str) -> str:
    """Return the name of a file before it was compressed."""
    return next((name.removesuffix(end) for end in COMPRESSED_SUFFIXES if name.endswith(end)), name)


def matching(globs: Sequence[str], directory: Path) -> set[Path]:
    """Return the paths that match a glob. A relative glob starts at `directory`; `**` matches any directories."""
    return {Path(found) for one in globs for found in glob.glob(os.path.join(directory, one), recursive=True)}  # noqa: PTH118, PTH207


def rotated_files(path: Path, globs: Sequence[str], since: Instant) -> list[Path]:
    """Return the files that `path` was rotated to and that were written at or after `since`; latest last.

    They are in the directory of the path or of its link target, or match one of the globs. A directory that may not be
    listed is skipped, and so is a compressed file while its uncompressed original exists.

    Args:
        path: The path of the file that is rotated.
        globs: Paths with wildcards; a relative one starts at the directory of `path`.
        since: The earliest time of modification.

    """
    found = dict.fromkeys(_beside(path, path.name))
    with suppress(OSError):
        if (target := link_target(path)) is not None:
            for name in {path.name, target.name, _untagged(target.name)}:
                found |= dict.fromkeys(_beside(target, name))
    found |= dict.fromkeys(matching(globs, path.parent))
    files: dict[tuple[int, int], tuple[Instant, Path]] = {}
    for file in found:
        if file != path and (file.suffix not in COMPRESSED_SUFFIXES or file.with_suffix("") not in found):
            with suppress(OSError):  # it may be gone by now
                state = file.stat()
                if file.is_file():
                    files[state.st_dev, state.st_ino] = (state.st_mtime_ns // 1000, file)
    return [file for at, file in sorted(files.values()) if at >= since]


def _beside(path: Path, name: str) -> Iterator[Path]:
    """Yield the files in the directory of `path` that a file named `name` may have been rotated to."""
    with suppress(OSError):
        for other in os.listdir(path.parent):  # noqa: PTH208 - a directory may hold many thousands
            if is_rotated_name(name, other):
                yield path.parent / other


def _untagged(name: str) -> str:
    """Return a name without its date or number, which the name of a link target may have."""
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    for at, character in enumerate(stem):
        if character in "._-" and _is_inner_tag(stem[at:]):
            return stem[:at] + suffix
    return name


def allow_many_files() -> None:
    """Raise the limit of open files to its maximum, because an index may have a rotated file for each hour."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
