"""Draw timelines into an SVG or PNG file.

This module checks and writes the file. `rows` arranges the rows, and `figure` draws them.
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
    """A picture cannot be drawn or written. `str()` is a message with a remedy."""


def plot_format(text: str) -> Path:
    """Parse the path of a picture, for argparse. Its suffix selects the format."""
    path = Path(text)
    try:
        _format_of(path)
    except PlotError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def ensure_drawable(path: Path) -> None:
    """Check that a picture can be drawn into a file, before a lot of work is done.

    Raises:
        PlotError: matplotlib is not installed, the suffix is unknown, or the file cannot be written.

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
    """Draw timelines one below the other into a file, in the format of its suffix. Equal timelines give equal bytes.

    Raises:
        PlotError: As for `ensure_drawable`. An old file is still in place.

    """
    ensure_drawable(path)
    try:
        # An optional package for plots, which takes longer to import than all the rest.
        from fleet_health.cli.plot.figure import render  # noqa: PLC0415
    except ImportError as error:
        raise PlotError(printable(f"matplotlib is installed, but cannot be imported: {error}")) from error

    _replace(path, render(timelines, _format_of(path)))


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        expected = " or ".join(f".{name}" for name in FORMATS)
        raise PlotError(printable(f"{path}: expected a name that ends in {expected}"))
    return suffix


def _replace(path: Path, content: bytes) -> None:
    """Replace an older picture atomically, so that readers see the old or the new one.

    The file belongs to the user, so unlike files of the service it gets the mode of the user's other files.
    """
    try:
        with SafeDirectory(path.parent) as directory:
            directory.replace_file(path.name, content, 0o666, temporary=f"{path.name}.new", is_for_caller=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> PlotError:
    return PlotError(printable(f"{path}: {error.strerror}"))
