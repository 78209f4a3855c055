"""The lines that an alert shows, and the command for the rest: from real journals."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from fleet_health.config.loading import load
from fleet_health.model.host_name import host_name
from fleet_health.sources.journal.samples import journal_command, sample_lines
from tests.rig.site import now_us

if TYPE_CHECKING:
    from fleet_health.config.schema import JournalSettings
    from tests.conftest import Site

MINUTE = 60_000_000


@pytest.fixture
def settings(site: Site) -> JournalSettings:
    """The settings of the site's journal."""
    return load(site.configure()).receivers[0].journal


def test_the_latest_refusals_are_shown_oldest_first(site: Site, settings: JournalSettings) -> None:
    """Three for each host; no acceptances, no lines of others, and nothing after the instant."""
    now = now_us()
    for age, status in ((9, 412), (8, 400), (7, 201), (6, 503), (5, 412)):
        site.answer("a", status, at_us=now - age * MINUTE)
    site.answer("b", 412, at_us=now - 4 * MINUTE)
    site.warn_unstamped("c", at_us=now - 3 * MINUTE)
    site.answer("a", 500, at_us=now)
    site.sync_journal()

    samples = sample_lines(settings, ["a", "c", "d"], now - 30 * MINUTE, now - 2 * MINUTE)

    assert [line.rsplit(" ", 1)[1] for line in samples["a"]] == ["400", "503", "412"]
    assert samples["c"] == ["WARNING: missing X-Cis490-Code-Commit host=c, refused"]
    assert set(samples) == {"a", "c"}


def test_what_is_older_is_not_shown(site: Site, settings: JournalSettings) -> None:
    """The boundary is included."""
    now = now_us()
    site.answer("a", 412, at_us=now - 30 * MINUTE - 1)
    site.answer("a", 400, at_us=now - 30 * MINUTE)
    site.sync_journal()

    (line,) = sample_lines(settings, ["a"], now - 30 * MINUTE, now)["a"]

    assert line.endswith(" 400")


def test_a_line_is_escaped_and_cut(site: Site, settings: JournalSettings) -> None:
    """A stranger's text must not control a terminal."""
    site.journal.append(b'\x1b[31m\xff - "PUT /v1/episodes/a/' + b"e" * 300 + b' HTTP/1.1" 412')
    site.sync_journal()

    (line,) = sample_lines(settings, ["a"], 0, now_us())["a"]

    assert line.startswith("\\x1b[31m\\xff - ")
    assert (len(line), line[-1]) == (200, "…")


def test_a_journal_that_is_not_there_shows_nothing(settings: JournalSettings, tmp_path: Path) -> None:
    """The alert is sent all the same."""
    assert sample_lines(replace(settings, directory=tmp_path / "none"), ["a"], 0, now_us()) == {}


@pytest.mark.parametrize(
    "host", ["a.b", "x'y", "-n", "$(id)", "a b", "büro", "aa:bb:cc", "a/b", "𝄞", "`id`\n", "x" * 200, "ü" * 60]
)
def test_the_command_shows_the_lines_of_the_host(host: str, site: Site, settings: JournalSettings) -> None:
    """In a shell it shows exactly these lines, whatever the host is called and however its name is written."""
    ways = [host] if host.isprintable() else []
    ways += [quote(host), quote(host, safe="").lower(), json.dumps(host)[1:-1]]
    for one in (*ways, "aXb", "other", "b%C3%A4ro"):
        site.answer(one, 412)
    site.sync_journal()

    command = journal_command(settings, host_name(host), now_us() - MINUTE)
    done = subprocess.run(["sh", "-c", f"{command} --output=json"], capture_output=True, text=True, check=True)

    lines = [json.loads(line)["MESSAGE"] for line in done.stdout.splitlines()]
    assert [line.split("/v1/episodes/")[1].rpartition("/e")[0] for line in lines] == ways
    assert command.isascii()
    assert command.isprintable()


def test_the_command_names_another_journal(settings: JournalSettings) -> None:
    """A namespace, or a directory with a space in its name; without a host it shows all lines of the unit."""
    directory = journal_command(replace(settings, directory=Path("/a b")), "", 5_999_999)
    namespace = journal_command(replace(settings, directory=None, namespace="lab"), "pi-1", 0)

    assert shlex.split(directory)[1:] == ["--unit=cis490-receiver.service", "--since=@5", "--directory=/a b"]
    assert shlex.split(namespace)[1:] == [
        "--unit=cis490-receiver.service", "--since=@0", "--namespace=+lab", "--grep=pi-1"
    ]  # fmt: skip
