"""What is installed is what was locked, and the scripts run nothing that others have left where they are called."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).resolve().parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())
_GROUPS: dict[str, list[str]] = _PROJECT["dependency-groups"]

# Lock file -> the extras, or None if it is without what the package itself needs; and the dependency groups.
_LOCKS: dict[str, tuple[list[str] | None, list[str]]] = {
    "release": (["completion"], []),
    "plot": (["completion", "plot"], []),
    "apprise": (["apprise", "completion"], []),
    "demo": (["demo"], []),
    "tests": (["apprise", "completion", "demo", "plot"], ["dev", "pytest"]),
    "another-python": ([], ["pytest"]),
    "build": (None, ["build"]),
    "lock": (None, ["lock"]),
}
_BLOCK = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+?))? \\\n(?P<rest>(?: .*\n)+)", re.MULTILINE
)


def locked(name: str) -> list[re.Match[str]]:
    """Return the packages of a lock file; every line of it belongs to one, or is one of the heading."""
    text = (_ROOT / f"requirements/{name}.txt").read_text()
    rest = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    blocks = list(_BLOCK.finditer(rest))
    assert "".join(block[0] for block in blocks) == rest
    return blocks


def wanted(name: str) -> list[Requirement]:
    """Return what pyproject.toml asks for in this lock file."""
    extras, groups = _LOCKS[name]
    project: list[str] = [] if extras is None else _PROJECT["project"]["dependencies"]
    optional: dict[str, list[str]] = _PROJECT["project"]["optional-dependencies"]
    lists = [project, *(optional[extra] for extra in extras or ()), *(_GROUPS[group] for group in groups)]
    return [Requirement(text) for texts in lists for text in texts]


@pytest.mark.parametrize("python", ["3.11", "3.13"])
@pytest.mark.parametrize("name", sorted(_LOCKS))
def test_the_lock_follows_pyproject(name: str, python: str) -> None:
    """Each package that is asked for is locked once, at a version that is allowed, and nothing is that is no longer."""
    on = {"python_version": python, "python_full_version": f"{python}.0"}
    applying = [b for b in locked(name) if not b["marker"] or Marker(b["marker"]).evaluate(on)]
    versions = {block["name"]: block["version"] for block in applying}
    directly = {block["name"] for block in applying if "fleet-health (pyproject.toml" in block["rest"]}

    assert len(versions) == len(applying)
    for requirement in wanted(name):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not locked: run packaging/lock"
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked: run packaging/lock"
    assert directly == {canonicalize_name(requirement.name) for requirement in wanted(name)}, "run packaging/lock"


def test_the_build_is_locked() -> None:
    """What pyproject.toml wants for building the package is what the build tools' lock file has."""
    versions = {block["name"]: block["version"] for block in locked("build")}
    for text in _PROJECT["build-system"]["requires"]:
        assert Requirement(text).specifier.contains(versions[Requirement(text).name])


@pytest.mark.parametrize("name", sorted(_LOCKS))
def test_every_locked_package_has_hashes(name: str) -> None:
    """And the file names no place that packages come from: that is for whoever installs to choose."""
    text = (_ROOT / f"requirements/{name}.txt").read_text()

    for block in locked(name):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block["rest"]), block["name"]
    assert not re.search(r"https?:|file:|index-url|find-links|trusted-host", text)


def test_a_package_has_one_version_in_all_lock_files() -> None:
    """What is tested is what is installed."""
    tested = {(block["name"], block["version"]) for block in locked("tests")}
    for name in ("release", "plot", "apprise", "demo", "another-python"):
        assert {(block["name"], block["version"]) for block in locked(name)} <= tested


