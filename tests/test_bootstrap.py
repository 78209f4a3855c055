"""What the scripts that prepare a machine show of what takes long, and of what fails; and what they build in."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.conftest import DoWithout

PACKAGING = Path(__file__).parents[1] / "packaging"


@pytest.fixture
def apt_config(tmp_path: Path, do_without: DoWithout) -> Path:
    """A configuration with which the real apt-get reaches no mirror, and only says what it would install."""
    if os.geteuid() != 0:
        do_without("without root, it would ask for a password")
    (tmp_path / "lists/partial").mkdir(parents=True)
    (tmp_path / "archives/partial").mkdir(parents=True)
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:9/debian bookworm main\n")
    config = tmp_path / "apt.conf"
    settings = {
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": tmp_path / "lists",
        "Dir::Cache": tmp_path,
        "APT::Get::Simulate": "true",
        "Acquire::Retries": "0",
        "Acquire::http::Proxy": "DIRECT",
    }
    config.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return config


def test_package_lists_that_cannot_be_updated_are_shown_with_the_reason(apt_config: Path) -> None:
    """apt-get itself would end with 0. What to do is said, and the lists that are there are used."""
    done = subprocess.run(
        [PACKAGING / "bootstrap.sh", "system-packages", "install"],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "APT_CONFIG": str(apt_config), "PYTHON": "/nowhere/python3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    _, failed, said = done.stderr.partition("\napt-get update failed:\n")
    assert failed, done.stderr
    assert "127.0.0.1:9" in said
    assert "Look at the network, the proxy, the clock, and the sources in /etc/apt" in said
    assert "Going on with the package lists that are here." in said
    assert done.returncode == 1


def progress(tmp_path: Path, command: str, stderr: int) -> subprocess.Popen[str]:
    """Run a command as the scripts do."""
    script = f'. {PACKAGING}/progress.sh; logged "$1/log" bash -c "$2" && echo done'
    return subprocess.Popen(
        ["bash", "-c", script, "bash", tmp_path, command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def test_on_a_terminal_progress_is_one_line(tmp_path: Path) -> None:
    """The latest line that the command wrote, without anything that a terminal would obey; it goes at the end."""
    os.mkfifo(tmp_path / "go")
    ours, theirs = pty.openpty()
    running = progress(tmp_path, rf'printf "first\ngetting \033[31m42 files\n"; read <{tmp_path}/go', theirs)
    os.close(theirs)
    seen = b""
    while b"42 files" not in seen:
        seen += os.read(ours, 1024)
    (tmp_path / "go").write_text("\n")

    assert running.communicate(timeout=PATIENCE_S)[0] == "done\n"
    os.set_blocking(ours, False)
    seen += os.read(ours, 65536)
    os.close(ours)
    assert b"\r\x1b[K  getting [31m42 files" in seen
    assert seen.endswith(b"\r\x1b[K")
    assert b"\n" not in seen


def test_elsewhere_nothing_is_written_unless_it_fails(tmp_path: Path) -> None:
    """Then its status, and its last lines."""
    well = progress(tmp_path, "seq 100", subprocess.PIPE)
    assert well.communicate(timeout=PATIENCE_S) == ("done\n", "")

    bad = progress(tmp_path, "seq 100; exit 3", subprocess.PIPE)
    stdout, stderr = bad.communicate(timeout=PATIENCE_S)

    assert stdout == ""
    assert "This failed, with status 3: bash -c seq 100; exit 3\n" in stderr
    assert stderr.rstrip().endswith("\n99\n100")


def in_build_environment_script(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of bash where packaging/build_environment.sh has been sourced."""
    script = f". {PACKAGING}/build_environment.sh; {command}"
    return subprocess.run(["bash", "-c", script, "bash", *arguments], capture_output=True, text=True, check=False)


def test_an_environment_to_build_in_has_pip_and_nothing_compiled(tmp_path: Path) -> None:
    """Compiling all of pip takes longer than the build; what of it is run is compiled then."""
    made = in_build_environment_script('build_environment /usr/bin/python3 "$1"', tmp_path)
    compiled = list(tmp_path.rglob("*.pyc"))
    pip = subprocess.run([tmp_path / "bin/python", "-I", "-m", "pip", "--version"], check=True, capture_output=True)

    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert compiled == []
    assert str(tmp_path).encode() in pip.stdout


def test_a_python_without_pip_is_named_with_the_package_that_has_it() -> None:
    """On Debian, ensurepip is a package of its own."""
    without = "import sys; sys.modules['ensurepip'] = None; exec(sys.argv[1])"
    done = in_build_environment_script('/usr/bin/python3 -I -c "$1" "$unpack_pip"', without)

    assert done.returncode == 1
    assert done.stderr == "/usr/bin/python3 has no pip to build with; on Debian it is in the package python3-venv\n"
