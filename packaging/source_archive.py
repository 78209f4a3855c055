"""Make the source archive of a checkout, with nothing in it that depends on when and where it is made.

    python -I packaging/source_archive.py CHECKOUT DIRECTORY

It is what setuptools makes, with the time of SOURCE_DATE_EPOCH, sorted, and owned by nobody in particular.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from setuptools import build_meta


def main(checkout: Path, directory: Path) -> None:
    """Write it into a directory."""
    os.chdir(checkout)
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    with tempfile.TemporaryDirectory() as made:
        name = build_meta.build_sdist(made)
        archive = io.BytesIO()
        with tarfile.open(Path(made) / name) as old, tarfile.open(fileobj=archive, mode="w") as new:
            for member in sorted(old.getmembers(), key=lambda member: member.name):
                member.uid = member.gid = 0
                member.uname = member.gname = "root"
                member.mtime = epoch
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                member.pax_headers = {}
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    (directory / name).write_bytes(gzip.compress(archive.getvalue(), mtime=0))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
