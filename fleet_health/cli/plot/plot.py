"""A timeline as a picture, SVG or PNG: which formats there are, and how the file comes to be.

Owns the file. What stands in which row is `plot_rows`' concern, how it looks is `plot_figure`'s.
"""

from __future__ import annotations

import argparse
import errno
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.errors import FleetHealthError, printable
from fleet_health.files.safe_files import SafeDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.replay.timeline import Timeline

FORMATS = ("svg", "png")


class PlotError(FleetHealthError):
    """A picture cannot be drawn or written; `str()` says what would fix it."""


def plot_format(text: str) -> Path:
    """Parse the file to draw into, for argparse: its suffix decides the format."""
    path = Path(text)
    try:
        _format_of(path)
    except PlotError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def ensure_drawable(path: Path) -> None:
    """Check whether a picture can be drawn into a file, before a lot of work is done.

    Raises:
        PlotError: matplotlib is not installed, the suffix is unknown, or there is no writing there.

    """
    _format_of(path)
    if importlib.util.find_spec("matplotlib") is None:
        remedy = "run packaging/install.sh --with-plot from a checkout, as root"
        raise PlotError(f"a plot needs matplotlib, which is not installed: {remedy}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        SafeDirectory(path.parent).close()
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _unwritable(path, error) from error


def draw(timelines: Sequence[Timeline], path: Path) -> None:
    """Draw timelines below each other into a file, in the format of its suffix. The same ones give the same bytes.

    Raises:
        PlotError: As above. An old file is still there.

    """
    ensure_drawable(path)
    try:
        # It is an extra that nothing but a plot needs, and takes longer to load than everything else together.
        from fleet_health.cli.plot.figure import render  # noqa: PLC0415
    except ImportError as error:
        raise PlotError(printable(f"matplotlib is there, but cannot be loaded: {error}")) from error

    _replace(path, render(timelines, _format_of(path)))


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        expected = " or ".join(f".{name}" for name in FORMATS)
        raise PlotError(printable(f"{path}: expected a name that ends in {expected}"))
    return suffix


def _replace(path: Path, content: bytes) -> None:
    """Replace an older picture atomically: a reader sees one or the other.

    It is the caller's own file, so unlike what the service keeps it gets the mode that the caller's other files have.
    """
    try:
        with SafeDirectory(path.parent) as directory:
            directory.replace_file(path.name, content, 0o666, temporary=f"{path.name}.new", is_for_caller=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> PlotError:
    return PlotError(printable(f"{path}: {error.strerror}"))
