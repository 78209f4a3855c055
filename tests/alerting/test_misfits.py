"""Hosts whose limit does not fit their rhythm."""

from __future__ import annotations

import pytest

from fleet_health.alerting.ended import Ended
from fleet_health.alerting.misfits import ENOUGH, misfits


def ended(host: str, symptom: str = "silent", state: str = "resolved", *, at: int = 1, detail: str = "") -> Ended:
    """Return an incident that ended just after it opened."""
    return Ended("0123456789abcdef", host, symptom, state, at, at, at, at + 1, at + 1, detail)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([ended("a")] * ENOUGH, {"a": ENOUGH}, id="often enough"),
        pytest.param([ended("a")] * (ENOUGH - 1), {}, id="once too few"),
        pytest.param([ended("a", "fatal-only")] * ENOUGH, {}, id="another symptom"),
        pytest.param([ended("a", state="forgotten")] * ENOUGH, {}, id="it never came back"),
        pytest.param(
            [ended("a", detail="1 h ago; it tries, and is refused: 3 x 412")] * ENOUGH, {}, id="it was refused"
        ),
        pytest.param([ended("a")] * ENOUGH + [ended("a", "fatal-only", "forgotten")], {}, id="as another symptom says"),
        pytest.param([ended("a")] * ENOUGH + [ended("a", "unstamped", at=3)], {"a": ENOUGH}, id="at another time"),
        pytest.param(
            [ended("a", at=3)] * ENOUGH + [ended("a", "unstamped", at=2)],
            {},
            id="a refusal that ended as it fell silent",
        ),
        pytest.param(
            [ended("a", at=3)] * ENOUGH + [ended("a", "unstamped", at=4)], {}, id="one that began as it came back"
        ),
        pytest.param([ended("a")] * ENOUGH + [ended("b", "degraded")], {"a": ENOUGH}, id="another host was refused"),
        pytest.param([ended("learned")] * ENOUGH, {}, id="it has a limit of its own"),
    ],
)
def test_who_comes_back_again_and_again_has_the_wrong_limit(found: list[Ended], expected: dict[str, int]) -> None:
    """A host is a misfit only if its limit is configured."""
    assert misfits(found, lambda host: host != "learned") == expected
