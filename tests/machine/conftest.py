"""Machines to test on. Where this host cannot have one the tests are skipped, except in CI: there that is a failure."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.machine.deployment import CHECKOUT, RECEIVER_PACKAGES, WHEELHOUSE, Receiver, Service
from tests.machine.machine import Machine, MachineUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOT = Path(__file__).resolve().parents[2]
_UPLOADED = (
    "LICENSE",
    "README.md",
    "config.example.toml",
    "fleet_health",
    "packaging",
    "pyproject.toml",
    "requirements",
    "tests/machine",
)

# The machine's own, whatever runs the tests.
_PYTHON = "/usr/bin/python3"


def do_without_machine(reason: str) -> NoReturn:
    """Skip a test for want of a machine; in CI, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI has to have a machine: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def _bootable() -> None:
    """Find out before anything is built."""
    try:
        with Machine():
            pass
    except MachineUnavailable as unavailable:
        do_without_machine(str(unavailable))


@pytest.fixture(scope="session")
def shown(_bootable: None, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The host's directories that every machine sees: the checkout, files for pip, the receiver's packages."""
    # Those of xdist have a directory in common, and what takes so long is made by one of them alone.
    own = tmp_path_factory.getbasetemp()
    base = (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "shown"
    base.mkdir(exist_ok=True)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made := base / "made").exists():
            _make_shown(base)
            made.touch()
    return {base / "checkout": CHECKOUT, base / "wheelhouse": WHEELHOUSE, base / "receiver": RECEIVER_PACKAGES}


def _make_shown(base: Path) -> None:
    checkout, wheelhouse, receiver, venv = (base / name for name in ("checkout", "wheelhouse", "receiver", "venv"))
    for name in _UPLOADED:
        _copy(_ROOT / name, checkout / name)

    subprocess.run([_PYTHON, "-m", "venv", venv], check=True)
    build, release, plot, apprise, demo = (
        ("--require-hashes", "--requirement", checkout / f"requirements/{name}.txt")
        for name in ("build", "release", "plot", "apprise", "demo")
    )
    pip = (venv / "bin/python", "-I", "-m", "pip", "--quiet", "--disable-pip-version-check")
    not_isolated = ("--no-build-isolation", "--use-pep517")
    subprocess.run([*pip, "install", *build], check=True)
    # As install.md says for a machine without a network. Not wheels built here: these have other hashes.
    for locked in (build, release, plot, apprise):
        subprocess.run([*pip, "download", "--dest", wheelhouse, *not_isolated, *locked], check=True)
    subprocess.run([*pip, "install", *not_isolated, "--target", receiver, *demo], check=True)
    ours = ("--no-deps", "--no-build-isolation", "--target", receiver, _copy(checkout, base / "build"))
    subprocess.run([*pip, "install", *ours], check=True)


def _copy(source: Path, target: Path) -> Path:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return target


@pytest.fixture(scope="session")
def packages(shown: dict[Path, str]) -> Path:
    """A directory with the package as it is built, and one that differs from it in being older."""
    directory = next(iter(shown)).parent / "packages"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "new.deb").exists():
            build_packages(directory)
    return directory


def build_packages(directory: Path) -> None:
    """Put `new.deb`, `old.deb` and `arm64.deb` into a directory."""
    command = _ROOT / "packaging/debian/build"
    subprocess.run([command], check=True, env={**os.environ, "OUTPUT": str(directory / "built")})
    (built,) = (directory / "built").glob("*_amd64.deb")
    unpacked = directory / "old"
    subprocess.run(["dpkg-deb", "--raw-extract", built, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 0.0.9", control.read_text()))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", unpacked, directory / "old.deb"], check=True)
    next((directory / "built").glob("*_arm64.deb")).rename(directory / "arm64.deb")
    built.rename(directory / "new.deb")


@pytest.fixture(scope="session")
def deployed(shown: dict[Path, str]) -> Iterator[Machine]:
    """A machine on which the receiver runs and fleet-health is installed."""
    with Machine(shown) as machine:
        Receiver(machine).start()
        Service(machine).install()
        yield machine


@pytest.fixture
def receiver(deployed: Machine) -> Receiver:
    """The receiver, running."""
    return Receiver(deployed)


@pytest.fixture
def disturbed_service(deployed: Machine) -> Service:
    """The service, just started, in a test that will do it harm."""
    service = Service(deployed)
    service.reset()
    return service


@pytest.fixture
def service(disturbed_service: Service) -> Iterator[Service]:
    """The service, just started; nothing is to fail or restart it in this test."""
    yield disturbed_service
    disturbed_service.assert_undisturbed()


@pytest.fixture(scope="session")
def new_host() -> Callable[[str], str]:
    """Names of hosts that no other test uses: alerts are told once an hour, and all tests share one machine."""
    numbers = count(1)
    return lambda trouble: f"{trouble}-{next(numbers)}"
