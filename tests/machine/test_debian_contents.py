"""What is in the Debian packages: those of both architectures are the same, but for the modules of the architecture."""

from __future__ import annotations

import json
import subprocess
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

MACHINES = {"x86_64": 62, "aarch64": 183}
"""The kernel's name of a machine -> e_machine in the header of its programs, of elf(5)."""


def files(package: Path) -> dict[str, tarfile.TarInfo | bytes]:
    """Return the contents of a package by path; a directory is given by its entry in the archive."""
    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        opened = ((member, tar.extractfile(member)) for member in tar)
        return {member.name: file.read() if file else member for member, file in opened}


def field(package: Path, name: str) -> str:
    """Return a field of a package's control file."""
    return subprocess.run(["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def amd64(packages: Path) -> dict[str, tarfile.TarInfo | bytes]:
    """The files of the package for amd64."""
    return files(packages / "new.deb")


@pytest.fixture(scope="module")
def arm64(packages: Path) -> dict[str, tarfile.TarInfo | bytes]:
    """The files of the package for arm64."""
    return files(packages / "arm64.deb")


def test_the_architectures_differ_in_their_modules_alone(
    amd64: dict[str, tarfile.TarInfo | bytes], arm64: dict[str, tarfile.TarInfo | bytes]
) -> None:
    """Each module is there for every Python, in the code of its architecture; all else has the same bytes."""
    modules = {"x86_64": [name for name in amd64 if name.endswith(".so")]}
    modules["aarch64"] = [name for name in arm64 if name.endswith(".so")]
    of_package = {"x86_64": amd64, "aarch64": arm64}

    for machine, names in modules.items():
        stems = {name.partition(".cpython-")[0] for name in names}
        assert "./usr/lib/fleet-health/msgspec/_core" in stems
        assert set(names) == {
            f"{stem}.cpython-{python}-{machine}-linux-gnu.so" for stem in stems for python in ("311", "312", "313")
        }
        headers = [of_package[machine][name] for name in names]
        kinds = {int.from_bytes(header[18:20], "little") for header in headers if isinstance(header, bytes)}
        assert kinds == {MACHINES[machine]}
    assert [name.replace("x86_64", "aarch64") for name in amd64] == list(arm64)
    # The metadata of wheels name the architecture, and the bytes of a module are its own.
    same = {name for name, content in amd64.items() if isinstance(content, bytes) and arm64.get(name) == content}
    different = {name for name, content in amd64.items() if isinstance(content, bytes)} - same - set(modules["x86_64"])
    assert {name.rpartition("/")[2] for name in different} == {"WHEEL"}


def test_nothing_in_it_names_where_the_installer_puts_things(amd64: dict[str, tarfile.TarInfo | bytes]) -> None:
    """Units, texts and messages name the paths of the package; documents may name both."""
    strangers = [
        name
        for name, content in amd64.items()
        if isinstance(content, bytes)
        # The last one looks whether the installer has been there.
        and not name.endswith((".md", ".so", ".gz", "/install_units.py"))
        and (b"/opt/fleet-health" in content or b"/usr/local/share/doc/fleet-health" in content)
    ]

    assert strangers == []


def test_it_advises_to_install_what_debian_has(amd64: dict[str, tarfile.TarInfo | bytes]) -> None:
    """Whoever has the package need not have a checkout: no message of the program sends them there for a library."""
    code = b"".join(content for name, content in amd64.items() if name.endswith(".py") and isinstance(content, bytes))

    assert b"packaging/install.sh --with" not in code
    assert b"apt install python3-matplotlib" in code


def test_it_depends_on_what_it_does_not_bring(packages: Path, amd64: dict[str, tarfile.TarInfo | bytes]) -> None:
    """What the lock file pins is in the package and in its bill of materials, or is Debian's."""
    bill = amd64["./usr/share/doc/fleet-health/sbom.cdx.json"]
    assert isinstance(bill, bytes)
    required = {each["name"] for each in json.loads(bill)["components"] if each["scope"] == "required"}
    brought = {name.split("/")[4] for name in amd64 if name.endswith(".dist-info")}
    depends = field(packages / "new.deb", "Depends")

    assert {name.partition("-")[0] for name in brought} - {"fleet_health"} == required
    assert {"python3-systemd", "tzdata", "libc6", "systemd"} <= {part.split()[0] for part in depends.split(", ")}
    assert "python3 (>= 3.11), python3 (<< 3.14~)" in depends
    assert field(packages / "arm64.deb", "Depends") == depends.replace("2.14", "2.17")
    assert not {"systemd_python", "tzdata", "systemd-python"} & required
