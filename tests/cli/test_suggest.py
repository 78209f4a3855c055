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
    """The backtest shows what the override would have changed. A second run suggests nothing more."""
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
    assert "#   hourly: seen for 2 d 23 h, longest gap 1 h" in text.stdout
    assert "# Nights and weekends show only after at least 7 d." in text.stdout
    (one,) = document["suggestions"]
    assert one["alerts_before"] > one["alerts_after"] == 0
    assert document["seen"] == [{"host": "hourly", "fit": "longer", "seen_s": 71 * 3600, "longest_gap_s": 3600}]
    assert "[[overrides]]" not in other.stdout + again.stdout
    assert "# 2 hosts: the limit fits what was seen so far\n" in again.stdout


def test_it_claims_no_more_than_was_seen(site: Site, run_command: RunCommand) -> None:
    """Half a day shows no night. Each host has the length of its history and its longest interval."""
    site.configure('[[overrides]]\nhosts = ["learned"]\ndetectors.silent.cadence = "learned"', tick="5m")
    for host, seen_us in (("new", 15 * MINUTE), ("half", 12 * HOUR), ("week", 7 * 24 * HOUR), ("learned", HOUR)):
        for age_us in range(0, seen_us + 1, 5 * MINUTE):
            site.upload(host, at_us=NOON - age_us)
    site.upload("week", at_us=NOON - 7 * 24 * HOUR - 20 * MINUTE)
    site.upload("once", at_us=NOON)
    span = ("--since", iso(NOON - 12 * HOUR), "--until", iso(NOON))

    every = run_command("suggest", "--config", site.config, *span)
    week = run_command("suggest", "week", "--config", site.config, *span)
    document = run_command("suggest", "--json", "--config", site.config, *span).documents[0]
    nobody = run_command("suggest", "other", "--config", site.config, *span)

    assert every.stdout.splitlines() == [
        "# 2 hosts: known for less than 12 h, which is too short to suggest a limit",
        "#   new: seen for 15 min, longest gap 7 min 30 s",
        "#   once: seen for less than 7 min 30 s",
        "# 1 host: the limit fits what was seen so far",
        "#   half: seen for 12 h, longest gap 7 min 30 s",
        "# 1 host: the limit fits the rhythm",
        "#   week: seen for 7 d, longest gap 22 min 30 s",
        "# 1 host: the limit is learned, or there is a schedule; nothing to suggest",
        "#   learned: seen for 1 h, longest gap 7 min 30 s",
        "# Gaps are measured in steps of 7 min 30 s.",
        "# Nights and weekends show only after at least 7 d. Try again then.",
    ]
    assert "night" not in week.stdout
    assert (document["hosts"], document["too_new"], document["suggestions"]) == (5, 2, [])
    assert {one["host"]: one["fit"] for one in document["seen"]} == {
        "half": "fits_so_far",
        "learned": "by_rhythm",
        "new": "too_new",
        "once": "too_new",
        "week": "fits",
    }
    assert nobody.stdout == "# None of these hosts has uploaded in the last four weeks.\n"
    assert {one.status for one in (every, week, nobody)} == {0}


def test_what_cannot_be_done_is_said(site: Site, run_command: RunCommand) -> None:
    """An invalid configuration, a missing index and an empty span are refused."""
    site.configure()
    missing = run_command("suggest", "--config", site.config)
    backwards = run_command("suggest", "--config", site.config, "--since", "1h", "--until", "2h")
    site.config.write_text("tick = 5")
    wrong = run_command("suggest", "--config", site.config)

    assert (missing.status, backwards.status, wrong.status) == (2, 2, 2)
    assert str(site.index) in missing.stderr
    assert "expected --since to be before --until" in backwards.stderr
    assert "tick: expected a duration" in wrong.stderr
