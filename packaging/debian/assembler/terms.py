"""The file `copyright`: on what terms each part of the package may be used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from payload import Licence

_COMMON = {"Apache-2.0": "Apache License Version 2.0", "MPL-2.0": "Mozilla Public License Version 2.0"}
"""What each Debian has in /usr/share/common-licenses -> the first words of its text."""


def copyright_file(own: str, licences: Sequence[Licence]) -> str:
    """Return it, in Debian's machine-readable format, with the text of each licence as its authors give it."""
    head = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: fleet-health\n"
        "Comment: Below /usr/lib/fleet-health are other projects too, as their authors have published them."
    )
    parts = [head, *_paragraph("*", [own], "The fleet-health maintainers", "Expat")]
    for licence in licences:
        files = " ".join(f"usr/lib/fleet-health/{name}{'' if name.endswith('.py') else '/*'}" for name in licence.files)
        parts += _paragraph(files, licence.texts, licence.author, f"{licence.name}-{licence.version}")
    return "\n\n".join(parts) + "\n"


def _paragraph(files: str, texts: Sequence[str], author: str, name: str) -> Iterator[str]:
    lines = [" ".join(line.split()) for text in texts for line in text.splitlines()]
    found = [re.fullmatch(r"(?i)(?:copyright (?:\(c\)|©) ?|copyright (?=\d))(.+)", line) for line in lines]
    holders = list(dict.fromkeys(holder[1] for holder in found if holder and "[" not in holder[1])) or [author]
    body = "\n\n".join(_where_debian_has_it(text) or text.strip() for text in texts)
    quoted = "\n".join(f" {line.rstrip()}" if line.strip() else " ." for line in body.splitlines())
    yield f"Files: {files}\nCopyright: {f'{chr(10)}           '.join(holders)}\nLicense: {name}\n{quoted}"


def _where_debian_has_it(text: str) -> str:
    """Return what stands for a licence that every Debian system has, else nothing."""
    start = " ".join(text.split())[:200]
    common = next((name for name, words in _COMMON.items() if start.startswith(words)), "")
    return common and f"On Debian systems the text is in /usr/share/common-licenses/{common}."
