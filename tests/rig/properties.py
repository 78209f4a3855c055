"""How many examples a property is tried on: few as a rule, and twenty times as many with HYPOTHESIS_PROFILE=thorough.

In CI they are the same each time: a change is tested by itself, not by chance. Everywhere else each run tries new ones.
There is no deadline: how long an example takes depends on what else the machine does.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import Phase, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "by hand")
_TIMES = {"thorough": 20}

settings.register_profile("ci", derandomize=True, deadline=None)
# A mutant is to be noticed, not to be explained by the smallest example.
settings.register_profile("mutants", derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate])
settings.register_profile("by hand", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2_000)


def tried(examples: int, **others: Any) -> settings:
    """Return the settings of a property that is tried on so many examples, and on more in the thorough profile."""
    return settings(deadline=None, max_examples=examples * _TIMES.get(PROFILE, 1), **others)
