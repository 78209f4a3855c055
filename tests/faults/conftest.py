"""Rigs of the faults. What a fault is, and which test stands for it, is in tests/FAULTS.md."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.private_journald import PrivateJournald, RigUnavailable, mount_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import DoWithout, Eventually


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
