"""What is in a package: the program with what it needs, and the files of packaging/files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

_DIST_PACKAGES = "/usr/lib/python3/dist-packages"
"""Where Debian has what is not vendored."""

PRIVATE = "usr/lib/fleet-health"
DOCUMENTS = "usr/share/doc/fleet-health"

_SOURCES = (
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "config.example.toml",
    "fleet_health",
    "packaging",
    "pyproject.toml",
    "requirements",
)
_PLACED = "fleet_health/system/"
"""What dpkg puts in place itself; a wheel has it for `fleet-health install-units`."""
# What is elsewhere than with install.sh, or said otherwise.
_REPLACED = {
    "/opt/fleet-health/current/bin/fleet-health": "/usr/bin/fleet-health",
    "/usr/local/share/doc/fleet-health": f"/{DOCUMENTS}",
    "run packaging/install.sh --with-plot from a checkout, as root": "apt install python3-matplotlib",
    "run packaging/install.sh --with-apprise from a checkout, as root": "apt install apprise",
    "packaging/install.sh --with-plot": "apt install python3-matplotlib",
    "packaging/install.sh --with-apprise": "apt install apprise",
    "pip install 'fleet-health[demo]'": "run packaging/demo in a checkout instead",
}
_NOT_REPLACED = ("packaging/debian", "packaging/install.sh")
_TEXT = {"", ".catalog", ".conf", ".json", ".md", ".py", ".service", ".socket", ".toml"}
# Where Debian's zsh looks.
_MOVED = {"share/zsh/site-functions/": "share/zsh/vendor-completions/"}


def copy_source(checkout: Path, target: Path) -> Path:
    """Copy a checkout, with the paths of a package in it."""
    target.mkdir()
    for name in _SOURCES:
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(checkout / name, target / name)
    for path in target.rglob("*"):
        is_left = any(path.is_relative_to(target / name) for name in _NOT_REPLACED)
        if path.is_file() and path.suffix in _TEXT and not is_left:
            text = path.read_text("utf-8")
            for old, new in _REPLACED.items():
                text = text.replace(old, new)
            path.write_text(text, "utf-8")
    return target


@dataclass(frozen=True)
class Licence:
    """On what terms a vendored distribution may be used.

    Attributes:
        name: The distribution.
        version: Its version.
        files: What of it is in the package, below `PRIVATE`.
        author: Who made it.
        licence: The name of the licence.
        texts: The licence itself, and what else it asks to be kept with it.

    """

    name: str
    version: str
    files: tuple[str, ...]
    author: str
    licence: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Vendored:
    """A directory of Python packages for one architecture and several versions of Python.

    Attributes:
        directory: Where it is.
        licences: Those of its distributions, by their names.

    """

    directory: Path
    licences: tuple[Licence, ...]

    @classmethod
    def unpack(cls, wheels: list[Path], directory: Path) -> Vendored:
        """Unpack wheels into one directory; those of one distribution are for several versions of Python.

        Raises:
            SystemExit: Two wheels have different files under one name, or one has something that belongs elsewhere.

        """
        files: dict[str, bytes] = {}
        for wheel in wheels:
            with ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if not name.endswith("/") and not name.startswith(_PLACED):
                        _add(files, name, archive.read(name), wheel)
        licences = tuple(_licences(files))
        for name, content in files.items():
            if not _is_licence(name):
                path = directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return cls(directory, licences)


def _add(files: dict[str, bytes], name: str, content: bytes, wheel: Path) -> None:
    top = PurePosixPath(name).parts[0]
    if top.endswith(".data"):
        sys.exit(f"{wheel.name}: there is no place in the package for {name}")
    if top.endswith(".dist-info"):
        if name.endswith("/RECORD"):
            # Not true of what is merged, and pip must not remove it anyway.
            return
        if name.endswith("/WHEEL") and name in files:
            tags = [line for line in content.splitlines(keepends=True) if line.startswith(b"Tag:")]
            content = files.pop(name).rstrip(b"\n") + b"\n" + b"".join(tags)
    if files.setdefault(name, content) != content:
        sys.exit(
            f"{wheel.name}: {name} is not the same as in the wheel for another Python; they cannot be side by side"
        )


def _is_licence(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[0].endswith(".dist-info") and bool(re.match(r"(?i)licen[cs]e|copying|notice|authors", parts[-1]))


def _licences(files: dict[str, bytes]) -> list[Licence]:
    found = []
    for name in sorted(name for name in files if name.endswith(".dist-info/METADATA")):
        own = name.rpartition("/")[0]
        fields = dict(re.findall(r"(?m)^([A-Za-z-]+): (.*)$", files[name].decode().partition("\n\n")[0]))
        if fields["Name"] == "fleet-health":
            continue
        texts = [files[each].decode() for each in sorted(files) if each.startswith(f"{own}/") and _is_licence(each)]
        if not texts:
            sys.exit(f"{fields['Name']} {fields['Version']} has no licence in its wheel")
        tops = {PurePosixPath(each).parts[0] for each in files}
        stem = own.removesuffix(".dist-info").rpartition("-")[0]
        mine = [top for top in (stem, f"{stem}.py") if top in tops]
        if not mine:
            sys.exit(f"{fields['Name']} {fields['Version']} has no package of its name")
        found.append(
            Licence(
                name=fields["Name"],
                version=fields["Version"],
                files=(*mine, own),
                author=fields.get("Author")
                or fields.get("Author-email", "").partition(" <")[0].strip('"')
                or fields["Name"],
                licence=fields.get("License-Expression") or fields.get("License") or "",
                texts=tuple(texts),
            )
        )
    return found


def make(source: Path, native: Vendored, lock: Path, directory: Path) -> Path:
    """Make what install.sh makes as well: manual pages, completion, bill of materials."""
    directory.mkdir()
    example = source / "config.example.toml"
    code = (
        f"import sys; sys.path[:] = [{str(native.directory)!r}, *sys.path, {_DIST_PACKAGES!r}]\n"
        "from fleet_health.cli.setup.made import write_made; from pathlib import Path\n"
        f"write_made(Path({str(example)!r}), Path({str(directory)!r}))"
    )
    # argparse breaks lines as wide as the terminal is.
    environment = {"COLUMNS": "80", "LC_ALL": "C.UTF-8"}
    subprocess.run([sys.executable, "-I", "-B", "-S", "-c", code], check=True, env=environment)
    script = source / "packaging/sbom.py"
    arguments = [source / "pyproject.toml", lock, source / "requirements/build.txt"]
    bill = subprocess.run([sys.executable, "-I", script, *arguments], check=True, capture_output=True, text=True).stdout
    json.loads(bill)
    (directory / "sbom.cdx.json").write_text(bill, "utf-8")
    return directory


def listed(packaging: Path) -> list[tuple[str, str]]:
    """Return what packaging/files lists, with its globs expanded: a path in packaging/ or made/, and where it goes."""
    pairs = []
    for line in (packaging / "files").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        what, where = line.split()
        names = [what]
        if "*" in what:
            names = sorted(str(path.relative_to(packaging)) for path in packaging.glob(what))
        pairs += [(name, where + name.rpartition("/")[2] if where.endswith("/") else where) for name in names]
    return pairs


def lay(source: Path, vendored: Vendored, made: Path, root: Path) -> Path:
    """Lay the files of a package into a directory, as they will be below /; all but Debian's own."""
    packaging = source / "packaging"
    shutil.copytree(vendored.directory, root / PRIVATE)
    for what, where in listed(packaging):
        for old, new in _MOVED.items():
            where = where.replace(old, new)  # noqa: PLW2901 - Debian's place of it
        _put(made / what.removeprefix("made/") if what.startswith("made/") else packaging / what, root, where)
    _put(packaging / "default-config.toml", root, "/etc/fleet-health/config.toml")
    debian = packaging / "debian"
    _put(debian / "launcher", root, "bin/fleet-health", mode=0o755)
    _put(debian / "fleet-health.rtupdate", root, "share/python3/runtime.d/fleet-health.rtupdate", mode=0o755)
    _put(debian / "lintian-overrides", root, "share/lintian/overrides/fleet-health")
    return root


def _put(source: Path, root: Path, where: str, *, mode: int = 0o644) -> None:
    target = root / where.lstrip("/") if where.startswith("/") else root / "usr" / where
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)
