"""What the model is tried with: hosts, limits, and times that often stand on the boundary of some window."""

from __future__ import annotations

from hypothesis import strategies as st

from fleet_health.model.instant import SECOND_US
from tests.oracle.limits import MINUTE, Limits, Rules

_RULES = st.builds(
    Rules,
    after=st.sampled_from([1, 5, 30]),
    lookback=st.sampled_from([30, 180]),
    fatal_window=st.sampled_from([5, 90]),
    fatal_min_count=st.integers(1, 3),
    ratio=st.sampled_from([0.001, 0.95, 1.0]),
    unstamped_window=st.sampled_from([5, 90]),
    unstamped_min_count=st.integers(1, 3),
)
LIMITS = st.builds(Limits, _RULES, _RULES) | _RULES.map(lambda rules: Limits(rules, rules))

HOSTS = st.sampled_from(["pi-1", "pi-2", "bench-1"])

# How long ago something happened, in minutes (ahead if negative), often on the boundary of some window; and how far
# beside it, in microseconds.
MINUTES_AGO = st.sampled_from([0, 0, 0, 1, 5, 30, 60, 90, 180]) | st.integers(-12, 200)
BESIDE = st.sampled_from([0, 0, -1, 1])
COPIES = st.integers(1, 4)

# An answer's status; None is a warning.
STATUSES = st.sampled_from([200, 302, 404, 412, 500, 503]) | st.sampled_from([412, 500, None, None])

# How much time passes up to a tick, and by how much the clock is set, in microseconds.
SPANS = st.sampled_from([1, SECOND_US, MINUTE, 5 * MINUTE, 30 * MINUTE, 61 * MINUTE]) | st.integers(1, 10 * MINUTE)
STEPS = st.sampled_from([30 * SECOND_US, -61 * SECOND_US, 61 * SECOND_US]) | st.integers(-180, 180).map(MINUTE.__mul__)

# How many bytes of the alert log were not on the disk yet.
TORN = st.sampled_from([0, 0, 1, 2, 40])