@pytest.mark.fault("S10", rig="pip with its real checks, and a package that was tampered with")
def test_S10_a_package_that_is_not_the_locked_one_is_not_installed(tmp_path: Path) -> None:
    """It has the locked name and version, and another hash."""
    block = next(block for block in locked("release") if block["name"] == "aiofiles")
    (tmp_path / f"aiofiles-{block['version']}-py3-none-any.whl").write_bytes(b"PK not what was locked")
    (tmp_path / "locked.txt").write_text(block[0])
    command = [sys.executable, "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "download", "--no-index"]
    command += ["--no-deps", "--require-hashes", f"--find-links={tmp_path}", f"--dest={tmp_path / 'taken'}"]
    command += ["--requirement", str(tmp_path / "locked.txt")]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert "DO NOT MATCH THE HASHES" in result.stderr


def _bill(*locks: str) -> tuple[str, dict[str, Any]]:
    installed = (f"requirements/{lock}.txt" for lock in locks)
    paths = ("packaging/sbom.py", "pyproject.toml", *installed, "requirements/build.txt")
    command = [sys.executable, "-I", *(str(_ROOT / path) for path in paths)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return text, json.loads(text)


@pytest.mark.parametrize("lock", ["release", "plot"])
def test_the_bill_of_materials_is_valid_and_complete(lock: str) -> None:
    """It is CycloneDX by its schema, has every locked package with all hashes, and is the same each time."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - together they take a second, in each process
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    text, bill = _bill(lock)
    required = {(c["name"], c["version"]): c for c in bill["components"] if c["scope"] == "required"}

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert set(required) == {(block["name"], block["version"]) for block in locked(lock)}
    for block in locked(lock):
        (files,) = required[block["name"], block["version"]]["externalReferences"]
        hashes = {entry["content"] for entry in files["hashes"]}
        assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", block["rest"]))
    excluded = {c["name"] for c in bill["components"] if c["scope"] == "excluded"}
    assert {"setuptools"} <= excluded
    assert _bill(lock)[0] == text


def test_the_bill_of_materials_has_all_extras() -> None:
    """Each package once, with all that need it."""
    _, bill = _bill("release", "plot", "apprise")
    components = [(c["name"], c["version"]) for c in bill["components"] if c["scope"] == "required"]
    needs = {entry["ref"].partition("@")[0]: entry["dependsOn"] for entry in bill["dependencies"]}

    assert sorted(components) == sorted(
        {(b["name"], b["version"]) for name in ("plot", "apprise") for b in locked(name)}
    )
    wanted_by_all = {canonicalize_name(one.name) for name in ("plot", "apprise") for one in wanted(name)}
    assert {re.sub(r"^pkg:pypi/(.*)@.*$", r"\1", purl) for purl in needs["pkg:generic/fleet-health"]} == wanted_by_all
    assert any(purl.startswith("pkg:pypi/urllib3@") for purl in needs["pkg:pypi/requests"])


def test_the_bill_of_materials_says_what_needs_what() -> None:
    """The package needs what pyproject.toml says, and matplotlib what it says itself."""
    _, bill = _bill("plot")
    needs = {entry["ref"].partition("@")[0]: entry["dependsOn"] for entry in bill["dependencies"]}

    directly = {re.sub(r"^pkg:pypi/(.*)@.*$", r"\1", purl) for purl in needs["pkg:generic/fleet-health"]}
    assert directly == {canonicalize_name(requirement.name) for requirement in wanted("plot")}
    assert any(purl.startswith("pkg:pypi/numpy@") for purl in needs["pkg:pypi/matplotlib"])


@pytest.mark.fault("S10", rig="a directory that somebody else fills")
@pytest.mark.parametrize("script", ["bootstrap", "demo", "run"])
def test_S10_the_scripts_run_nothing_out_of_the_current_directory(tmp_path: Path, script: str) -> None:
    """A checkout is prepared from within /tmp, where others have left modules and programs, with `.` in PATH."""
    checkout, strange, ran = tmp_path / "checkout", tmp_path / "strange", tmp_path / "ran"
    for name in ("packaging", "tests"):
        (checkout / name).mkdir(parents=True)
    for name in ("packaging/bootstrap.sh", "packaging/demo", "tests/run"):
        shutil.copy(_ROOT / name, checkout / name)
    strange.mkdir()
    for module in ("ensurepip", "importlib", "os", "re", "site", "sysconfig", "venv"):
        (strange / f"{module}.py").write_text(f"open({str(ran)!r}, 'a').write(__name__ + ' ')\n")
    for program in ("cat", "dirname", "gcc", "pkg-config", "python3", "realpath", "sha256sum", "unshare"):
        (strange / program).write_text(f"#!/bin/sh\necho {program} >>{ran}\nexit 1\n")
        (strange / program).chmod(0o755)
    careless = {**os.environ, "PATH": f":.:{os.environ['PATH']}", "PYTHON": "/usr/bin/python3", "HOME": str(tmp_path)}
    careless["TMPDIR"] = str(tmp_path)
    # There is no lock file, and nothing is installed: the preparations end once the interpreter has been looked at.
    commands: dict[str, list[str | Path]] = {
        "bootstrap": [checkout / "packaging/bootstrap.sh", "venv", checkout / ".venv-demo", "demo"],
        "demo": [checkout / "packaging/demo"],
        "run": [checkout / "tests/run", "--version"],
    }
    subprocess.run(
        commands[script], cwd=strange, env=careless, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )

    assert not ran.exists(), ran.read_text()
