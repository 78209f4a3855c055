"""Daemon, `notify` and destination are killed at random, and the network, the disk and the ledger fail between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.journal import find_writer
from tests.crash.notify_rounds import make_plan, run_rounds
from tests.rig.cut_network import can_cut

if TYPE_CHECKING:
    from tests.conftest import DoWithout

ROUNDS = 3
"""Enough to see that they can be done; hundreds are by `python tests/crash/notify_rounds.py`."""
SEED = 4


@pytest.fixture(autouse=True)
def _means(do_without: DoWithout) -> None:
    if find_writer() is None:
        do_without("systemd-journal-remote is not installed")
    if not can_cut():
        do_without("this machine allows no namespaces")


def test_every_notification_arrives_once_whoever_is_killed() -> None:
    """Each opening and each resolution, or again with the same key where an answer was lost."""
    results = run_rounds(ROUNDS, SEED, jobs=ROUNDS)

    assert "\n".join(str(result) for result in results if result.problems) == ""
    assert sum(result.counts["kill notify"] for result in results) >= ROUNDS


def test_a_round_is_planned_from_its_seed() -> None:
    """The same seed gives the same plan, another seed another one."""
    assert make_plan("4/1") == make_plan("4/1") != make_plan("4/2")
