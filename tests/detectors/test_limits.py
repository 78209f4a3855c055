"""Limits of each host: of the overrides that match, the most specific one wins, attribute by attribute."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fleet_health.detectors.limits import HostLimits, Override


@dataclass(frozen=True, slots=True)
class Pair:
    """Limits of two attributes, as a detector may have them."""

    first: int = 0
    second: int = 0


@pytest.mark.parametrize(
    ("overrides", "limits"),
    [
        pytest.param([], Pair(), id="without overrides: the default"),
        pytest.param([Override("pi-*", {"first": 1})], Pair(), id="no match: the default"),
        pytest.param([Override("bench-*", {"first": 1})], Pair(1), id="a match changes what it sets and nothing else"),
        pytest.param([Override("BENCH-*", {"first": 1})], Pair(), id="globs heed the case"),
        pytest.param([Override("bench", {"first": 1})], Pair(), id="a glob must match the whole name"),
        pytest.param([Override("ench-12", {"first": 1})], Pair(), id="from its beginning on, too"),
        pytest.param([Override("bench.12", {"first": 1})], Pair(), id="a dot in a glob is a dot"),
        pytest.param([Override("bench-1?", {"first": 1})], Pair(1), id="a question mark is one character"),
        pytest.param([Override("bench-?", {"first": 1})], Pair(), id="and no more than one"),
        pytest.param([Override("bench-[0-3]2", {"first": 1})], Pair(1), id="a set is any one of its characters"),
        pytest.param([Override("bench-[!0-3]2", {"first": 1})], Pair(), id="or none of them"),
        pytest.param(
            [Override("bench-12", {"first": 1}), Override("bench-*", {"first": 2})],
            Pair(1),
            id="the full name wins over a later glob",
        ),
        pytest.param(
            [Override("*", {"first": 1, "second": 1}), Override("bench-*", {"first": 2})],
            Pair(2, 1),
            id="each attribute comes from the most specific one that sets it",
        ),
        pytest.param(
            [Override("bench-*", {"first": 1}), Override("*-12", {"second": 2}), Override("*", {"first": 9})],
            Pair(1, 2),
            id="attributes may come from different overrides",
        ),
        pytest.param(
            [Override("b*12", {"first": 1, "second": 1}), Override("be*2", {"first": 2})],
            Pair(2, 1),
            id="of two equally specific ones the later wins, where it says something",
        ),
        pytest.param(
            [Override("bench-1?", {"first": 1}), Override("bench-[0-9][0-9]", {"first": 2})],
            Pair(1),
            id="a set spells nothing out, however long it is",
        ),
        pytest.param(
            [Override("bench-1*", {"first": 1}), Override("bench-[]123]*", {"first": 2})],
            Pair(1),
            id="nor does a set that holds a closing bracket",
        ),
        pytest.param(
            [Override("bench-*", {"first": 1}), Override("*?*?*?*?*?*?*?*", {"first": 2})],
            Pair(1),
            id="wildcards spell nothing out",
        ),
    ],
)
def test_the_most_specific_override_wins(overrides: list[Override], limits: Pair) -> None:
    """The limits of bench-12 follow from the overrides that match its name."""
    assert HostLimits(Pair(), overrides).of("bench-12") == limits


def test_what_was_said_once_is_said_again() -> None:
    """The limits of a host are the same when asked again, even after very many other hosts."""
    limits = HostLimits(Pair(), [Override("bench-*", {"first": 1})])

    before = limits.of("bench-1")
    others = {limits.of(f"pi-{number}") for number in range(20_001)}

    assert (before, others, limits.of("bench-1")) == (Pair(1), {Pair()}, Pair(1))


def test_every_limit_that_can_be_in_force_is_known() -> None:
    """The default, and what each override makes of it."""
    limits = HostLimits(Pair(), [Override("a", {"first": 1}), Override("b", {"second": 2})])

    assert limits.each_alone() == [Pair(), Pair(1), Pair(0, 2)]


def test_names_that_come_and_go_fill_no_memory() -> None:
    """Cached limits are dropped when there are too many; the results stay the same."""
    limits = HostLimits(Pair(), [Override("a-*", {"first": 1})])

    assert {limits.of(f"a-{number}") for number in range(45_000)} == {Pair(1)}
    assert len(limits._by_host) <= 20_000
