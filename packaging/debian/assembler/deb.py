"""A package of a laid-out directory: stripped modules, compressed manuals, control files, and dpkg-deb."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import changelog
import payload
import terms
from architectures import PYTHONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from architectures import Architecture
    from changelog import Release
    from wheels import Lock

_LIBC = re.compile(r"(libc|libm|libpthread|libdl|librt)\.so\.\d|ld-linux-[a-z0-9-]+\.so\.\d")
"""What is in the package libc6."""
_SERVICE = "fleet-health.service"


@dataclass(frozen=True)
class Contents:
    """What goes into a package.

    Attributes:
        root: Its files, as they will be below /.
        source: The copy of the checkout that they come from.
        vendored: The distributions among them.
        lock: What else it needs.

    """

    root: Path
    source: Path
    vendored: payload.Vendored
    lock: Lock


def build(contents: Contents, architecture: Architecture, release: Release, output: Path) -> Path:
    """Make the package of an architecture; return its path."""
    root, debian = contents.root, contents.source / "packaging/debian"
    source_fields, fields = _paragraphs((debian / "control").read_text("utf-8"))
    libraries = _strip(root, architecture)
    documents = root / payload.DOCUMENTS
    _compress(documents / "changelog", changelog.debian(release, source_fields["Maintainer"]))
    own = (contents.source / "LICENSE").read_text("utf-8")
    (documents / "copyright").write_text(terms.copyright_file(own, contents.vendored.licences), "utf-8")
    for page in sorted((root / "usr/share/man").rglob("*.[1-8]")):
        _compress(page, page.read_text("utf-8"))
        page.unlink()

    files = sorted(path for path in root.rglob("*") if path.is_file())
    control = root / "DEBIAN"
    control.mkdir()
    sums = (
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}"
        for path in files
    )
    (control / "md5sums").write_text("".join(f"{line}\n" for line in sums))
    configuration = (path for path in files if path.is_relative_to(root / "etc"))
    (control / "conffiles").write_text("".join(f"/{path.relative_to(root)}\n" for path in configuration))
    depends = {
        "python": f"python3 (>= {PYTHONS[0]}), python3 (<< 3.{int(PYTHONS[-1].partition('.')[2]) + 1}~)",
        "vendored-by-debian": ", ".join(contents.lock.from_debian),
        "libraries": libraries,
    }
    binary = {
        "Package": fields["Package"],
        "Version": release.version,
        "Architecture": architecture.name,
        "Maintainer": source_fields["Maintainer"],
        "Installed-Size": str(sum(-(-path.stat().st_size // 1024) for path in files)),
        "Depends": re.sub(r"\$\{([a-z-]+)\}", lambda name: depends[name[1]], fields["Depends"]),
        **{name: fields[name] for name in ("Recommends", "Suggests")},
        **{name: source_fields[name] for name in ("Section", "Priority")},
        "Description": fields["Description"],
    }
    (control / "control").write_text("".join(f"{name}: {value}\n" for name, value in binary.items()), "utf-8")
    facts = _facts(root, contents.source / "packaging")
    for name in ("preinst", "postinst", "prerm", "postrm"):
        script = re.sub(r"@([a-z]+)@", lambda fact: facts[fact[1]], (debian / name).read_text("utf-8"))
        (control / name).write_text(script, "utf-8")
        (control / name).chmod(0o755)

    for path in (root, *root.rglob("*")):
        os.utime(path, (release.epoch, release.epoch))
    package = output / f"{fields['Package']}_{release.version}_{architecture.name}.deb"
    # One thread, for how many there are is seen in the compressed bytes.
    options = ("--root-owner-group", "-Zxz", "--threads-max=1")
    subprocess.run(["dpkg-deb", *options, "--build", root, package], check=True, stdout=subprocess.DEVNULL)
    return package


def write_test_tree(debian: Path, release: Release, directory: Path) -> None:
    """Write what autopkgtest wants of the source of a package."""
    target = directory / "debian"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(debian / "tests", target / "tests")
    shutil.copyfile(debian / "control", target / "control")
    maintainer = _paragraphs((debian / "control").read_text("utf-8"))[0]["Maintainer"]
    (target / "changelog").write_text(changelog.debian(release, maintainer), "utf-8")


def _paragraphs(text: str) -> list[dict[str, str]]:
    fields = (re.findall(r"(?m)^([A-Za-z-]+): (.*(?:\n .*)*)", part) for part in text.split("\n\n"))
    return [dict(each) for each in fields]


def _facts(root: Path, packaging: Path) -> Mapping[str, str]:
    """Return what the maintainer scripts have to know of the files."""
    units = [path.name for path in (root / "usr/lib/systemd/system").iterdir()]
    # A socket first: it would start its service again.
    stopped = sorted(units, key=lambda unit: (not unit.endswith(".socket"), unit == _SERVICE, unit))
    sysusers, tmpfiles = (sorted((root / f"usr/lib/{kind}.d").glob("*.conf")) for kind in ("sysusers", "tmpfiles"))
    users = {line.split()[1] for path in sysusers for line in path.read_text("utf-8").splitlines() if line[:2] == "u "}
    laid = [where for _, where in payload.listed(packaging) if not where.startswith("/")]
    return {
        "units": " ".join(sorted(units)),
        "stopped": " ".join(stopped),
        "sysusers": " ".join(path.name for path in sysusers),
        "tmpfiles": " ".join(path.name for path in tmpfiles),
        "users": " ".join(sorted(users)),
        "purged": " ".join(f"/{place}/{name}" for place in ("etc", "run", "var/lib") for name in _directories(root)),
        "laid": "\n".join(f"/usr/local/{where}" for where in ("bin/fleet-health", *laid)),
    }


def _directories(root: Path) -> list[str]:
    """Return the names of the directories that systemd makes for the units."""
    setting = re.compile(r"(?m)^(?:State|Runtime|Configuration|Cache|Logs)Directory=(.*)$")
    found = {
        name
        for unit in (root / "usr/lib/systemd/system").iterdir()
        for name in setting.findall(unit.read_text("utf-8"))
    }
    return sorted({name for names in found for name in names.split()})


def _strip(root: Path, architecture: Architecture) -> str:
    """Remove what nothing needs from the extension modules; return the dependency on the libraries that they need.

    Raises:
        SystemExit: A module needs a library that is not the C library's.

    """
    newest = (0, 0)
    for module in sorted(root.rglob("*.so")):
        subprocess.run(
            [f"{architecture.triplet}-strip", "--strip-unneeded", "--remove-section=.comment", module], check=True
        )
        told = subprocess.run(["readelf", "--wide", "-dV", module], check=True, capture_output=True, text=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", told)
        if strangers := [library for library in needed if not _LIBC.fullmatch(library)]:
            sys.exit(f"{module.name} needs {', '.join(strangers)}, and the package depends on nothing that has it")
        newest = max([newest, *((int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", told))])
    return f"libc6 (>= {newest[0]}.{newest[1]})"


def _compress(path: Path, text: str) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
