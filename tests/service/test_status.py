"""The status line: what an operator asks first, in one line."""

from __future__ import annotations

from fleet_health.domain.detectors.contract import Finding
from fleet_health.domain.evaluation import Evaluation
from fleet_health.parsing.rejection import Rejection
from fleet_health.service.status import starting_line, status_line
from fleet_health.sources.state import Phase, SourceState

NOW = 1_795_000_000_000_000  # 2026-11-18T11:06:40Z


def sources() -> list[SourceState]:
    """Make one source that follows and one that waits."""
    index = SourceState("index", phase=Phase.FOLLOWING, seen_until=NOW - 3_000_000)
    index.rejections.add([Rejection("not JSON", "x")] * 2)
    return [index, SourceState("journal", phase=Phase.WAITING, reason="there is none")]


def test_everything_is_in_one_line() -> None:
    """Problems first, for the end may be cut off."""
    findings = tuple(Finding(host, symptom, "", "") for host, symptom in (("a", "silent"), ("b", "silent"), ("c", "x")))
    line = status_line(
        host_count=7,
        sources=sources(),
        last=Evaluation(NOW - 2_000_000, findings),
        next_at=NOW + 5_000_000,
        unseen=["unstamped"],
        problems=["reload refused: tick"],
        now=NOW,
    )

    assert line == (
        "reload refused: tick; Watching 7 hosts; index following, 3 s behind, 2 rejected;"
        " journal waiting (there is none); 3 firing (2 silent, 1 x); not judged: unstamped;"
        " last tick 11:06:38; next 11:06:45 UTC"
    )


def test_before_the_first_tick_nothing_is_claimed() -> None:
    """Neither that nothing fires, nor when the last tick was."""
    line = status_line(host_count=1, sources=[], last=None, next_at=None, unseen=[], problems=[], now=NOW)

    assert line == "Watching 1 host"


def test_while_starting_the_progress_is_shown() -> None:
    """How much each source has read."""
    state = SourceState("journal", read=12_345)

    assert starting_line([state], NOW) == "Starting: journal catching up, 12345 read"
