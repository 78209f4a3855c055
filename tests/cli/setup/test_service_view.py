"""What the service may read, as root sees it."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

import pytest

from fleet_health.__main__ import main
from fleet_health.cli.commands import config
from fleet_health.cli.setup import service_view
from fleet_health.cli.setup.service_view import obstacle, write_obstacle
from fleet_health.files.outputs import Output

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = pwd.getpwnam("nobody")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def index(public_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index that only its owner and its group may read, while the service runs as nobody."""
    (path := public_directory / "index.jsonl").write_text("")
    path.chmod(0o640)
    monkeypatch.setattr(service_view, "SERVICE_USER", "nobody")
    monkeypatch.setattr(service_view, "_HIDDEN", ())
    return path


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([], "the user nobody may not read it; others may not read the file (chmod o+r {})"),
        ([0], ""),
    ],
)
def test_the_groups_of_the_unit_count(
    groups: list[int], reason: str, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop-in may add groups to those of the user."""
    monkeypatch.setattr(service_view, "_groups_of_unit", lambda: groups)

    assert obstacle(index) == reason.format(index)


@pytest.mark.parametrize(("mode", "status"), [(0o640, 3), (0o644, 0)])
def test_the_installed_configuration_must_name_an_index_that_the_service_may_read(
    mode: int, status: int, index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root can read any file, so a check as root alone would find no problem."""
    index.chmod(mode)
    (file := index.parent / "config.toml").write_text(
        f'index.path = "{index}"\njournal.directory = "{index.parent / "none"}"\n'
    )
    monkeypatch.setattr(service_view, "_groups_of_unit", list)
    monkeypatch.setattr(config, "DEFAULT_PATH", file)

    assert main(["config", "check", str(file)]) in {status, 3}
    assert ("the user nobody may not read it" in capsys.readouterr().err) == (status == 3)


@pytest.mark.parametrize(
    ("unit", "owner", "reason"),
    [
        pytest.param({}, NOBODY.pw_uid, "", id="the unit is not known, and the user owns the directory"),
        pytest.param({}, 0, "{0}: the user nobody may not write there", id="the user may not"),
        pytest.param(
            {"ProtectSystem": "strict", "ReadWritePaths": "/var/www /var/lib/cis490"},
            NOBODY.pw_uid,
            "{0}: the unit lets the service write only to its own directories; install {1}/page.conf",
            id="the unit does not let it",
        ),
        pytest.param({"ProtectSystem": "strict", "ReadWritePaths": "-{0}"}, NOBODY.pw_uid, "", id="a drop-in lets it"),
    ],
)
def test_what_keeps_the_service_from_writing(
    unit: dict[str, str], owner: int, reason: str, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user and its unit can, although root may write everywhere."""
    directory = index.parent
    os.chown(directory, owner, owner)
    shown = {name: value.format(directory) for name, value in unit.items()}
    monkeypatch.setattr(service_view, "_properties_of_unit", lambda *_: shown)

    obstacle = write_obstacle(Output("page.directory", directory, None, "page.conf", is_created=False))

    assert obstacle == reason.format(directory, service_view.DROP_INS)


def test_the_directory_of_the_unit_may_be_missing() -> None:
    """It is created at the first start of the service."""
    own = service_view._OWN

    assert write_obstacle(Output("alerts.path", own, own / "alerts.jsonl", "alert-log.conf", is_created=False)) == ""
