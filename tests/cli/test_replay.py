"""`fleet-health replay`: the same evaluation, at each tick that would have been."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from fleet_health.__main__ import main
from fleet_health.cli.commands import check
from fleet_health.cli.plot.plot import PlotError
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.replay.past import Past
from fleet_health.replay.replay import Replay, Watched
from fleet_health.replay.spans import evaluations
from fleet_health.sources.journal.once import read_accepted
from fleet_health.sources.journal.system_messages import DROPPED_ID
from tests.rig.properties import times
from tests.rig.service_process import plain_environment
from tests.rig.site import iso

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.model.instant import Instant
    from tests.conftest import RunCommand, Site

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""

Said = tuple[str, str, str, str]
"""A finding's host, symptom, detail and suggested fix."""


def record_anything(site: Site, random: Random, since: Instant, until: Instant) -> None:
    """Record random refusals, gaps and stops of the receiver, with rows out of order, repeated and damaged.

    Each accepted upload has a row. Otherwise the begin of a downtime could depend on entries older than the window,
    which `check` without a saved state does not read.
    """
    hosts = [f"pi-{number}" for number in range(random.randint(1, 6))]
    rows = [(random.choice(hosts), random.randint(since, until)) for _ in range(random.randint(0, 60))]
    rows += random.sample(rows, min(5, len(rows)))
    entries = sorted((random.randint(since, until), random.randrange(100), random.choice(hosts)) for _ in range(200))
    bad = set(random.sample(hosts, random.randint(0, len(hosts))))
    for at, die, host in entries:
        if die < 70:
            status = random.choice([412, 500, 503]) if host in bad and at % HOUR < HOUR // 2 else 201
            site.answer(host, status, times=random.randint(1, 6), at_us=at)
            rows += [(host, at)] if status == 201 else []
        elif die < 90:
            site.warn_unstamped(host, times=random.randint(1, 8), at_us=at)
        elif die < 95:
            word, message_id = random.choice(
                [("Started", "39f53479d3a045ac8e11786248231fbf"), ("Stopped", "9d1aaa27d60140bd96365438aad20286")]
            )
            unit = "cis490-receiver.service"
            fields = {"_PID": "1", "UNIT": unit, "MESSAGE_ID": message_id}
            site.journal.append(f"{word} it.", at_us=at, unit="init.scope", **fields)
        else:
            site.journal.append(
                "Suppressed 5 messages from cis490-receiver.service",
                at_us=at,
                unit="systemd-journald.service",
                _TRANSPORT="driver",
                MESSAGE_ID=DROPPED_ID,
            )
    site.sync_journal()
    with site.index.open("wb") as file:
        for number, (host, at) in enumerate(rows if random.random() < 0.5 else sorted(rows, key=lambda row: row[1])):
            file.write(b'{"host_id": "%s", "received_at_wall": "%s"}\n' % (host.encode(), iso(at).encode()))
            if not number % 7:
                file.write(b"damaged\n")


def checked(site: Site, now: Instant, capsys: pytest.CaptureFixture[str]) -> list[Said]:
    """Return the findings of `check --now`."""
    parser = argparse.ArgumentParser()
    check.add_parser(parser.add_subparsers())
    arguments = ["check", "--config", str(site.config), "--dry-run", "--json", "--now", iso(now)]
    options = parser.parse_args(arguments)
    status = options.command(options)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 0
    return [
        # An alert says besides what is inhibited for it.
        (
            row["host"],
            row["symptom"],
            re.sub("; inhibits \\d+ alerts?: .*", "", row["detail"]),
            row["suggested_fix"],
        )
        for row in rows
        if "host" in row
    ]


