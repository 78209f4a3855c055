"""Files that show each evaluation: whole at any instant, readable for others, and never in the service's way."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from fleet_health.api.published_files import PublishedFiles
from fleet_health.errors import SinkUnavailable
from fleet_health.service.publication import Publication
from tests.rig.exposition_readers import read_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import AsyncEventually, Site, StartService


class Writing:
    """A published file, under the control of a test."""

    def __init__(self, path: Path | None) -> None:
        self.publication, self.path, self.made = Publication(), path, 0
        self.error: Exception | None = None
        self.files = PublishedFiles("file", lambda: self.path and self.path.parent, self._contents)

    async def _contents(self) -> dict[str, bytes]:
        self.made += 1
        if self.error is not None:
            raise self.error
        assert self.path is not None
        return {self.path.name: f"made {self.made}\n".encode()}


@pytest.fixture
async def writing(tmp_path: Path) -> AsyncIterator[Writing]:
    """Return a published file whose directory exists; it is being written."""
    one = Writing(tmp_path / "fleet.prom")
    task: asyncio.Task[None] = asyncio.create_task(one.files.run(one.publication))
    yield one
    task.cancel()


async def test_it_is_replaced_after_each_evaluation(writing: Writing, async_eventually: AsyncEventually) -> None:
    """Not before the first one. Other users can read it, and no temporary file remains."""
    path = writing.path
    assert path is not None
    old_umask = os.umask(0o077)
    try:
        for number in (1, 2):
            assert writing.made == number - 1
            writing.publication.publish()
            await async_eventually(lambda: path.exists() and path.read_bytes() == b"made %d\n" % writing.made)
    finally:
        os.umask(old_umask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in path.parent.iterdir()] == ["fleet.prom"]


async def test_another_path_removes_the_old_file(writing: Writing, async_eventually: AsyncEventually) -> None:
    """node_exporter would serve both. Without a path there is no file."""
    old = writing.path
    assert old is not None
    writing.publication.publish()
    await async_eventually(old.exists)
    writing.path = new = old.with_name("other.prom")
    writing.publication.publish()
    await async_eventually(new.exists)
    assert not old.exists()
    writing.path = None
    writing.publication.publish()
    await async_eventually(lambda: not new.exists())


async def test_a_failure_is_a_problem_of_the_service(writing: Writing, async_eventually: AsyncEventually) -> None:
    """It is logged once, does not end the service, and is over when the file is written again."""
    path = writing.path
    assert path is not None
    with capture_logs() as logs:
        for error, problem in ((ZeroDivisionError("no"), "ZeroDivisionError: no"), (SinkUnavailable("full"), "full")):
            writing.error = error
            writing.publication.publish()
            await async_eventually(lambda problem=problem: writing.files.problem == problem)  # type: ignore[misc]
        writing.error = None
        writing.publication.publish()
        await async_eventually(lambda: path.exists() and not writing.files.problem)
        writing.path = path.parent / "absent" / "fleet.prom"
        for _ in range(2):
            made = writing.made
            writing.publication.publish()
            await async_eventually(lambda made=made: writing.made > made)  # type: ignore[misc]
            await async_eventually(lambda: "absent" in writing.files.problem)

    reasons = [one.get("reason", one["event"]) for one in logs]
    assert reasons[:3] == ["ZeroDivisionError: no", "full", "published file written again"]
    assert ["absent" in reason for reason in reasons[3:]] == [True]


def test_the_service_writes_it(site: Site, start_service: StartService) -> None:
    """After a reload, it is only at the new path."""
    first, second = site.directory / "first.prom", site.directory / "second.prom"
    site.configure(f'metrics.textfile = "{first}"')
    site.upload("well")
    with start_service(site) as service:
        service.until(first.exists, "the file")
        (evaluations,) = (one for one in read_text(first.read_text()) if one.name == "fleet_health_evaluations")
        site.configure(f'metrics.textfile = "{second}"\nmetrics.hosts = "none"')
        service.process.send_signal(signal.SIGHUP)
        service.until(second.exists, "the other file")

    assert evaluations.samples[0].value >= 1
    assert not first.exists()
    assert 'host="well"' not in second.read_text()


def test_the_page_is_written_with_its_resources(site: Site, start_service: StartService) -> None:
    """Every file that it refers to is beside it, and other files in the directory stay."""
    directory = site.directory / "public"
    directory.mkdir()
    (directory / "robots.txt").touch()
    site.configure(f'page.directory = "{directory}"')
    site.upload("well")
    with start_service(site) as service:
        service.until((directory / "page.js").exists, "the page")
        page = (directory / "index.html").read_text()
        before = (directory / "index.html").stat().st_ino, (directory / "page.css").stat().st_ino
        service.until(lambda: (directory / "index.html").stat().st_ino != before[0], "another page")
        kept = (directory / "page.css").stat().st_ino
        there = {one.name for one in directory.iterdir()}
        site.configure()
        service.process.send_signal(signal.SIGHUP)
        service.until(lambda: [one.name for one in directory.iterdir()] == ["robots.txt"], "the end of the page")

    links = [link for link in re.findall(r'(?:href|src)="\./([^"]*)"', page) if link]
    assert "well" in page
    assert {"page.css", "page.js", "silences.html", "wall.html"} <= set(links) <= there
    assert kept == before[1]
