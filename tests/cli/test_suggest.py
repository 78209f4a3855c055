"""`fleet-health suggest`: overrides to paste, tried on the real past."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from tests.rig.site import iso

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""


def test_what_is_suggested_can_be_pasted_and_helps(site: Site, run_command: RunCommand) -> None:
    """Its backtest says what it would have changed, and a second run finds nothing more to suggest."""
    site.configure(tick="5m")
    for age in range(72, 0, -1):
        site.upload("hourly", at_us=NOON - age * HOUR)
    for age in range(3 * 24 * 12):
        site.upload("steady", at_us=NOON - age * 5 * MINUTE)
    site.answer("steady", 201, at_us=NOON)
    site.sync_journal()
    span = ("--since", iso(NOON - 12 * HOUR), "--until", iso(NOON))

    text = run_command("suggest", "--config", site.config, *span)
    document = run_command("suggest", "hour*", "--json", "--config", site.config, *span).documents[0]
    other = run_command("suggest", "steady", "--config", site.config, *span)
    site.config.write_text(site.config.read_text() + text.stdout)
    again = run_command("suggest", "--config", site.config, *span)

    assert text.status == again.status == 0
    (override,) = tomllib.loads(text.stdout)["overrides"]
    assert override["hosts"] == ["hourly"]
    assert "# 1 host of 2 would have been better off with another limit." in text.stdout
    (one,) = document["suggestions"]
    assert one["alerts_before"] > one["alerts_after"] == 0
    assert other.stdout == again.stdout.replace("2 hosts", "1 host")
    assert again.stdout == "# The limits fit the rhythm of 2 hosts: nothing is suggested.\n"


def test_after_some_minutes_nothing_is_known_of_a_rhythm(site: Site, run_command: RunCommand) -> None:
    """Then it does not claim that the limits fit. Half a day is enough; a host without uploads is not known at all."""
    site.configure(tick="5m")
    for age in range(4):
        site.upload("new", at_us=NOON - age * 5 * MINUTE)
    span = ("--since", iso(NOON - 12 * HOUR), "--until", iso(NOON))

    new = run_command("suggest", "--config", site.config, *span)
    for age in range(12 * 12 + 2):
        site.upload("steady", at_us=NOON - age * 5 * MINUTE)
    both = run_command("suggest", "--config", site.config, *span)
    document = run_command("suggest", "--json", "--config", site.config, *span).documents[0]
    nobody = run_command("suggest", "other", "--config", site.config, *span)

    too_new = (
        "# 1 host known for less than 12 h: too little to suggest a limit. Try again in a day, or better in two weeks."
    )
    assert new.stdout.splitlines() == [too_new]
    assert both.stdout.splitlines() == [too_new, "# The limits fit the rhythm of 1 host: nothing is suggested."]
    assert (document["hosts"], document["too_new"], document["suggestions"]) == (2, 1, [])
    assert nobody.stdout == "# No such host has uploaded in the last four weeks.\n"
    assert {one.status for one in (new, both, nobody)} == {0}


def test_what_cannot_be_done_is_said(site: Site, run_command: RunCommand) -> None:
    """A configuration that is wrong, an index that is missing, and a stretch of time that is none."""
    site.configure()
    missing = run_command("suggest", "--config", site.config)
    backwards = run_command("suggest", "--config", site.config, "--since", "1h", "--until", "2h")
    site.config.write_text("tick = 5")
    wrong = run_command("suggest", "--config", site.config)

    assert (missing.status, backwards.status, wrong.status) == (2, 2, 2)
    assert str(site.index) in missing.stderr
    assert "expected --since to be before --until" in backwards.stderr
    assert "tick: expected a duration" in wrong.stderr
