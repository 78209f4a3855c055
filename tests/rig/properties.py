"""On how many examples a property is tried, and how often a random course is run: HYPOTHESIS_PROFILE says.

In CI, with `tests/run`, and for mutants, it is a quarter of the usual number, and they are the same each time: a change
is tested by itself, not by chance.
Everywhere else each run tries new ones, and the usual number of them, which `full` asks for in CI as well; `thorough`
tries twenty times as many. There is no deadline: how long an example takes depends on what else the machine does.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import Phase, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "by hand")
_SHARES = {"ci": 0.25, "mutants": 0.25, "thorough": 20}
_USUAL, _LEAST = 100, 20

# A mutant is to be noticed, not to be explained by the smallest example.
_KINDS: dict[str, dict[str, Any]] = {
    "by hand": {},
    "ci": {"derandomize": True},
    "full": {"derandomize": True},
    "mutants": {"derandomize": True, "phases": [Phase.explicit, Phase.generate]},
    "thorough": {},
}


def times(usual: int, *, least: int = 1) -> int:
    """Return how often something is done that is done so often as a rule, and no less often than so."""
    return max(least, round(usual * _SHARES.get(PROFILE, 1)))


def tried(examples: int, **others: Any) -> settings:
    """Return the settings of a property that is tried on so many examples as a rule."""
    return settings(deadline=None, max_examples=times(examples, least=min(examples, _LEAST)), **others)


for _name, _others in _KINDS.items():
    settings.register_profile(_name, deadline=None, max_examples=times(_USUAL), **_others)
