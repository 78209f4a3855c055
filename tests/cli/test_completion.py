"""Completion, in real shells."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.docs.tree import all_parsers, arguments
from fleet_health.cli.main import build_parser
from fleet_health.records.journal_sink import MESSAGE_IDS
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.conftest import RunCommand

# An interactive zsh on a terminal of its own completes the line, and a widget writes down what became of it.
IN_ZSH = r"""
zmodload zsh/zpty
zpty shell "PS1= zsh -f -i"
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; cd $1"
zpty -w shell "told() { zle complete-word; print -r -- \"\$BUFFER\" >$1/told; exit }; zle -N told; bindkey '^T' told"
zpty -w shell "print rea''dy"
zpty -r shell seen '*ready*'
zpty -w -n shell "$2"$'\x14'
while zpty -r shell seen; do :; done
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory, run_command: RunCommand) -> Path:
    """A directory with the scripts that the command prints, named as each shell expects, and a file to complete."""
    directory = tmp_path_factory.mktemp("completion")
    for shell, name in (("bash", "fleet-health"), ("zsh", "_fleet-health")):
        (directory / name).write_text(run_command("completion", shell).stdout)
    (directory / "fleet.toml").touch()
    return directory


def in_bash(scripts: Path, *lines: Sequence[str]) -> list[set[str]]:
    """Return what bash offers for the last word of each line."""
    code = ". ./fleet-health; offer=$(complete -p fleet-health | sed 's/.* -F \\([^ ]*\\) .*/\\1/')\n"
    for words in lines:
        line = " ".join(shlex.quote(word) for word in ("fleet-health", *words))
        code += f'COMPREPLY=(); COMP_WORDS=({line}); COMP_CWORD={len(words)}; $offer; echo "${{COMPREPLY[*]}}"\n'
    done = subprocess.run(
        ["bash", "-c", code], cwd=scripts, capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert done.stderr == ""
    return [set(offered.split()) for offered in done.stdout.splitlines()]


def in_zsh(scripts: Path, line: str) -> str:
    """Return how zsh completes a line."""
    told = scripts / "told"
    told.unlink(missing_ok=True)
    subprocess.run(
        ["zsh", "-f", "-c", IN_ZSH, "zsh", scripts, line],
        env={**os.environ, "TERM": "dumb"},
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return told.read_text().rstrip("\n")


def test_bash_offers_every_option_of_every_command(scripts: Path) -> None:
    """It offers all options of the command, and none of another one."""
    parsers = list(all_parsers(build_parser()))
    options = [{option for action in arguments(parser) for option in action.option_strings} for parser in parsers]

    assert in_bash(scripts, *([*parser.prog.split()[1:], "-"] for parser in parsers)) == options


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ([""], set(SUMMARIES)),
        (["co"], {"config", "completion"}),
        (["config", ""], {"check", "show"}),
        (["silence", ""], {"list", "expire"}),
        (["silence", "pi-*", "--symptom", ""], set(MESSAGE_IDS)),
        (["silence", "pi-*", "--symptom", "receiver"], {"receiver-down", "receiver-failing"}),
        (["silence", "pi-*", "--for", ""], set()),
        (["check", "--log-level", ""], {"debug", "info", "warning", "error"}),
        (["check", "--json", "--log-level", "w"], {"warning"}),
        (["run", "--config", "fleet."], {"fleet.toml"}),
        (["replay", "--diff", "fleet."], {"fleet.toml"}),
        (["patterns", "fleet."], {"fleet.toml"}),
        (["check", "--journal-directory", "fleet."], set()),
        (["completion", ""], {"bash", "zsh"}),
    ],
)
def test_bash_completes(words: list[str], offered: set[str], scripts: Path) -> None:
    """It completes commands, choices and files, each in its place."""
    assert in_bash(scripts, words) == [offered]


def test_zsh_can_read_it(scripts: Path) -> None:
    """The script has no syntax error."""
    subprocess.run(["zsh", "-n", scripts / "_fleet-health"], check=True)


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("fleet-health sil", "fleet-health silence "),
        ("fleet-health config sh", "fleet-health config show "),
        ("fleet-health check --dry", "fleet-health check --dry-run "),
        ("fleet-health check --log-level w", "fleet-health check --log-level warning "),
        ("fleet-health silence pi-3 --symptom fat", "fleet-health silence pi-3 --symptom fatal-only "),
        ("fleet-health silence li", "fleet-health silence list "),
        ("fleet-health run --config fleet.", "fleet-health run --config fleet.toml "),
        ("fleet-health replay --diff fleet.", "fleet-health replay --diff fleet.toml "),
        ("fleet-health nonsen", "fleet-health nonsen"),
    ],
)
def test_zsh_completes(line: str, completed: str, scripts: Path) -> None:
    """It completes commands, choices and files, on a terminal."""
    assert in_zsh(scripts, line) == completed


def test_without_the_library_it_says_what_to_install() -> None:
    """The library is an optional dependency."""
    code = (
        "import importlib.util as u; find = u.find_spec;"
        " u.find_spec = lambda name: None if name == 'shtab' else find(name);"
        " from fleet_health.__main__ import main; raise SystemExit(main(['completion', 'bash']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'fleet-health[completion]'" in done.stderr


def test_no_other_shell_is_promised(run_command: RunCommand) -> None:
    """Another shell is refused by name."""
    done = run_command("completion", "fish")

    assert done.status == 2
    assert "'fish'" in done.stderr
