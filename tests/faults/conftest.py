"""Rigs of the faults. What a fault is, and which test stands for it, is in tests/FAULTS.md."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.private_journald import PrivateJournald, RigUnavailable, mount_namespace
from tests.rig.alert_journal import AlertJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import DoWithout, Eventually, Service, Site

# The limits are each user namespace's own, so that nobody else's inotify suffers.
_WITHOUT_INOTIFY = """
import ctypes, os
from pathlib import Path

uid = os.getuid()
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):  # CLONE_NEWUSER
    sys.exit("no user namespace: " + os.strerror(ctypes.get_errno()))
Path("/proc/self/uid_map").write_text("0 %d 1" % uid)
Path("/proc/sys/user/{limit}").write_text("0")
"""


@pytest.fixture
def stopped_journald(eventually: Eventually, do_without: DoWithout) -> Iterator[PrivateJournald]:
    """Rig R1 before journald's first start: not even its directory is there."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-health-journald-")))
        scratch.chmod(0o755)
        try:
            stack.enter_context(mount_namespace(scratch))
        except RigUnavailable as unavailable:
            do_without(str(unavailable))
        one = PrivateJournald(eventually)
        stack.callback(one.close)
        yield one


@pytest.fixture
def journald(stopped_journald: PrivateJournald, do_without: DoWithout) -> PrivateJournald:
    """Rig R1: a private journald, running; this test is in its mount namespace."""
    try:
        stopped_journald.start()
    except RigUnavailable as unavailable:
        do_without(str(unavailable))
    return stopped_journald


@pytest.fixture
def alert_journal(tmp_path: Path) -> Iterator[AlertJournal]:
    """Take alerts as journald does."""
    one = AlertJournal(tmp_path / "journald")
    yield one
    one.close()


@pytest.fixture
def start_without_inotify(
    start_altered_service: Callable[[Site, str], Service], do_without: DoWithout
) -> Callable[[Site, str], Service]:
    """Start a service whose inotify is used up: `max_inotify_instances` or `max_inotify_watches` is none."""

    def start(site: Site, limit: str) -> Service:
        service = start_altered_service(site, _WITHOUT_INOTIFY.format(limit=limit))
        service.until(lambda: service.notify.messages or service.process.poll() is not None, "a sign of life")
        if "no user namespace" in (reason := service.stderr.strip()):
            service.close()
            do_without(reason)
        return service

    return start
