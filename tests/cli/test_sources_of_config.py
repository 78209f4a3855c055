"""A setting that can be used and is wrong: `config check`, the preview of a reload and `status` say so."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunCommand, Site, StartService

UNKNOWN = "cis490-reciever.service: the journal has no entry of it"
UNMATCHED = "has no line that `journal.response` matches"

WRONG = {
    "a mistyped unit": ("journal.unit = 'cis490-reciever.service'", UNKNOWN),
    "one of two units": ("journal.unit = ['cis490-receiver.service', 'cis490-reciever.service']", UNKNOWN),
    "a glob": (
        "journal.unit = ['reciever@*.service']",
        "reciever@*.service: the journal has no entry of any such unit",
    ),
    "a slice": ("journal.unit = 'receivers.slice'", "receivers.slice: the journal has no entry of it"),
    "a match": ("journal.match = ['CONTAINER_NAME=reciever']", "no entry of the journal has CONTAINER_NAME=reciever"),
    "a unit with a match": (
        "journal.unit = 'cis490-receiver.service'\njournal.match = ['_COMM=uvicron']",
        "no entry of the journal of cis490-receiver.service has _COMM=uvicron",
    ),
    "a unit of another program": ("journal.unit = 'other.service'", f"of other.service {UNMATCHED}"),
    "another pattern": ("journal.response = '^(?P<host>x) (?P<status>x)$'", UNMATCHED),
    "one of two receivers": (
        "[[receivers]]\nname = 'a'\n[[receivers]]\nname = 'b'\nindex.path = 'b.jsonl'\njournal.unit = 'b.service'",
        "b.service: the journal has no entry of it",
    ),
}


@pytest.fixture
def busy_site(site: Site) -> Site:
    """A receiver whose hosts upload, and another program on its machine."""
    site.begin_journal()
    for minutes in range(15):
        site.upload("pi-1", minutes_ago=15 - minutes)
        site.answer("pi-1", 201)
        site.journal.append("another program's line", unit="other.service")
    site.sync_journal()
    (site.directory / "b.jsonl").write_bytes(site.index.read_bytes())
    site.configure()
    return site


@pytest.mark.parametrize(("text", "problem"), [pytest.param(*one, id=name) for name, one in WRONG.items()])
def test_a_source_that_is_no_receivers_is_said_everywhere(
    text: str, problem: str, busy_site: Site, run_command: RunCommand, start_service: StartService
) -> None:
    """It is reported before the reload and as long as it is in force, with exit status 3."""
    busy_site.configure(tick="1h")
    with start_service(busy_site) as service:
        service.until_ready()
        busy_site.configure(text)
        checked = run_command("config", "check", "--config", busy_site.config)
        preview = run_command("reload", "--dry-run", "--config", busy_site.config)
        service.reload()
        service.until_evaluated_anew()
        status = run_command("status", "--no-pager", "--config", busy_site.config)

    assert (checked.status, problem in checked.stderr, "good" in checked.stdout) == (3, True, False), checked
    assert (preview.status, "problem: " in preview.stdout, problem in preview.stdout) == (3, True, True), preview
    assert (status.status, problem in " ".join(status.stdout.split())) == (3, True), status


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda site: site.index.unlink(), "index.jsonl: No such file", id="missing"),
        pytest.param(lambda site: site.index.write_text("a log\n"), "not one of 1 row was understood", id="a log"),
        pytest.param(lambda site: (site.index.unlink(), site.index.mkdir()), "expected a regular file", id="directory"),
    ],
)
def test_an_index_that_is_none_is_a_problem(
    change: Callable[[Site], object], problem: str, busy_site: Site, run_command: RunCommand
) -> None:
    """The file is reported as a problem although the configuration is valid."""
    change(busy_site)
    checked = run_command("config", "check", busy_site.config)
    alone = run_command("config", "check", "--file-only", busy_site.config)

    assert (checked.status, problem in checked.stderr) == (3, True), checked
    assert (alone.status, alone.stdout) == (0, f"{busy_site.config}: good\n")


def test_a_setting_in_doubt_is_a_warning_everywhere(
    busy_site: Site, run_command: RunCommand, start_service: StartService
) -> None:
    """A warning does not change the exit status."""
    busy_site.configure(tick="1h")
    warning = "warning: overrides[1].hosts: no known host matches pi-11; did you mean pi-1?"
    with start_service(busy_site) as service:
        service.until_ready()
        busy_site.configure('[[overrides]]\nhosts = ["pi-11"]\ndetectors.silent.after = "1h"')
        checked = run_command("config", "check", "--config", busy_site.config)
        preview = run_command("reload", "--config", busy_site.config)
        status = run_command("status", "--no-pager", "--config", busy_site.config)

    assert (checked.status, preview.status, status.status) == (0, 0, 0)
    assert f"{busy_site.config}: {warning}\n{busy_site.config}: good\n" == checked.stdout
    assert f"{warning}\n" in preview.stdout
    assert f"{warning}\n" in status.stdout


def test_a_receiver_that_is_there_is_good(busy_site: Site, run_command: RunCommand) -> None:
    """There is no warning."""
    checked = run_command("config", "check", "--config", busy_site.config)

    assert (checked.status, checked.stdout, checked.stderr) == (0, f"{busy_site.config}: good\n", "")


def test_a_receiver_that_was_missing_and_comes_is_well(
    busy_site: Site, run_command: RunCommand, start_service: StartService
) -> None:
    """Its first entries resolve the problem."""
    busy_site.configure("journal.unit = 'late.service'")
    with closing(start_service(busy_site)) as service:
        service.until_ready()
        service.until_evaluated_anew()
        missing = run_command("status", "--no-pager", "--config", busy_site.config)
        busy_site.journal_name = "late.journal"
        busy_site.journal.append('1.2.3.4:5 - "PUT /v1/episodes/pi-1/e HTTP/1.1" 201', unit="late.service")
        busy_site.sync_journal()
        service.until(lambda: "late.service" not in service.notify.status, "the receiver")
        service.until_evaluated_anew()
        there = run_command("status", "--no-pager", "--config", busy_site.config)

    assert (missing.status, there.status) == (3, 0), there
