"""Silences: whom they are about, when they hold, and what is said when they end."""

from __future__ import annotations

import pytest

from fleet_health.domain.silences import Ended, Silence, Silences, SilenceWatch


def silence(
    hosts: str = "pi-*", symptom: str | None = None, *, since: int = 100, until: int = 200, name: str = "s"
) -> Silence:
    """Make a silence."""
    return Silence(name, hosts, symptom, since, until, "because", "me")


@pytest.mark.parametrize(
    ("hosts", "symptom", "pair", "is_matched"),
    [
        ("pi-*", None, ("pi-1", "silent"), True),
        ("pi-*", None, ("api-1", "silent"), False),
        ("pi-*", None, ("PI-1", "silent"), False),
        ("pi-1", "silent", ("pi-1", "silent"), True),
        ("pi-1", "silent", ("pi-1", "fatal-only"), False),
        ("pi-1", "silent", ("pi-10", "silent"), False),
        ("*", None, ("a", "silent"), True),
        ("*", None, ("*", "blind"), False),
        ("*", "blind", ("*", "blind"), True),
        ("?", "blind", ("*", "blind"), False),
        ("[l]ist", None, ("list", "silent"), True),
    ],
)
def test_whom_it_is_about(hosts: str, symptom: str | None, pair: tuple[str, str], *, is_matched: bool) -> None:
    """A whole name by its glob; what concerns no host only by its symptom."""
    assert silence(hosts, symptom).matches(*pair) == is_matched


@pytest.mark.parametrize(("now", "is_quiet"), [(99, False), (100, True), (199, True), (200, False)])
def test_when_it_holds(*, now: int, is_quiet: bool) -> None:
    """From its start on, until its end exclusively."""
    assert (Silences([silence()]).of("pi-1", "silent", now) is not None) == is_quiet


def test_of_several_the_longest_counts() -> None:
    """That is the one that somebody who asks wants to know."""
    longest = silence(until=300, name="b")
    silences = Silences([silence(name="a"), longest, silence("other", until=400, name="c")])

    assert silences.of("pi-1", "silent", 150) == longest


PAIR, OTHER = ("pi-1", "silent"), ("other", "silent")


@pytest.mark.parametrize(
    ("during", "after", "said"),
    [
        ([PAIR], [], None),
        ([PAIR], [PAIR, OTHER], (PAIR,)),
        ([], [], ()),
        ([OTHER], [OTHER], ()),
        ([], [PAIR], (PAIR,)),
    ],
)
def test_an_end_is_said_if_it_matters(
    during: list[tuple[str, str]], after: list[tuple[str, str]], said: tuple[tuple[str, str], ...] | None
) -> None:
    """Where something stands still, or nothing ever did; once, and over a restart too."""
    one = silence()
    silences, watch = Silences([one]), SilenceWatch()
    early = watch.look(silences, during, 199)
    watch = SilenceWatch(dict(watch.records))
    first = watch.look(silences, after, 200)
    again = SilenceWatch(dict(watch.records)).look(silences, after, 300)

    assert (early, again) == ([], [])
    assert first == ([] if said is None else [Ended(one, said)])


def test_what_is_gone_from_the_file_is_forgotten() -> None:
    """Nothing grows."""
    watch = SilenceWatch()
    watch.look(Silences([silence()]), [], 150)
    watch.look(Silences(), [], 160)

    assert watch.records == {}
