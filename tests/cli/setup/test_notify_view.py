"""What `fleet-health notify` can read and start of what its destinations name, as root sees it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fleet_health.cli.setup import notify_view
from fleet_health.cli.setup.notify_view import notify_obstacles
from fleet_health.config.loading import load

if TYPE_CHECKING:
    from pathlib import Path

NTFY = '[[destinations]]\nname = "a"\ntype = "ntfy"\ntopic_file = "{}"\n'
EXEC = '[[destinations]]\nname = "a"\ntype = "exec"\ncommand = ["{}", "-x"]\n'
UNIT = "[Service]\nLoadCredential=known:{0}/secret\nLoadCredential=gone:{0}/none\nSetCredential=set:a b\n"


@pytest.fixture
def place(public_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a program and two secrets, one of root; a unit that runs as nobody and passes credentials."""
    for name, mode in (("program", 0o755), ("text", 0o644), ("secret", 0o600)):
        (public_directory / name).write_text("")
        (public_directory / name).chmod(mode)
    (public_directory / "systemctl").write_text(f"#!/bin/sh\ncat <<'END'\n{UNIT.format(public_directory)}END\n")
    (public_directory / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{public_directory}:{os.environ['PATH']}")
    monkeypatch.setattr(notify_view, "USER", "nobody")
    monkeypatch.setattr(notify_view, "hides", lambda path: path.name == "hidden")
    return public_directory


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(NTFY.format("{}/text"), "", id="a file that everybody may read"),
        pytest.param(NTFY.format("{}/secret"), "{}/secret: the user nobody may not read it", id="a file of root"),
        pytest.param(NTFY.format("{}/none"), "{}/none: there is no such file", id="no file"),
        pytest.param(NTFY.format("known"), "", id="a credential"),
        pytest.param(NTFY.format("set"), "", id="a credential that the unit holds"),
        pytest.param(NTFY.format("gone"), "{}/none: there is no such file", id="a credential without its file"),
        pytest.param(
            NTFY.format("other"),
            "the unit passes no credential other; put the secret into /etc/fleet-health/secrets/other, and"
            " LoadCredential=other:/etc/fleet-health/secrets/other into a drop-in of fleet-health-notify.service",
            id="no credential",
        ),
        pytest.param(EXEC.format("{}/program"), "", id="a program"),
        pytest.param(EXEC.format("{}/text"), "{}/text: it may not be executed", id="a file that is none"),
        pytest.param(EXEC.format("{}/none"), "{}/none: there is no such program", id="no program"),
    ],
)
def test_what_is_in_the_way_is_named(text: str, reason: str, place: Path) -> None:
    """The problem has the key."""
    (file := place / "config.toml").write_text(text.replace("{}", str(place)))
    key = "topic_file" if "ntfy" in text else "command"

    obstacles = list(notify_obstacles(load(file)))

    assert obstacles == [f"destinations[1].{key}: {reason.format(place)}"] * bool(reason)


@pytest.mark.parametrize("text", [NTFY, EXEC])
def test_what_the_unit_hides_is_named(text: str, place: Path) -> None:
    """Root can see the file, and the service cannot."""
    (place / "hidden").write_text("")
    (file := place / "config.toml").write_text(text.format(place / "hidden"))

    (obstacle,) = notify_obstacles(load(file))

    assert obstacle.endswith("the unit hides it from the service, below /home, /root and /tmp")


def test_without_systemd_no_credential_is_missed(place: Path) -> None:
    """The unit may pass it."""
    (place / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (file := place / "config.toml").write_text(NTFY.format("other"))

    assert list(notify_obstacles(load(file))) == []


@pytest.mark.parametrize("found", [None, object()])
def test_apprise_must_be_installed(found: object, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination of its type needs the package."""
    monkeypatch.setattr(notify_view, "find_spec", lambda _: found)
    (file := place / "config.toml").write_text(
        f'[[destinations]]\nname = "a"\ntype = "apprise"\nurl_file = "{place}/text"\n'
    )

    obstacles = [one for one in notify_obstacles(load(file)) if "Apprise is not installed" in one]

    assert len(obstacles) == (found is None)
