"""The command line itself: which commands there are, and what it says of them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.cli.main import build_parser
from fleet_health.cli.main import run_command as run_command_line
from tests.rig.service_process import plain_environment

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_each_command_explains_itself(command: str, run_command: RunCommand) -> None:
    """`--help` of a command names its options, with exit status 0."""
    done = run_command(command, "--help")

    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: fleet-health {command} ")


def test_the_program_names_its_commands(run_command: RunCommand) -> None:
    """`--help` alone lists all commands."""
    done = run_command("--help")

    assert done.status == 0
    assert all(f"    {command} " in done.stdout for command in ("run", "check", "demo"))


def test_every_option_of_check_is_explained(run_command: RunCommand) -> None:
    """The help has every option that scripts rely on."""
    shown = run_command("check", "--help").stdout
    options = (
        "--config --index-path --alerts-path --journal-directory --lookback-hours --silent-threshold-min"
        " --recent-window-min --fatal-ratio-threshold --fatal-min-count --log-level --now --json --dry-run"
    )

    assert [option for option in options.split() if option not in shown] == []


@pytest.mark.parametrize("arguments", [[], ["watch"], ["run", "--no-such-option"], ["run", "extra"]])
def test_what_is_no_command_is_refused(arguments: list[str], run_command: RunCommand) -> None:
    """The usage is on stderr, and the exit status is 2."""
    done = run_command(*arguments)

    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: fleet-health")


def test_it_knows_its_version(run_command: RunCommand) -> None:
    """It prints the version of the installed package."""
    assert run_command("--version").stdout == f"fleet-health {version('fleet-health')}\n"


def test_a_reader_that_leaves_early_is_no_error(site: Site) -> None:
    """`check | head` shows its first lines and no traceback."""
    site.upload(*(f"quiet-{number}" for number in range(3_000)), minutes_ago=45)
    site.upload("well")
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet_health", "check", "--dry-run", "--config", site.config],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    process.wait()

    assert first == b"quiet-0: silent\n"
    assert "Traceback" not in said
    assert "Exception ignored" not in said


def test_the_service_does_not_load_what_only_other_commands_need() -> None:
    """On a small machine, every import costs memory and time."""
    code = (
        "import sys; from fleet_health.cli.main import build_parser; build_parser(['run']);"
        " print([name for name in ('uvicorn', 'fleet_health.cli.commands.demo', 'fleet_health.cli.commands.check')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_closed_stdin_is_an_empty_one(site: Site) -> None:
    """Supervisors may start a program without stdin."""
    command = [sys.executable, "-m", "fleet_health", "patterns", "--config", str(site.configure()), "-"]
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *command], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("0 lines\n")


def shell(site: Site, redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Try the patterns on a line with letters of several scripts, in a shell."""
    site.configure()
    lines = site.directory / "lines"
    lines.write_text('"PUT /v1/episodes/a/b HTTP/1.1" 201\nzoë 日本\n', encoding="utf-8")
    command = [sys.executable, "-m", "fleet_health", "patterns", "--config", str(site.config), str(lines)]
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command],
        env={**plain_environment(), **environment},
        capture_output=True,
        text=True,
        encoding="latin-1",
        check=False,
    )


def test_that_there_is_no_room_for_the_output_is_said(site: Site) -> None:
    """A full disk is reported, with an exit status that does not mean a finding."""
    done = shell(site, ">/dev/full")

    assert (done.returncode, done.stderr) == (74, "stdout cannot be written: No space left on device\n")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_who_wants_the_exit_status_alone_may_close_the_rest(redirection: str, site: Site) -> None:
    """With stdout closed, the exit status is the same, and nothing is written elsewhere."""
    done = shell(site, redirection)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "zo\\xeb \\u65e5\\u672c"), ("latin-1", "zoë \\u65e5\\u672c")]
)
def test_letters_that_a_terminal_has_not_are_escaped(encoding: str, shown: str, site: Site) -> None:
    """Host names and lines may have any characters; those that the encoding lacks are escaped."""
    done = shell(site, "", PYTHONIOENCODING=encoding)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"such as {shown}\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["statsu"], "did you mean `fleet-health status`?\n"),
        (["version"], "did you mean `--version`?\n"),
        (["--verson"], "did you mean `--version`?\n"),
        (["notify", "stats"], "did you mean `fleet-health notify status`?\n"),
        (["config", "shw"], "did you mean `fleet-health config show`?\n"),
        (["status", "--jsn"], "did you mean `--json`?\n"),
        (["reload", "--dryrun=yes"], "did you mean `--dry-run`?\n"),
        (["status", "--state", "firng"], "did you mean `firing`?\n"),
        (["status", "statsu", "--frobnicate"], ""),
        (["xyzzy"], ""),
        ([], ""),
    ],
)
def test_a_mistyped_word_is_recognized(arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error suggests a command, action, option or choice, below the usage of the command that was called."""
    with pytest.raises(SystemExit) as stopped:
        run_command_line(arguments)

    assert stopped.value.code == 2
    assert capsys.readouterr().err.partition(": error: ")[2].partition("\n")[2] == hint


def test_a_wrong_argument_shows_the_usage_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It is not the usage of the whole program. States are listed as they are typed."""
    for arguments in (["notify", "history", "--frobnicate"], ["status", "--state=x"]):
        with pytest.raises(SystemExit):
            run_command_line(arguments)

    history, status = capsys.readouterr().err.split("unrecognized arguments: --frobnicate\n")
    assert history.startswith("usage: fleet-health notify history ")
    assert "(choose from firing, unconfirmed, unknown, " in status.replace("'", "")  # Python 3.13 quotes none


@pytest.mark.parametrize("action", ["status", "history", "test"])
def test_an_action_reads_the_configuration_that_is_named_before_it_or_behind(action: str) -> None:
    """Without `--config`, it reads the installed configuration."""
    parse = build_parser(["notify"]).parse_args

    assert parse(["notify", action]).config is None
    assert parse(["notify", "--config", "one.toml", action]).config == Path("one.toml")
    assert parse(["notify", action, "--config", "one.toml"]).config == Path("one.toml")
