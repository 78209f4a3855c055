"""`fleet-health install-units`: everything is put in place for this program, and removed again."""

from __future__ import annotations

import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.__main__ import main
from fleet_health.cli.commands import install_units
from fleet_health.cli.setup.placing import SYSTEM, listed

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path(__file__).resolve().parents[2]
_UNITS = Path("usr/local/lib/systemd/system")


def files(directory: Path) -> set[str]:
    """Return the paths of all files below a directory, as they would be below /."""
    return {f"/{path.relative_to(directory)}" for path in directory.rglob("*") if path.is_file()}


def test_everything_that_is_listed_is_in_a_wheel() -> None:
    """Package data includes each file of packaging/files, or programs of pipx and uv could not install it."""
    data = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["fleet_health"]
    names = {"files", "default-config.toml", *(name for name, _ in listed() if not name.startswith("made/"))}

    assert {name for name in names if not any(fnmatch(f"system/{name}", pattern) for pattern in data)} == set()
    assert "fleet-health.service" in names


def test_the_units_start_this_program(tmp_path: Path) -> None:
    """Every unit and drop-in has the path of this program, and none has that of packaging/install.sh."""
    assert main(["install-units", "--into", str(tmp_path)]) == 0

    unit = (tmp_path / _UNITS / "fleet-health.service").read_text()
    assert f"\nExecStart={sys.prefix}/bin/fleet-health run\n" in unit
    assert {"fleet-health.service", "fleet-health-http.socket"} <= {path.name for path in (tmp_path / _UNITS).iterdir()}
    placed = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".md"]
    assert [path for path in placed if "/opt/fleet-health" in path.read_text()] == []
    assert {
        "/etc/fleet-health/config.toml",
        "/etc/logrotate.d/fleet-health",
        "/usr/local/share/bash-completion/completions/fleet-health",
        "/usr/local/share/doc/fleet-health/install.md",
        "/usr/local/share/man/man1/fleet-health.1",
    } <= files(tmp_path)


def test_again_and_removed(tmp_path: Path) -> None:
    """A second run changes nothing. The configuration is the operator's: it is neither overwritten nor removed."""
    into = ["--into", str(tmp_path)]
    assert main(["install-units", *into]) == 0
    config = tmp_path / "etc/fleet-health/config.toml"
    config.write_text("# mine\n")
    placed = files(tmp_path)

    assert main(["install-units", *into]) == 0
    assert (files(tmp_path), config.read_text()) == (placed, "# mine\n")
    assert main(["install-units", *into, "--remove"]) == 0
    assert files(tmp_path) == {"/etc/fleet-health/config.toml"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda patch: patch.setattr(sys, "prefix", "/nowhere"),
            "/nowhere/bin/fleet-health is missing; install fleet-health with pipx, uv or pip",
        ),
        (
            lambda patch: patch.setattr(install_units, "hides", lambda path: path == Path(sys.base_prefix)),
            f"{sys.base_prefix} is hidden from the service",
        ),
        (
            lambda patch: patch.setattr(install_units, "_OTHERS", {Path("/usr"): "somebody has put it there"}),
            "/usr exists: somebody has put it there",
        ),
        (
            lambda patch: patch.setattr(install_units, "SYSTEM", Path("/nowhere")),
            "this installation contains no units to install",
        ),
    ],
    ids=["no program", "a Python that the unit hides", "installed otherwise", "the Debian package"],
)
def test_where_it_cannot_be_done(
    change: Callable[[pytest.MonkeyPatch], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is changed, and the error has the reason and what to do."""
    change(monkeypatch)

    assert main(["install-units"]) == 2
    assert said in capsys.readouterr().err


def test_a_directory_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error has the path and the reason."""
    (tmp_path / "usr").write_text("")

    assert main(["install-units", "--into", str(tmp_path)]) == 1
    assert f"{tmp_path}/usr" in capsys.readouterr().err


def test_the_list_is_that_of_packaging() -> None:
    """In a checkout, the files are those of packaging/ themselves."""
    assert SYSTEM.resolve() == _ROOT / "packaging"
