"""The documents link to each other, and the links lead somewhere."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALLED = sorted((ROOT / "packaging/doc").glob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *INSTALLED]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as the usual renderers of Markdown make them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """Each relative link names a file that is there, and a heading that is in it."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", document.read_text())

    for path, anchor in links:
        target = document.parent / path if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("document", INSTALLED, ids=lambda path: path.name)
def test_the_installed_documents_are_complete(document: Path) -> None:
    """Each document is installed and linked from the README; its own links also work where it is installed."""
    name = f"doc/{document.name}"
    rules = [line.split() for line in (ROOT / "packaging/files").read_text().splitlines() if line[:1] not in {"", "#"}]
    installed = [where for what, where in rules if fnmatchcase(name, what)]
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text())

    assert installed == ["share/doc/fleet-health/"]
    assert f"](packaging/{name}" in (ROOT / "README.md").read_text()
    assert set(links) <= {path.name for path in INSTALLED}
