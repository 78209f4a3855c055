"""The warning about a silence for unknown hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.api.unknown_names import unknown_warning

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService

KNOWN = ("*", "*@lab", "pi-07", "bench-1")


@pytest.mark.parametrize("glob", ["pi-07", "pi-*", "bench-[12]", "*", "*@lab", "?i-07"])
def test_known_names_need_no_warning(glob: str) -> None:
    """A host, a glob that matches one, a receiver, or the fleet."""
    assert unknown_warning(glob, KNOWN) == ""


@pytest.mark.parametrize(
    ("glob", "end"),
    [
        ("pi-70", "; did you mean pi-07?"),
        ("PI-07", "; did you mean pi-07?"),
        ("*@lob", "; did you mean *@lab?"),
        ("nosuch-host", "hosts that appear later"),
        ("nosuch-*", "hosts that appear later"),
    ],
)
def test_unknown_names_are_reported(glob: str, end: str) -> None:
    """With a similar name if there is one."""
    warning = unknown_warning(glob, KNOWN)

    assert glob in warning
    assert warning.endswith(end)


def test_a_silence_for_an_unknown_host_is_made_with_a_warning(
    site: Site, start_service: StartService, run_command: RunCommand
) -> None:
    """The warning is on stderr."""
    site.configure()
    site.accept("pi-07")
    with start_service(site) as service:
        service.until_ready()
        common = ("--config", site.config, "--for", "1h", "--reason", "a test")
        strange = run_command("silence", "pi-70", *common)
        known = run_command("silence", "pi-07", *common)

    assert (strange.status, "pi-70 until " in strange.stdout) == (0, True)
    assert strange.stderr == (
        "warning: no host pi-70 is known, so the silence is for hosts that appear later; did you mean pi-07?\n"
    )
    assert (known.status, known.stderr) == (0, "")
