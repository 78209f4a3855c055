"""A host's past as a strip: one character for each bin of time, the oldest first."""

from __future__ import annotations

from fleet_health.model.instant import HOUR_US

BIN_US, BINS = HOUR_US // 4, 24
"""The length of a bin of the last hours, in microseconds, and how many there are: quarters of an hour, over 6 hours."""

LONG_BIN_US, LONG_BINS = 3 * HOUR_US, 56
"""The same for the last days: 3 hours, over 7 days."""

UPLOADED, REFUSED, BOTH, NOTHING, UNSEEN = "s", "r", "b", ".", " "
"""The characters of a bin: uploaded, refused, both, neither, not watched."""
