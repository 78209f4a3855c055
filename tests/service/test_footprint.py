"""The resources of the process."""

from __future__ import annotations

from fleet_health.service.footprint import footprint, give_back_memory

_MIB = 1 << 20


def test_free_memory_is_given_back() -> None:
    """This includes free memory below blocks in use, which the C library keeps by default."""
    blocks = [bytes(4_096) for _ in range(16_384)]
    kept = blocks[::64]
    del blocks
    before = footprint().resident

    give_back_memory()

    after = footprint().resident
    assert before is not None
    assert after is not None
    assert before - after > 32 * _MIB
    assert len(kept) == 256
