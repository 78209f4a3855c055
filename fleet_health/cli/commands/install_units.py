"""`fleet-health install-units`: install the units and their files, for a program that pipx or uv has installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.setup.placing import SYSTEM, listed, text_for
from fleet_health.cli.setup.service_view import hides
from fleet_health.config.locations import DEFAULT_PATH
from fleet_health.errors import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from fleet_health.cli.options import Subparsers

_WENT_WRONG = 1
_CANNOT = 2
_RUNS = Path("/run/systemd/system")
_OTHERS = {
    Path("/opt/fleet-health/current"): "packaging/install.sh has installed it here; run it again to upgrade",
    Path("/usr/lib/systemd/system/fleet-health.service"): "the Debian package is installed here, and has the units",
}
"""A file of another installation -> the message about it."""


class _CannotInstallError(Exception):
    """The units cannot be installed, and nothing was changed. `str()` is a message with the reason."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "install-units",
        help=SUMMARIES["install-units"],
        description="Install the units, the user, log rotation, the message catalog, manual pages and documents below"
        " /usr/local, for a program that `pipx install --global` or `uv tool install` has installed, and a first"
        " configuration if there is none. This starts no service. packaging/install.sh and the Debian package need no"
        " such step.",
        epilog="Exit status: 0 when it completed; 1 when it failed half-way, and can be run again; 2 when it is not"
        " possible here, and nothing was changed.",
    )
    parser.add_argument("--into", type=Path, metavar="DIR", help="only write the files below DIR; needs no root")
    parser.add_argument(
        "--remove",
        action="store_true",
        help="stop the units and remove the installed files; the configuration, the alert log and the user stay",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Install or remove the files, and return the exit status."""
    try:
        program = _program(options.into)
        if options.remove:
            _remove(options.into)
        else:
            _install(program, options.into)
    except _CannotInstallError as error:
        return _complain(str(error), _CANNOT)
    except subprocess.CalledProcessError as error:
        return _complain(f"this command failed with status {error.returncode}: {' '.join(error.cmd)}", _WENT_WRONG)
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}", _WENT_WRONG)
    return 0


def _complain(reason: str, status: int) -> int:
    sys.stderr.write(f"{printable(reason)}\n")
    return status


def _program(into: Path | None) -> Path:
    """Return the path of the program for the units.

    Raises:
        _CannotInstallError: The service could not run it, or another installation has the units.

    """
    if not (SYSTEM / "files").exists():
        raise _CannotInstallError("this installation contains no units to install: the Debian package has its own")
    for sign, reason in _OTHERS.items():
        if into is None and sign.exists():
            raise _CannotInstallError(f"{sign} exists: {reason}")
    program = Path(sys.prefix, "bin/fleet-health")
    if not program.exists():
        raise _CannotInstallError(f"{program} is missing; install fleet-health with pipx, uv or pip")
    for path, remedy in (
        (
            program,
            "install it with `pipx install --global`, or with UV_TOOL_DIR=/opt/uv UV_TOOL_BIN_DIR=/usr/local/bin",
        ),
        (Path(sys.base_prefix), "install it with the system's Python: --python /usr/bin/python3"),
    ):
        if into is None and hides(path):
            raise _CannotInstallError(
                f"{path} is hidden from the service, like all paths below /home, /root and /tmp; {remedy}"
            )
    return program


def _install(program: Path, into: Path | None) -> None:
    root = into or Path("/")
    with tempfile.TemporaryDirectory() as made:
        texts = dict(_texts(program, Path(made)))
    if not (root / DEFAULT_PATH.relative_to("/")).exists():
        texts[DEFAULT_PATH] = text_for(program, "default-config.toml")
    for target, text in texts.items():
        path = root / target.relative_to("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(text, "utf-8")
        new.chmod(0o644)
        new.rename(path)
    sys.stdout.write(f"installed {len(texts)} files for {program}\n")
    if into is None:
        _call("systemd-sysusers", *(str(target) for target in texts if target.parent.name == "sysusers.d"))
        _call("systemd-tmpfiles", "--create", *(str(each) for each in texts if each.parent.name == "tmpfiles.d"))
        _reload()
        sys.stdout.write("What to do next:\n  fleet-health setup\n  systemctl enable --now fleet-health\n")


def _texts(program: Path, made: Path) -> Iterator[tuple[Path, str]]:
    """Yield the path and the content of each file."""
    # Other commands do not need the parser of all commands.
    from fleet_health.cli.setup.made import write_made  # noqa: PLC0415

    write_made(SYSTEM / "config.example.toml", made)
    for name, target in listed():
        if not name.startswith("made/"):
            yield target, text_for(program, name)
        elif (path := made / name.removeprefix("made/")).exists():
            yield target, path.read_text("utf-8")


def _remove(into: Path | None) -> None:
    root = into or Path("/")
    targets = [target for _, target in listed()]
    units = [target.name for target in targets if target.parent.name == "system"]
    if into is None and _RUNS.exists():
        # Sockets first, because a socket would start its service again.
        for unit in sorted(units, key=lambda unit: not unit.endswith(".socket")):
            subprocess.run(["systemctl", "--quiet", "disable", "--now", unit], check=False, stderr=subprocess.DEVNULL)
    for target in targets:
        (root / target.relative_to("/")).unlink(missing_ok=True)
    shutil.rmtree(root / "usr/local/share/doc/fleet-health", ignore_errors=True)
    if into is None:
        _reload()
    sys.stdout.write("removed; the configuration, the alert log and the users stay\n")


def _reload() -> None:
    _call("journalctl", "--update-catalog")
    if _RUNS.exists():
        _call("systemctl", "daemon-reload")


def _call(*command: str) -> None:
    subprocess.run(list(command), check=True, stdin=subprocess.DEVNULL)
