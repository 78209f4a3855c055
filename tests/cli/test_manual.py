"""The manual pages, as the tools that show and check them see them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fleet_health.cli.commands.manual import EXAMPLES
from fleet_health.cli.docs.configuration_manual import EXAMPLES as CONFIGURATIONS
from fleet_health.cli.docs.configuration_manual import configuration_page
from fleet_health.cli.docs.roff import prose
from fleet_health.cli.docs.tree import all_parsers, arguments
from fleet_health.cli.main import build_parser
from fleet_health.config.destinations.registry import TYPES
from fleet_health.config.destinations.shared import COMMON
from fleet_health.config.loading import load
from fleet_health.config.schema import KEYS, QUIET_KEYS

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
NAMES = ["fleet-health.1", "fleet-health-config.5"]
# The version stands for it: a date would be that of the build, and each build another page.
NO_DATE = 'WARNING: missing date, using "": TH'


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the pages, written as the installer does it."""
    directory = tmp_path_factory.mktemp("pages")
    subprocess.run([sys.executable, "-m", "fleet_health.cli.setup.made", EXAMPLE, directory], check=True)
    return directory


def shown(page: Path, *, locale: str = "C.UTF-8", width: int = 80) -> str:
    """Return a page as man shows it, and check that man reports no warning."""
    environment = {**os.environ, "LC_ALL": locale, "MANWIDTH": str(width), "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        ["man", "--warnings", "-l", page], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("name", NAMES)
def test_man_shows_it_without_a_warning(name: str, locale: str, pages: Path) -> None:
    """Every line fits, even on a plain terminal."""
    lines = shown(pages / name, locale=locale).splitlines()

    assert lines[-1].startswith(f"fleet-health {version('fleet-health')} ")
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("name", NAMES)
def test_mandoc_has_no_complaint(name: str, pages: Path) -> None:
    """From warnings on. Style notes are ignored: they only ask for short lines of input."""
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", pages / name], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stdout.splitlines() if not line.endswith(NO_DATE)] == []
    assert done.stderr == ""


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_found_by_what_it_is_about(name: str, pages: Path) -> None:
    """`apropos` finds its name and its purpose."""
    found = subprocess.run(["lexgrog", pages / name], capture_output=True, text=True, check=True).stdout

    assert f'"{name.rpartition(".")[0]} - ' in found


def test_every_command_and_option_is_explained(pages: Path) -> None:
    """Each command has a section with all of its arguments and their help."""
    text = shown(pages / NAMES[0], width=5000)

    for parser in list(all_parsers(build_parser()))[1:]:
        _, _, rest = text.partition(f"\n   {parser.prog}\n")
        part = rest.partition("\n   fleet-health ")[0].partition("\nEXAMPLES")[0]
        for said in (parser.description or "", parser.epilog or ""):
            assert said.replace("`", "").replace("…", "...") in part
        for action in arguments(parser):
            tags = action.option_strings or [str(action.metavar or ",".join(action.choices or [action.dest]))]
            assert [tag for tag in tags if tag not in part] == []
            assert (action.help or "").partition("%")[0].replace("`", "").replace("…", "...") in part


def test_choices_are_listed(pages: Path) -> None:
    """They are listed even if the usage shows a placeholder for them."""
    text = shown(pages / NAMES[0], width=1000)

    assert "--log-level {debug,info,warning,error}" in text
    assert "only this symptom; one of blind, degraded, fatal-only, " in text
    assert "flapping, pending, lost, well\n" in text  # which is in the explanation itself
    assert "well; one of" not in text


def test_every_key_is_explained_with_its_default(pages: Path) -> None:
    """Each has its full name, its type and its default, as it is written in a file."""
    text = shown(pages / NAMES[1], width=1000)
    settings, _, lists = text.partition("\n   [[overrides]]\n")

    for key, entry in KEYS.items():
        default = entry.default
        written = f"'{default}'" if "\\" in str(default) else json.dumps(default)
        said = "Off by default; for example " if default is None else f"Default: {written}\n"
        # A short key has its explanation behind it, a long one below it.
        *_, part = re.split(rf"\n       {re.escape(key)}[ \n]", settings, maxsplit=1)
        assert part != settings, key
        assert said in part.partition("\n\n")[0] + "\n", key
    assert [key for key in (*QUIET_KEYS, *COMMON) if not re.search(rf"\n       {key}[ \n]", lists)] == []
    for name, spec in TYPES.items():
        _, _, own = lists.partition(f'\n   [[destinations]], type = "{name}"\n')
        assert [key for key in spec.keys if not re.search(rf"\n       {key}[ \n]", own)] == []


def test_the_examples_are_commands_that_there_are(pages: Path) -> None:
    """The parser accepts each example as it is printed."""
    text = shown(pages / NAMES[0], width=200)

    for _, line in EXAMPLES:
        assert f" {line}\n" in text
        program, *words = shlex.split(line.partition(" >")[0])
        if program == "fleet-health":
            build_parser().parse_args(words)


def test_the_example_configurations_are_good(pages: Path, tmp_path: Path) -> None:
    """They are valid, and can be copied from the page."""
    text = shown(pages / NAMES[1], width=200)

    for example in CONFIGURATIONS.values():
        (tmp_path / "config.toml").write_text(example)
        load(tmp_path / "config.toml")
        assert all(line in text for line in example.splitlines())


def test_what_the_example_lacks_is_noticed() -> None:
    """So is a line that is neither a comment nor a setting."""
    text = EXAMPLE.read_text()

    with pytest.raises(ValueError, match=r"lacks hosts\.limit$"):
        configuration_page(text.replace("limit = 10000\n", ""), "fleet-health 0")
    with pytest.raises(ValueError, match="neither a comment nor a setting: what"):
        configuration_page(text.replace("limit = 10000\n", "what\nlimit = 10000\n"), "fleet-health 0")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a-b `--c` d", r"a\-b \fB\-\-c\fR d"),
        (r"\d 'x'", r"\ed \(aqx\(aq"),
        (".TH is no request", r"\&.TH is no request"),
        ("é …", r"\[u00E9] ..."),
    ],
)
def test_nothing_in_a_text_is_taken_for_roff(text: str, made: str) -> None:
    """Every character is shown as it is."""
    assert prose(text) == made
