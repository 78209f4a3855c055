"""A host's last hours as a strip: a character for each quarter of an hour, the latest at the end."""

from __future__ import annotations

BINS = 24
"""How many quarters of an hour it has."""

UPLOADED, REFUSED, BOTH, NOTHING, UNSEEN = "s", "r", "b", ".", " "
"""The characters of a bin: uploaded, refused, both, neither, not watched."""
