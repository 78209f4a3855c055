"""Machines to test on. Where this host cannot have one the tests are skipped, except in CI: there that is a failure."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.machine.deployment import (
    CHECKOUT,
    RECEIVER_PACKAGES,
    WHEELHOUSE,
    Installation,
    Receiver,
    Service,
    everything,
)
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


def _made_once(directory: Path, make: Callable[[Path], None]) -> Path:
    """Make a directory that several processes use, by one of them alone; return it."""
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made := directory / "made").exists():
            # Another one may have failed half-way.
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            make(directory)
            made.touch()
    return directory


@pytest.fixture(scope="session")
def common_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the processes of xdist have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


@pytest.fixture(scope="session")
def shown(common_directory: Path) -> dict[Path, str]:
    """The host's directories that every machine sees: the checkout, files for pip, the receiver's packages."""
    try:
        base = _made_once(common_directory / "shown", _make_shown)
    except MachineUnavailable as unavailable:
        do_without_machine(str(unavailable))
    # The demo's receiver and the server that it runs in are Python alone: these packages suit any interpreter.
    packages = Path(sysconfig.get_path("purelib"))
    return {base / "checkout": CHECKOUT, base / "wheelhouse": WHEELHOUSE, packages: RECEIVER_PACKAGES}


def _make_shown(base: Path) -> None:
    # To find out before anything is made.
    with Machine():
        pass
    checkout, wheelhouse, venv = (base / name for name in ("checkout", "wheelhouse", "venv"))
    for name in _UPLOADED:
        _copy(_ROOT / name, checkout / name)

    # As install.md says for a machine without a network. Not wheels built here: these have other hashes.
    subprocess.run([_PYTHON, "-m", "venv", "--without-pip", venv], check=True)
    pip = (sys.executable, "-I", "-m", "pip", "--python", venv / "bin/python", "--quiet", "--disable-pip-version-check")
    build, *others = (
        f"--requirement={checkout}/requirements/{name}.txt" for name in ("build", "release", "plot", "apprise")
    )
    subprocess.run([*pip, "install", "--no-compile", "--require-hashes", build], check=True)
    download = ("download", "--dest", wheelhouse, "--no-build-isolation", "--use-pep517", "--require-hashes")
    subprocess.run([*pip, *download, build, *others], check=True)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def packages(common_directory: Path) -> Path:
    """A directory with the package as it is built, and one that differs from it in being older."""
    return _made_once(common_directory / "packages", build_packages)


def build_packages(directory: Path) -> None:
    """Put `new.deb`, `old.deb` and `arm64.deb` into a directory."""
    command = _ROOT / "packaging/debian/build"
    # What is in them is the same, however well it is compressed.
    environment = {**os.environ, "OUTPUT": str(directory / "built"), "DPKG_DEB_COMPRESSOR_LEVEL": "0"}
    subprocess.run([command], check=True, env=environment)
    (built,) = (directory / "built").glob("*_amd64.deb")
    unpacked = directory / "old"
    subprocess.run(["dpkg-deb", "--raw-extract", built, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 0.0.9", control.read_text()))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", unpacked, directory / "old.deb"], check=True)
    next((directory / "built").glob("*_arm64.deb")).rename(directory / "arm64.deb")
    built.rename(directory / "new.deb")


@pytest.fixture(scope="session")
def installation(common_directory: Path, shown: dict[Path, str]) -> Installation:
    """fleet-health as root installs it with umask 000, made once: machines that begin with it are there in a second."""

    def make(directory: Path) -> None:
        with Machine(shown) as machine:
            # What this host has there may be anybody's.
            machine.run("find", "/usr/local", "!", "-type", "l", "-perm", "/022", "-exec", "chmod", "go-w", "{}", "+")
            machine.run("find", "/usr/local", "!", "-uid", "0", "-exec", "chown", "--no-dereference", "root", "{}", "+")
            before, service = everything(machine), Service(machine)
            said = service.install(umask="000")
            service.assert_undisturbed()
            service.forget_alerts()
            machine.keep(directory / "kept")
        (directory / "told.json").write_text(json.dumps({"before": sorted(before), "said": said}))

    directory = _made_once(common_directory / "installation", make)
    told = json.loads((directory / "told.json").read_text())
    return Installation(directory / "kept", frozenset(told["before"]), told["said"])


@pytest.fixture(scope="session")
def deployed(shown: dict[Path, str], installation: Installation) -> Iterator[Machine]:
    """A machine on which the receiver runs and fleet-health is installed."""
    with Machine(shown, kept=installation.kept) as machine:
        Receiver(machine).start()
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