@pytest.mark.parametrize("seed", range(times(2)))
@pytest.mark.parametrize(
    "keys", ["", "[receiver.failing]\nmin_hosts = 1", '[detectors.silent]\nafter = "10m"\nlookback = "45m"']
)
def test_each_tick_finds_what_check_finds(keys: str, seed: int, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """On random inputs, hosts, symptoms, values and texts are equal, with any number of processes."""
    random = Random(seed)  # noqa: S311 - nothing is secret here
    since, until = NOON, NOON + 3 * HOUR
    site.configure(
        f"{keys}\n"
        '[[overrides]]\nhosts = ["pi-1"]\ndetectors.fatal-only.window = "7m"\ndetectors.fatal-only.min_count = 2',
        tick="5m",
    )
    record_anything(site, random, since - HOUR, until + HOUR)
    settings = load(site.config)
    lookback = lookback_of(settings.detectors())
    watched = Watched(settings.rules(), settings.mute_windows, settings.host_limit)
    outcomes = []
    for spans, is_alone, run_length in ((1, True, 7), (3, False, 100_000), (2, True, 7)):
        replay = Replay(watched)
        with Past(run_length) as past:
            past.read(settings.receivers[0], lookback, (since, until), lambda _: None, is_alone=is_alone)
            replayed = {
                evaluation.at: [(one.host, one.symptom, one.detail, one.suggested_fix) for one in evaluation.findings]
                for evaluation in evaluations(past, replay, since, until, spans)
            }
            rejections = {source: count.by_reason for source, count in past.rejections.items()}
        outcomes.append((replayed, replay.episodes, replay.alerts, past.coverage, rejections))

    assert list(replayed) == list(range(since + 5 * MINUTE, until + 1, 5 * MINUTE))
    for at, found in replayed.items():
        assert found == checked(site, at, capsys), iso(at)
    assert any(replayed.values())
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.fixture
def recorded(site: Site) -> Site:
    """One host is silent from noon to two. Another one is refused for half an hour, and accepted later."""
    site.configure(tick="5m")
    for minute in range(-60, 240, 5):
        at = NOON + minute * MINUTE
        site.upload("well", at_us=at)
        site.answer("well", 201, at_us=at)
        if not 0 <= minute < 120:
            site.upload("quiet", at_us=at)
            site.answer("quiet", 201, at_us=at)
        if 0 <= minute < 30:
            site.answer("refused", 412, times=4, at_us=at)
        if minute >= 50:
            site.answer("refused", 201, at_us=at)
            site.upload("refused", at_us=at)
    site.sync_journal()
    return site


def replay(run_command: RunCommand, site: Site, *arguments: str) -> dict[str, Any]:
    """Replay from noon to four, and return the document."""
    done = run_command(
        "replay", "--config", site.config, "--since", iso(NOON), "--until", iso(NOON + 4 * HOUR), "--json", *arguments
    )
    assert (done.status, done.stderr) == (0, "")
    return done.documents[0]


def test_what_would_have_fired_when_and_for_how_long(recorded: Site, run_command: RunCommand) -> None:
    """An incident opens at the tick that finds it, and ends at the tick that finds it resolved."""
    document = replay(run_command, recorded)
    shown = run_command(
        "replay", "--config", recorded.config, "--since", iso(NOON), "--until", iso(NOON + 4 * HOUR)
    ).stdout

    assert (document["version"], document["ticks"], document["alerts"]) == (1, 48, 3)
    incidents = [
        (one["host"], one["symptom"], one["opened_wall"][11:16], one["ended_wall"][11:16], one["alerts"])
        for one in document["incidents"]
    ]
    # The last upload before is at 11:55, and the last refusal at 12:25.
    assert incidents == [
        ("refused", "fatal-only", "12:10", "12:55", 1),
        ("quiet", "silent", "12:30", "14:05", 2),
    ]
    assert document["incidents_by_symptom"] == {"silent": 1, "fatal-only": 1}
    assert document["journal_begins_wall"] is None
    assert shown.startswith("2026-11-23 12:00:00+00:00 to 2026-11-23 16:00:00+00:00: 48 ticks, 2 incidents, 3 alerts\n")
    assert (
        "2026-11-23 12:30:00+00:00  quiet    silent      1 h 35 min          2 alerts\n    no accepted upload since"
        in shown
    )
    assert not recorded.alerts.exists()


def test_another_configuration_is_compared(recorded: Site, run_command: RunCommand, site: Site) -> None:
    """The difference lists the incidents that only one of the configurations has."""
    old = site.directory / "old.toml"
    old.write_text(site.config.read_text().replace('tick = "5m"', 'tick = "5m"\ndetectors.fatal-only.min_count = 100'))
    lax = recorded.directory / "lax.toml"
    lax.write_text(recorded.config.read_text() + '[detectors.silent]\nafter = "3h"\n')
    document = replay(run_command, recorded, "--diff", str(old))
    shown = run_command(
        *("replay", "--config", lax, "--since", iso(NOON), "--until", iso(NOON + 4 * HOUR)),
        *("--diff", recorded.config),
    ).stdout

    assert [one["host"] for one in document["diff"]["added"]] == ["refused"]
    assert document["diff"]["gone"] == []
    assert document["diff"]["old"]["alerts"] == 2
    assert document["diff"]["changed"] == []
    assert document["configuration"] == str(recorded.config)
    assert document["diff"]["old"]["configuration"] == str(old)
    assert f"- {recorded.config}: 2 incidents, 3 alerts\n+ {lax}: 1 incident, 1 alert\nalerts: 3 -> 1 (-2)\n" in shown
    assert "\n\nadded: 0 incidents\n\ngone: 1 incident\n\nHOST   SYMPTOM " in shown
    assert "\n\n2026-11-23 12:30:00+00:00  quiet  silent  1 h 35 min          2 alerts\n" in shown
    assert shown.endswith("\n\nchanged: 0 incidents\n")


@pytest.mark.parametrize("source", ["index", "journal"])
def test_what_was_not_understood_for_a_while_is_known_as_of_then(
    source: str, site: Site, run_command: RunCommand
) -> None:
    """`blind` fires for that time, as in the service, and is listed even if it has resolved since."""
    site.configure('blind_after = "15m"', tick="5m")
    for minute in range(-300, 240, 2):
        at = NOON + minute * MINUTE
        is_odd = 60 <= minute < 120
        if is_odd and source == "index":
            with site.index.open("a") as index:
                index.write(json.dumps({"host_id": "a", "received_at_wall": iso(at)[:19]}) + "\n")
        else:
            site.upload("a", at_us=at)
        if is_odd and source == "journal":
            site.journal.append('"PUT /v1/episodes/a/e1 HTTP/1.1" accepted', at_us=at)
        else:
            site.answer("a", 201, at_us=at)
    site.sync_journal()
    document = replay(run_command, site)

    (blind,) = [one for one in document["incidents"] if one["symptom"] == "blind"]
    (gap,) = [one for one in document["not_read"] if one["reason"] == "none of what came in was understood"]
    assert "12:58" < blind["opened_wall"][11:16] <= "13:20"
    assert "14:00" <= blind["ended_wall"][11:16] <= "14:10"
    assert (gap["source"], gap["since_wall"][11:16], gap["until_wall"][11:16]) == (source, "12:58", "14:00")
    assert not [one for one in document["incidents"] if one["symptom"] == "silent"]


@pytest.fixture
def unsteady(site: Site) -> Site:
    """One host flaps between silent and well. Another one is silent once, at night, when it is muted."""
    window = '[[quiet]]\ndays = ["mon"]\nfrom = "20:00"\nto = "21:00"\nzone = "UTC"\nhosts = ["night"]\n'
    site.configure(window, tick="5m")
    for minute in range(-60, 24 * 60, 5):
        at = NOON + minute * MINUTE
        site.upload("well", at_us=at)
        site.answer("well", 201, at_us=at)
        if minute // 40 % 2 == 0:
            site.upload("shaky", at_us=at)
            site.answer("shaky", 201, at_us=at)
        if not 8 * 60 <= minute < 8 * 60 + 45:
            site.answer("night", 201, at_us=at)
            site.upload("night", at_us=at)
        else:
            site.answer("night", 412, times=4, at_us=at)
    site.sync_journal()
    return site


def test_many_incidents_are_summed_up(unsteady: Site, run_command: RunCommand) -> None:
    """The summary has hosts, symptoms and suppressed alerts with reasons. An option lists each incident."""
    command = ("replay", "--config", unsteady.config, "--since", iso(NOON), "--until", iso(NOON + 24 * HOUR))
    short, listed = (run_command(*command, *more).stdout for more in ((), ("--list",)))
    document = run_command(*command, "--json").documents[0]

    (shaky,) = [one for one in document["summary"] if (one["host"], one["symptom"]) == ("shaky", "silent")]
    ones = [one for one in document["incidents"] if (one["host"], one["symptom"]) == ("shaky", "silent")]
    assert shaky["incidents"] == len(ones) > 15
    assert shaky["lasted_s"] == sum(one["lasted_s"] for one in ones)
    assert shaky["longest_s"] == max(one["lasted_s"] for one in ones)
    assert shaky["share"] == pytest.approx(shaky["lasted_s"] / (24 * 3_600))
    assert shaky["not_notified"] == {"flapping": sum(one["reason"] == "flapping" for one in ones)}
    assert shaky["not_notified"]["flapping"] > 0
    assert short.count("\n") < 15
    assert re.search(r"^HOST +SYMPTOM +INCIDENTS +ALERTS +TOTAL +LONGEST +OF TIME +NOT NOTIFIED$", short, re.MULTILINE)
    assert re.search(rf"^shaky +silent +{len(ones)} .* \d+ flapping$", short, re.MULTILINE)
    assert short.endswith("\n--list shows each incident\n")
    assert listed.startswith(short.removesuffix("\n--list shows each incident\n"))
    assert len(re.findall(r"^2026-11-2\d \S+  shaky  silent ", listed, re.MULTILINE)) == len(ones)


def test_why_there_was_no_alert_is_said(unsteady: Site, run_command: RunCommand) -> None:
    """The reason is a mute window or flapping. Flapping is notified once, and has a begin and an end."""
    command = ("replay", "--config", unsteady.config, "--since", iso(NOON), "--until", iso(NOON + 24 * HOUR))
    document, listed = run_command(*command, "--json").documents[0], run_command(*command, "--list").stdout

    (muted,) = [one for one in document["incidents"] if one["host"] == "night"]
    flapping = [one for one in document["incidents"] if one["symptom"] == "flapping"]
    silenced = [one for one in document["incidents"] if one["reason"] == "flapping"]
    assert (muted["alerts"], muted["reason"]) == (0, "mute window")
    assert muted["reason_detail"] == "[[quiet]] until 21:00 UTC"
    assert f"not notified: mute window ({muted['reason_detail']})" in listed
    assert {one["host"] for one in flapping} == {"shaky"}
    assert all(one["alerts"] == 1 for one in flapping)
    assert "silent opened " in flapping[0]["detail"]
    for one in silenced:
        assert any(
            flap["opened_wall"] <= one["opened_wall"] and one["opened_wall"] <= (flap["ended_wall"] or "9")
            for flap in flapping
        )
    assert document["alerts"] == sum(one["alerts"] for one in document["incidents"])


def test_both_configurations_are_drawn(recorded: Site, run_command: RunCommand) -> None:
    """The two pictures are below each other, each with the name of its configuration."""
    later, picture = recorded.directory / "later.toml", recorded.directory / "p.svg"
    later.write_text(recorded.config.read_text() + '[detectors.silent]\nafter = "3h"\n')
    command = ("replay", "--config", later, "--since", iso(NOON), "--until", iso(NOON + 4 * HOUR))
    done = run_command(*command, "--diff", recorded.config, "--plot", picture)
    titles = re.findall(r">([^<>]*): 2026-11-23 12:00 to 2026-11-23 16:00 UTC: 3 hosts, (\d) with", picture.read_text())

    assert (done.status, done.stderr) == (0, "")
    assert [(name.rpartition("/")[2], count) for name, count in titles] == [("config.toml", "2"), ("later.toml", "1")]


def test_what_opens_later_has_changed(recorded: Site, run_command: RunCommand) -> None:
    """An incident with another begin is listed as changed, neither as added nor as gone."""
    later = recorded.directory / "later.toml"
    later.write_text(recorded.config.read_text() + '[detectors.silent]\nafter = "45m"\n')
    command = ("replay", "--config", later, "--since", iso(NOON), "--until", iso(NOON + 4 * HOUR))
    shown = run_command(*command, "--diff", recorded.config).stdout
    difference = run_command(*command, "--diff", recorded.config, "--json").documents[0]["diff"]

    assert shown.endswith(
        "\nadded: 0 incidents\n\ngone: 0 incidents\n\nchanged: 1 incident\n\n"
        "- 2026-11-23 12:30:00+00:00  quiet  silent  1 h 35 min          2 alerts\n"
        "+ 2026-11-23 12:45:00+00:00  quiet  silent  1 h 20 min          2 alerts\n"
    )
    (change,) = difference["changed"]
    assert (change["host"], change["symptom"]) == ("quiet", "silent")
    assert [one["opened_wall"][11:16] for one in change["old"] + change["new"]] == ["12:30", "12:45"]


def test_what_stands_at_the_end_has_no_end(recorded: Site, run_command: RunCommand) -> None:
    """An open incident has no end. If the journal begins after the start of the span, the output says so."""
    until = NOON + HOUR
    done = run_command(
        *("replay", "--config", recorded.config, "--since", iso(NOON - 10 * HOUR), "--until", iso(until), "--json")
    )
    (quiet,) = [one for one in done.documents[0]["incidents"] if one["host"] == "quiet"]

    assert (quiet["ended_wall"], quiet["lasted_s"]) == (None, 30 * 60)
    assert done.documents[0]["journal_begins_wall"] == iso(NOON - HOUR)


def test_it_is_drawn_as_well(recorded: Site, run_command: RunCommand) -> None:
    """The picture has the printed incidents."""
    picture = recorded.directory / "p.svg"
    done = run_command(
        *("replay", "--config", recorded.config, "--since", iso(NOON), "--until", iso(NOON + 4 * HOUR)),
        *("--plot", picture),
    )
    drawn = picture.read_text()
    refused = run_command("replay", "--config", recorded.config, "--plot", "p.pdf")
    unwritable = run_command(
        *("replay", "--config", recorded.config, "--since", iso(NOON), "--until", iso(NOON + HOUR)),
        *("--plot", recorded.directory / "no" / "p.svg"),
    )

    assert (done.status, done.stderr) == (0, "")
    assert all(f">{word}" in drawn for word in ("well", "quiet", "refused", "silent", "fatal-only"))
    assert (refused.status, "expected a name that ends in .svg or .png" in refused.stderr) == (2, True)
    assert (unwritable.status, "p.svg: No such file or directory" in unwritable.stderr) == (1, True)


def test_the_picture_shows_from_when_on_there_is_a_journal(recorded: Site, run_command: RunCommand) -> None:
    """The time before it is hatched, because the responses are unknown."""
    drawn = {}
    for hours, picture in ((3, recorded.directory / "before.svg"), (1, recorded.directory / "p.svg")):
        arguments = ("--since", iso(NOON - hours * HOUR), "--until", iso(NOON + HOUR), "--plot", picture)
        assert run_command("replay", "--config", recorded.config, *arguments).stderr == ""
        drawn[hours] = picture.read_text()

    assert ">the journal begins later (2 h)<" in drawn[3]
    assert "journal gaps" not in drawn[1]


def test_that_the_journal_is_empty_is_said(recorded: Site, run_command: RunCommand) -> None:
    """Its directory may be wrong, or its files damaged."""
    (recorded.directory / "other").mkdir()
    (recorded.directory / "other" / "x.journal").write_text("damaged")
    recorded.configure(journal=recorded.directory / "other", tick="5m")
    arguments = ("--since", iso(NOON), "--until", iso(NOON + 4 * HOUR))
    done = run_command("replay", "--config", recorded.config, *arguments)

    assert done.status == 0
    assert "\nthe journal has no data before 2026-11-23 16:00:00+00:00\n" in done.stdout


def test_who_is_ignored_is_not_in_the_picture(recorded: Site, run_command: RunCommand) -> None:
    """An ignored host has no row."""
    picture = recorded.directory / "p.svg"
    recorded.configure('[hosts]\nignore = ["we*"]', tick="5m")
    arguments = ("--since", iso(NOON), "--until", iso(NOON + HOUR), "--plot", picture)
    run_command("replay", "--config", recorded.config, *arguments)
    drawn = picture.read_text()

    assert (">quiet<" in drawn, ">well<" in drawn) == (True, False)


def test_that_there_is_no_room_is_said(recorded: Site, small_disk: Path) -> None:
    """The temporary directory has room for only 16 KiB."""
    recorded.upload(*(f"pi-{number}" for number in range(2_000)), at_us=NOON)
    done = subprocess.run(
        [sys.executable, "-m", "fleet_health", "replay", "--config", recorded.config, "--since", iso(NOON)],
        env={**plain_environment(), "TMPDIR": str(small_disk)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the past cannot be sorted: No space left on device; it needs 16 bytes")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--since", "7x"],
            "or seconds since the epoch (@1795000000), found '7x'",
        ),
        (["--until", "9999d"], "expected --since to be before --until"),
        (["--since", "1h", "--until", "2h"], "expected --since to be before --until"),
        (["--until", "2030-01-01T00:00:00Z"], "not in the future"),
        (["--diff", "/nowhere.toml"], "/nowhere.toml: file: expected a readable file"),
        (["--since", "1h"], "index.jsonl: "),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], complaint: str, site: Site, run_command: RunCommand) -> None:
    """The exit status is 2."""
    site.configure()
    done = run_command("replay", "--config", site.config, *arguments)

    assert (done.status, done.stdout) == (2, "")
    assert complaint in done.stderr


