"""Print the software bill of materials of a release, as CycloneDX JSON.

    python -I packaging/sbom.py pyproject.toml requirements/release.txt requirements/build.txt

It says what is installed (all lock files but the last) and what it is built with (the last one; scope `excluded`), each
with its version, its package URL and the hashes of its files, and what needs what. It is made from these files alone:
the same files give the same bytes, on any machine, at any time.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\]*?))?(?: *\\)?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_PARENT = re.compile(r"^ +#(?: via)? +(?!-c )(?P<name>[A-Za-z0-9._-]+)")


@dataclass(frozen=True)
class Pin:
    """One locked package.

    Attributes:
        name: as the package index spells it, normalized.
        version: the only one that is installed.
        marker: the environments it is installed in; empty means all.
        hashes: SHA-256 of each of its files, any of which may be installed.
        parents: the packages that need it.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    parents: frozenset[str]

    @property
    def purl(self) -> str:
        """The package URL, which identifies it everywhere."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[Pin]:
    """Return the packages of a lock file that packaging/lock has written, in its order.

    Raises:
        ValueError: A package has no exact version or no hash.

    """
    blocks = re.split(r"(?m)^(?=[^\s#])", re.sub(r"(?m)^#.*\n", "", text))
    return [_read_pin(block) for block in blocks if block.strip()]


def united(pins: Iterable[Pin]) -> list[Pin]:
    """Return the packages of several lock files, each once, with all that need it."""
    found: dict[str, Pin] = {}
    for pin in pins:
        parents = pin.parents | (found[pin.purl].parents if pin.purl in found else frozenset())
        found[pin.purl] = replace(pin, parents=parents)
    return list(found.values())


def _read_pin(block: str) -> Pin:
    first, *rest = block.splitlines()
    pin, hashes = _PIN.match(first), tuple(_HASH.findall(block))
    if pin is None or not hashes:
        raise ValueError(f"expected NAME==VERSION and hashes, found: {first}")
    parents = (_PARENT.match(line) for line in rest)
    return Pin(
        pin["name"],
        pin["version"],
        (pin["marker"] or "").strip(),
        hashes,
        frozenset(parent["name"] for parent in parents if parent and parent["name"] != "via"),
    )


def bill_of_materials(project: dict[str, Any], installed: list[Pin], built_with: list[Pin]) -> dict[str, Any]:
    """Return the CycloneDX document of a project, from the `[project]` table and its lock files."""
    name, version = project["name"], project["version"]
    root = f"pkg:generic/{name}@{version}"
    needed = {pin.purl for pin in installed}
    build_only = [pin for pin in built_with if pin.purl not in needed]
    pins = sorted([*installed, *build_only], key=lambda pin: pin.purl)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "version": version,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            },
        },
        "components": [_component(pin, "required" if pin.purl in needed else "excluded") for pin in pins],
        "dependencies": [
            {"ref": root, "dependsOn": _needed_by(name, installed)},
            *({"ref": pin.purl, "dependsOn": _needed_by(pin.name, pins)} for pin in pins),
        ],
    }


def _component(pin: Pin, scope: str) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "scope": scope,
        "purl": pin.purl,
        # One for each file of the version; which of them is installed depends on the machine.
        "externalReferences": [
            {
                "type": "distribution",
                "url": pin.purl,
                "hashes": [{"alg": "SHA-256", "content": content} for content in sorted(pin.hashes)],
            }
        ],
    }
    if pin.marker:
        component["properties"] = [{"name": "fleet-health:marker", "value": pin.marker}]
    return component


def _needed_by(name: str, pins: Iterable[Pin]) -> list[str]:
    return sorted(pin.purl for pin in pins if name in pin.parents)


def main(arguments: list[str] | None = None) -> int:
    """Print the document; return the exit status."""
    parser = argparse.ArgumentParser(description="Print a release's bill of materials as CycloneDX JSON.")
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("installed", type=Path, nargs="+")
    parser.add_argument("built_with", type=Path)
    paths = parser.parse_args(arguments)
    project = tomllib.loads(paths.pyproject.read_text("utf-8"))["project"]
    installed = united(pin for path in paths.installed for pin in read_lock(path.read_text("utf-8")))
    document = bill_of_materials(project, installed, read_lock(paths.built_with.read_text("utf-8")))
    json.dump(document, sys.stdout, indent=2, sort_keys=False)
    print()  # noqa: T201 - the document ends with a line's end
    return 0


if __name__ == "__main__":
    sys.exit(main())
