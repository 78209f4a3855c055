"""Whether the destinations get anything: part of what `status` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.cli import notify_standing
from fleet_health.cli.client import ForbiddenError, RefusedError
from fleet_health.cli.notify_standing import notify_problems

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunCommand, Site, StartService

DESTINATION = '[[destinations]]\nname = "phone"\ntype = "exec"\ncommand = ["/bin/true"]\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a destination, while `fleet-health notify` is not running."""
    (path := tmp_path / "config.toml").write_text(f'notify.control = "{tmp_path}/none.sock"\n{DESTINATION}')
    return path


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param({"a": "ok", "b": "waiting"}, [], id="all is well"),
        pytest.param({"a": "failing", "b": "ok"}, ["destination a is failing: E; "], id="one fails"),
        pytest.param(
            {"a": "disabled", "b": "failing"},
            ["destination a is disabled: E; ", "destination b is failing: E; "],
            id="both get nothing",
        ),
    ],
)
def test_a_destination_that_gets_nothing_is_named(
    states: dict[str, str], expected: list[str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The problem has the last error."""
    rows = [{"name": name, "state": state, "last_error": "E"} for name, state in states.items()]
    monkeypatch.setattr(notify_standing, "ask", lambda *_, **__: {"destinations": rows})

    assert notify_problems(config) == [f"{one}`fleet-health notify status` shows more" for one in expected]


def test_without_destinations_nobody_is_asked(config: Path) -> None:
    """The unit is disabled then, so its socket is not asked."""
    config.write_text(config.read_text().replace(DESTINATION, ""))

    assert notify_problems(config) == notify_problems(None) == []


def test_who_may_not_ask_sees_no_problem(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A denied or refused request is no problem. Neither is an invalid file, which is reported elsewhere."""
    for error in (ForbiddenError("no"), RefusedError("no")):

        def ask(*_: Any, error: Exception = error, **__: Any) -> None:
            if isinstance(error, ForbiddenError):
                raise error from PermissionError()
            raise error

        monkeypatch.setattr(notify_standing, "ask", ask)

        assert notify_problems(config) == []
    config.write_text("tick = 5m")

    assert notify_problems(config) == []


def test_status_shows_that_nothing_is_sent(site: Site, run_command: RunCommand, start_service: StartService) -> None:
    """It is a problem, with exit status 1, as text, as JSON and for Nagios."""
    site.configure()
    site.begin_journal()
    site.accept("well")
    with start_service(site) as service:
        service.until_evaluated_anew()
        before = run_command("status", "--config", site.config)
        site.config.write_text(
            f'{site.config.read_text()}\nnotify.control = "{site.directory}/none.sock"\n{DESTINATION}'
        )
        after = [run_command("status", *form, "--config", site.config) for form in ([], ["--json"], ["--nagios"])]

    problem = "fleet-health-notify does not respond, so no notification is sent to a destination"
    assert before.status == 0
    assert [one.status for one in after] == [1, 1, 1]
    assert all(problem in one.stdout for one in after)
    assert after[1].documents[0]["problems"] == [f"{problem}; `fleet-health notify status` shows more"]