@pytest.mark.parametrize("missing", ["index", "journal", "the old index", "the old journal"])
def test_what_is_missing_is_said_before_the_work(
    missing: str, recorded: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """This includes sources that only another process, or only the other configuration, reads."""
    monkeypatch.setattr("fleet_health.cli.commands.replay.replayed", lambda *_: pytest.fail("it has begun"))
    absent, new, old = (recorded.directory / name for name in ("absent", "new.toml", "old.toml"))
    for path, which in ((new, ""), (old, "the old ")):
        index = absent if missing == f"{which}index" else recorded.index
        journal = absent if missing == f"{which}journal" else recorded.journal_directory
        path.write_bytes(recorded.configure(index=index, journal=journal).read_bytes())
    status = main(["replay", "--config", str(new), "--diff", str(old), "--since", "9d"])

    assert status == 2
    assert str(absent) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plot", "complaint"),
    [("absent/p.svg", "p.svg: No such file or directory"), ("journal.svg", "journal.svg: Is a directory")],
)
def test_a_plot_that_cannot_be_written_is_said_before_the_work(
    plot: str, complaint: str, recorded: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1."""
    monkeypatch.setattr("fleet_health.cli.commands.replay.replayed", lambda *_: pytest.fail("it has begun"))
    (recorded.directory / "journal.svg").mkdir()
    status = main(["replay", "--config", str(recorded.config), "--plot", str(recorded.directory / plot)])

    assert status == 1
    assert complaint in capsys.readouterr().err


def test_what_was_found_is_told_also_if_it_cannot_be_drawn(
    recorded: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result is printed even if the disk is full when the picture is written."""
    monkeypatch.setattr(
        "fleet_health.cli.commands.replay.draw", Mock(side_effect=PlotError("p.svg: No space left on device"))
    )
    arguments = ["--since", iso(NOON), "--until", iso(NOON + 4 * HOUR), "--plot", str(recorded.directory / "p.svg")]
    status = main(["replay", "--config", str(recorded.config), *arguments])
    told = capsys.readouterr()

    assert (status, told.err) == (1, "p.svg: No space left on device\n")
    assert "48 ticks, 2 incidents, 3 alerts" in told.out


def test_a_host_that_only_the_journal_shows_is_known_for_the_whole_lookback(
    site: Site, run_command: RunCommand
) -> None:
    """This holds for `check` without a saved state and for the first tick of a replay."""
    site.configure(tick="5m")
    site.journal.append("Started the receiver.", at_us=NOON - 26 * HOUR)
    site.answer("forgotten", 201, at_us=NOON - 24 * HOUR - 2 * MINUTE)
    site.answer("long-ago", 201, at_us=NOON - 23 * HOUR)
    site.answer("refused-ever-since", 412, at_us=NOON - 23 * HOUR)
    site.answer("lately", 201, at_us=NOON - 3 * HOUR)
    site.answer("well", 201, at_us=NOON)
    site.upload("well", at_us=NOON)
    site.sync_journal()
    shown = run_command("check", "--config", site.config, "--dry-run", "--json", "--now", iso(NOON + MINUTE)).documents
    span = ("--since", iso(NOON - MINUTE), "--until", iso(NOON + MINUTE))
    replayed = run_command("replay", "--config", site.config, "--json", *span).documents[0]

    expected = {("lately", "silent"), ("long-ago", "silent")}
    assert {(one["host"], one["symptom"]) for one in shown if "host" in one} == expected
    assert {(one["host"], one["symptom"]) for one in replayed["incidents"]} == expected


def test_of_a_journal_that_is_too_long_the_latest_part_is_read(site: Site) -> None:
    """The entries are in order. They are read in spans that grow until the limit is reached."""
    site.journal.append("Started the receiver.", at_us=NOON - 26 * HOUR)
    for hours_ago in range(20, 0, -1):
        site.answer(f"pi-{hours_ago}", 201, at_us=NOON - hours_ago * HOUR + MINUTE)
    site.sync_journal()
    site.configure()
    journal = load(site.config).receivers[0].journal

    few = read_accepted(journal, NOON - 24 * HOUR, NOON, most=4)
    every = read_accepted(journal, NOON - 24 * HOUR, NOON)

    assert [one.host for one in few] == ["pi-3", "pi-2", "pi-1"]
    assert [one.host for one in every] == [f"pi-{number}" for number in range(20, 0, -1)]


@pytest.mark.parametrize(
    ("set_back_after", "expected"),
    [
        pytest.param(None, set(), id="it stays so"),
        pytest.param(10, {("dies", "silent")}, id="it is set back, and the hour that was skipped passes"),
    ],
)
def test_a_clock_that_was_set_ahead_makes_nobody_silent(
    set_back_after: int | None, expected: set[tuple[str, str]], site: Site, run_command: RunCommand
) -> None:
    """The monotonic times of the journal show that the skipped time did not pass."""
    site.configure(tick="5m")
    for minute in range(-60, 60):
        ahead = minute > 0 and (set_back_after is None or minute <= set_back_after)
        site.journal.ahead_us = 2 * HOUR * ahead
        at = NOON + minute * MINUTE + site.journal.ahead_us
        for host in ("a", "b", "c", "d", "dies"):
            if host != "dies" or minute <= 0:
                line = f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e HTTP/1.1" 201'
                site.journal.append(line, at_us=at)
                site.upload(host, at_us=at)
    site.sync_journal()
    until = NOON + 2 * HOUR + 25 * MINUTE if set_back_after is None else NOON + 50 * MINUTE
    span = ("--since", iso(NOON - 20 * MINUTE), "--until", iso(until))
    replayed = run_command("replay", "--config", site.config, "--json", *span).documents[0]
    checked = run_command("check", "--config", site.config, "--json", "--dry-run", "--now", iso(until)).documents

    assert {(one["host"], one["symptom"]) for one in replayed["incidents"]} == expected
    assert {(one["host"], one["symptom"]) for one in checked if "host" in one} == expected


def test_limits_that_are_learned_are_those_of_check(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Each tick finds what `check` finds at that instant, with any number of processes."""
    random = Random(7)  # noqa: S311 - nothing is secret here
    site.configure('[detectors.silent]\ncadence = "learned"', tick="30m")
    since, until, day = NOON, NOON + 6 * HOUR, 24 * HOUR
    steps = {"steady": HOUR // 6, "hourly": HOUR, "nightly": day, "bursts": 100 * MINUTE, "new": HOUR}
    rows: list[tuple[int, str]] = []
    for host, step in steps.items():
        begin = since - 36 * HOUR if host == "new" else since - 35 * day
        end = until if host == "nightly" else since + random.randrange(5) * HOUR // 2
        at: float = begin + random.randrange(step)
        while at < end:
            rows += [(int(at) + random.randrange(10_000_000), host)] * random.randint(1, 2)
            at += step * random.uniform(0.7, 1.3) // 1 if host == "bursts" else step
    for _ in range(5):  # the receiver stops now and then, and some uploads are refused
        out = random.randrange(since - 10 * day, since)
        rows = [row for row in rows if not out < row[0] < out + 5 * HOUR]
    site.index.write_bytes(
        b"".join(
            b'{"host_id": "%s", "received_at_wall": "%s"}\n' % (host.encode(), iso(at).encode())
            for at, host in sorted(rows)
        )
    )
    for at in range(since - HOUR, until, 10 * MINUTE):
        site.answer("refused", 412, at_us=at)
    site.sync_journal()
    settings = load(site.config)
    watched, lookback = (
        Watched(settings.rules(), settings.mute_windows, settings.host_limit),
        lookback_of(settings.detectors()),
    )
    outcomes = []
    for spans in (1, 3):
        with Past() as past:
            past.read(settings.receivers[0], lookback, (since, until), lambda _: None)
            outcomes.append(
                {
                    evaluation.at: [
                        (one.host, one.symptom, one.detail, one.suggested_fix) for one in evaluation.findings
                    ]
                    for evaluation in evaluations(past, Replay(watched), since, until, spans)
                }
            )

    assert outcomes[0] == outcomes[1]
    limits = {
        re.sub(r".*the limit is (.*?),.*", r"\1", detail) for found in outcomes[0].values() for _, _, detail, _ in found
    }
    assert len(limits) > 1
    for at, found in outcomes[0].items():
        assert found == checked(site, at, capsys), iso(at)
