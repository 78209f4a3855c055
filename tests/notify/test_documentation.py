"""What the documents show of destinations is right."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.destinations.registry import TYPES
from fleet_health.config.loading import load
from fleet_health.notify.destinations.registry import build
from fleet_health.notify.payload import payload
from tests.rig.destinations import message

if TYPE_CHECKING:
    from fleet_health.config.destinations.reading import DestinationSettings

ROOT = Path(__file__).parents[2]
NOTIFICATIONS = (ROOT / "packaging/doc/notifications.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the code of a language in the document."""
    return re.findall(rf"^```{language}\n(.*?)^```", NOTIFICATIONS, re.DOTALL | re.MULTILINE)


def destinations(directory: Path, text: str) -> tuple[DestinationSettings, ...]:
    """Return the destinations of a configuration."""
    path = directory / "config.toml"
    path.write_text(text)
    return load(path).destinations


def written_by_the_readme() -> str:
    """Return what its command appends to the configuration."""
    (line,) = re.findall(
        r"^# (printf .*) >>/etc/fleet-health/config.toml$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("example", [*blocks("toml"), written_by_the_readme()])
def test_an_example_is_a_destination(example: str, tmp_path: Path) -> None:
    """Every example can be copied into a configuration."""
    (destination,) = destinations(tmp_path, example)

    build(destination).close()


def test_each_type_has_an_example() -> None:
    """Every type has an example under a heading of its name."""
    shown = {tomllib.loads(example)["destinations"][0]["type"] for example in blocks("toml")}

    assert shown == set(TYPES)
    assert [name for name in TYPES if f"\n## {name}\n" not in NOTIFICATIONS] == []


def test_the_document_is_that_of_a_webhook() -> None:
    """The example has all keys of the document, in order and with the right types."""
    (block,) = blocks("json")
    shown, sent = json.loads(block), payload(message())

    def kinds(document: dict[str, Any]) -> list[tuple[str, type]]:
        return [(key, type(value)) for key, value in document.items()]

    assert kinds(shown) == kinds(sent)


def test_all_examples_are_good_together(tmp_path: Path) -> None:
    """No two examples have the same name."""
    assert len(destinations(tmp_path, "\n".join(blocks("toml")))) == len(blocks("toml"))
