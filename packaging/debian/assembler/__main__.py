"""Assemble the Debian packages of a checkout; `packaging/debian/build` calls it with the Python that builds wheels.

    python -I packaging/debian/assembler CHECKOUT WORK OUTPUT ARCHITECTURE…

WORK is an empty directory that nobody else can write. Nothing of what is made depends on the time, on WORK, or on the
machine, but for the wording of the manual pages, which Python's argparse decides.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import architectures
import changelog
import deb
import payload
import wheels


def main(checkout: Path, work: Path, output: Path, names: list[str]) -> None:
    """Build a package for each of some architectures, and print where it is."""
    release = changelog.read_release(checkout)
    os.environ["SOURCE_DATE_EPOCH"] = str(release.epoch)
    lock = wheels.Lock.read(checkout / "requirements/release.txt")
    source = payload.copy_source(checkout, work / "source")
    (work / "lock.txt").write_text(lock.vendored)
    own = wheels.build(source, work / "own")

    here = architectures.of_this_machine()
    trees = {}
    for architecture in {here.name: here, **{name: architectures.ARCHITECTURES[name] for name in names}}.values():
        found = wheels.fetch(work / "lock.txt", architecture, work / "wheels" / architecture.name)
        trees[architecture.name] = payload.Vendored.unpack([*found, *own], work / "trees" / architecture.name)
    made = payload.make(source, trees[here.name], work / "lock.txt", work / "made")

    output.mkdir(parents=True, exist_ok=True)
    for name in names:
        architecture = architectures.ARCHITECTURES[name]
        root = payload.lay(source, trees[name], made, work / "roots" / name)
        contents = deb.Contents(root, source, trees[name], lock)
        package = deb.build(contents, architecture, release, output)
        sys.stdout.write(f"{package}\n")
    deb.write_test_tree(source / "packaging/debian", release, output / "autopkgtest")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4:])
