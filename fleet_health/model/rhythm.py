"""The rhythm of a host: the bins of 7.5 minutes in which it uploaded, in the four weeks up to its newest upload.

One bit stands for each bin, counted back from the newest upload: 5,376 bits. So a burst counts once, an upload that
both sources show counts once, and the result is the same in whatever order the uploads are recorded, and however often.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgspec

from fleet_health.model.instant import HOUR_US

BINS_AN_HOUR = 8
BIN_US = HOUR_US // BINS_AN_HOUR
"""The length of a bin."""
DAY, WEEK = 24 * BINS_AN_HOUR, 7 * 24 * BINS_AN_HOUR
"""How many bins a day and a week have."""
BINS = 4 * WEEK
"""How many bins a rhythm has at most."""
KEPT_US = BINS * BIN_US
"""How far back from its newest upload a host's rhythm is known."""
SIZE = BINS // 8
"""How many bytes the bits of a rhythm take at most."""
ALL_BINS = (1 << BINS) - 1
"""The bits of all bins."""


class Rhythm(NamedTuple):
    """When a host uploaded.

    Attributes:
        newest: The number of the bin of its newest upload, counted from the epoch.
        bits: The lowest bit stands for that bin, the next one for the bin before.

    """

    newest: int
    bits: int

    @property
    def known_us(self) -> int:
        """How long ago its oldest upload was when it uploaded last, in microseconds."""
        return (self.bits.bit_length() - 1) * BIN_US

    def with_upload(self, number: int) -> Rhythm:
        """Return the rhythm with an upload in a bin."""
        newest, bits = self
        if number > newest:
            return Rhythm(number, (bits << number - newest | 1) & ALL_BINS if number - newest < BINS else 1)
        return Rhythm(newest, bits | 1 << newest - number) if newest - number < BINS else self

    def joined(self, other: Rhythm) -> Rhythm:
        """Return the rhythm with the uploads of another one."""
        newest = max(self.newest, other.newest)
        own, others = (one.bits << min(newest - one.newest, BINS) for one in (self, other))
        return Rhythm(newest, (own | others) & ALL_BINS)

    def up_to(self, latest: int) -> Rhythm:
        """Return the rhythm without bins later than a given one; without any bit if nothing is left."""
        if self.newest <= latest:
            return self
        bits = self.bits >> min(self.newest - latest, BINS)
        if not bits:
            return Rhythm(0, 0)
        age = (bits & -bits).bit_length() - 1
        return Rhythm(latest - age, bits >> age)

    def seen_from(self, newest: int) -> int:
        """Return the bits, counted back from another bin."""
        if self.newest >= newest:
            return self.bits >> self.newest - newest & ALL_BINS
        return self.bits << min(newest - self.newest, BINS) & ALL_BINS

    def saved(self) -> SavedRhythm:
        """Return it as it is saved."""
        bits = self.bits.to_bytes(-(-self.bits.bit_length() // 8), "little")
        return SavedRhythm(self.newest, zlib.compress(bits, 1))


class SavedRhythm(msgspec.Struct, array_like=True):
    """A `Rhythm` as it is saved.

    Attributes:
        newest: As there.
        bits: The bits, the lowest first, compressed: 700 bytes at most.

    """

    newest: int
    bits: bytes

    def restored(self) -> Rhythm | None:
        """Return the rhythm; None if the data is invalid."""
        try:
            bits = zlib.decompressobj().decompress(self.bits, SIZE + 1)
        except zlib.error:
            return None
        value = int.from_bytes(bits, "little")
        is_right = len(bits) <= SIZE and value & 1 and self.newest >= 0
        return Rhythm(self.newest, value) if is_right else None
