"""Silences: which incidents they cover, when they are active, and the changes that are reported."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleet_health.alerting.silences import (
    ACTIVE_LIMIT,
    ENDED_LIMIT,
    Changes,
    Ended,
    Silence,
    SilenceRecord,
    Silences,
    SilenceWatch,
    TooManySilences,
    admitted,
    breadth_problem,
    named_by,
    problem_of,
)


def silence(
    hosts: str = "pi-*", symptom: str | None = None, *, since: int = 100, until: int = 200, name: str = "s"
) -> Silence:
    """Return a silence."""
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
    """A glob matches whole names; incidents about no single host need a symptom."""
    assert (Silences([silence(hosts, symptom)]).of(*pair, 150) is not None) == is_matched


@pytest.mark.parametrize(("now", "is_quiet"), [(99, False), (100, True), (199, True), (200, False)])
def test_when_it_holds(*, now: int, is_quiet: bool) -> None:
    """A silence is active from its begin until its end, exclusively."""
    assert (Silences([silence()]).of("pi-1", "silent", now) is not None) == is_quiet


def test_of_several_the_longest_counts() -> None:
    """Of several silences, the one that ends last is returned."""
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
def test_an_end_is_noticed_once(
    during: list[tuple[str, str]], after: list[tuple[str, str]], said: tuple[tuple[str, str], ...] | None
) -> None:
    """The end is reported once, even over a restart, with open incidents and whether it ever matched."""
    one = silence()
    silences, watch = Silences([one]), SilenceWatch()
    early = watch.look(silences, dict.fromkeys(during, 0), 199)
    watch = SilenceWatch(dict(watch.records))
    first = watch.look(silences, dict.fromkeys(after, 0), 200)
    again = SilenceWatch(dict(watch.records)).look(silences, dict.fromkeys(after, 0), 300)

    assert (early.made, early.ended, again) == ((one,), (), Changes())
    assert first == Changes(ended=(Ended(one, said or (), never_matched=said == ()),))


def test_what_is_gone_from_the_file_is_forgotten() -> None:
    """Records of removed silences are dropped."""
    watch = SilenceWatch()
    watch.look(Silences([silence()]), {}, 150)
    gone = watch.look(Silences(), {}, 160)

    assert watch.records == {}
    assert gone == Changes(removed=(("s", 200),))


def test_a_change_of_its_end_is_noticed() -> None:
    """A later or earlier end is reported while the silence is active."""
    watch = SilenceWatch({"s": SilenceRecord()})
    looks = [watch.look(Silences([silence(until=until)]), {}, 150) for until in (200, 200, 300, 250)]

    assert [len(look.moved) for look in looks] == [0, 0, 1, 1]


def test_a_silence_that_is_ended_at_once_is_ended_and_not_moved() -> None:
    """A silence whose new end is now has ended, and was not moved."""
    watch = SilenceWatch()
    watch.look(Silences([silence(until=200)]), {}, 150)

    look = watch.look(Silences([silence(until=160)]), {}, 160)

    assert (look.moved, [one.silence.id for one in look.ended]) == ((), ["s"])


DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({}, "", id="an ordinary one"),
        pytest.param({"hosts": "x" * 128}, "", id="as long as it may be"),
        pytest.param({"hosts": "x" * 129}, "hosts: it has 129 characters, and no more than 128 are allowed"),
        pytest.param({"hosts": "*a" * 8}, "", id="with as many stars as it may have"),
        pytest.param({"hosts": "*a" * 9}, "hosts: it has 9 `*`, and no more than 8 are allowed"),
        pytest.param({"hosts": ""}, "hosts: it is empty"),
        pytest.param({"ends_at": 30 * DAY_US}, "", id="as long as a month"),
        pytest.param({"ends_at": 0}, "", id="ended as soon as it began"),
        pytest.param({"ends_at": -1}, "it ends before it begins"),
        pytest.param({"ends_at": 30 * DAY_US + 1}, "it lasts 30 d, and no more than 30 d are allowed"),
        pytest.param({"reason": "x" * 200, "author": "x" * 64, "id": "x" * 64}, "", id="texts as long as they may be"),
        pytest.param({"reason": "x" * 201}, "reason: it has 201 characters, and no more than 200 are allowed"),
        pytest.param({"author": "x" * 65}, "author: it has 65 characters, and no more than 64 are allowed"),
        pytest.param({"ended_by": "x" * 65}, "ended_by: it has 65 characters, and no more than 64 are allowed"),
        pytest.param({"id": "x" * 65}, "id: it has 65 characters, and no more than 64 are allowed"),
    ],
)
def test_what_a_silence_may_be(change: dict[str, Any], problem: str) -> None:
    """Limits apply however a silence was made."""
    assert problem_of(msgspec.structs.replace(silence(since=0, until=DAY_US), **change)) == problem


def test_how_many_are_admitted() -> None:
    """The first active and the latest ended silences are kept, and the others are reported."""
    ended = [silence(until=number, since=0, name=f"e{number}") for number in range(1, ENDED_LIMIT + 11)]
    holding = [silence(until=10_000, name=f"h{number}") for number in range(ACTIVE_LIMIT + 5)]
    later = silence(since=20_000, until=30_000, name="later")
    found, problems = admitted([*ended, silence("x" * 200, name="bad"), *holding, later], 5_000)

    assert [one.id for one in found] == [*(one.id for one in ended[10:]), *(one.id for one in holding[:ACTIVE_LIMIT])]
    assert admitted(holding[:ACTIVE_LIMIT], 9_999) == (holding[:ACTIVE_LIMIT], [])
    assert admitted(holding, 10_000) == (holding[-ENDED_LIMIT:], [])
    assert ENDED_LIMIT == 200
    assert problems == [
        "hosts: it has 200 characters, and no more than 128 are allowed",
        "6 more than the limit of 200 active silences",
    ]


HOSTS = ["pi-1", "pi-2", "pi-3", "bench-1"]


@pytest.mark.parametrize(
    ("glob", "is_wide"),
    [
        ("*", True),
        ("**", True),
        ("?*", True),
        ("[!x]*", True),
        ("[]a]*", True),
        ("[a-z][a-z]*", True),
        ("pi-*", True),
        ("p*", True),
        ("*-*", True),
        ("*[12]", True),
        ("*-1", False),
        ("bench-*", False),
        ("pi-[12]", False),
        ("pi-1", False),
        ("nobody-*", False),
    ],
)
def test_which_globs_are_most_of_the_fleet(glob: str, *, is_wide: bool) -> None:
    """A glob without literals, or for more than half of the known hosts, needs `--all` beyond a day."""
    assert bool(breadth_problem(glob, DAY_US + 1, HOSTS)) == is_wide
    assert breadth_problem(glob, DAY_US, HOSTS) == ""


def test_a_fleet_of_one_host_is_no_fleet() -> None:
    """With fewer than two known hosts, only globs without literals are refused."""
    assert breadth_problem("pi-*", 2 * DAY_US, ["pi-1", "pi-2", "bench-1"])
    assert breadth_problem("pi-*", 2 * DAY_US, ["pi-1", "pi-2", "bench-1", "bench-2"]) == ""
    assert breadth_problem("pi-*", 2 * DAY_US, ["pi-1"]) == ""
    assert breadth_problem("pi-*", 2 * DAY_US, []) == ""
    assert breadth_problem("*", 2 * DAY_US, []).startswith("* has no literal character and may match every host")


@pytest.mark.parametrize("is_prepared", [True, False])
def test_the_index_of_silences_finds_what_each_alone_would(*, is_prepared: bool) -> None:
    """The index returns the silences that match a host one by one."""
    globs = ("a", "b", "a*", "*", "?", "[ab]", "*")
    every = [silence(glob, symptom) for glob in globs for symptom in (None, "silent")]
    together = Silences(every)
    hosts = ("a", "b", "ab", "c", "*")
    if is_prepared:
        together.prepare(hosts)

    for host in hosts:
        alone = [one for one in every if Silences([one]).about(host)]
        assert sorted(map(id, together.about(host))) == sorted(map(id, alone))


@pytest.mark.parametrize(
    ("what", "meant"),
    [
        ("i1", ["i1"]),
        ("pi-1", ["i1"]),
        ("pi-2", []),
        ("pi-*", ["i1", "i2"]),
        ("[q]*", []),
        ("[pq]*", ["i1", "i2", "i3", "later"]),
        ("*", ["i1", "i2", "i3", "later"]),
        ("planned", ["later"]),
        ("i4", []),
        ("over", []),
    ],
)
def test_what_is_meant_by_an_id_or_by_hosts(what: str, meant: list[str]) -> None:
    """Ended silences, and silences of further hosts, are never selected."""
    silences = [
        silence("pi-1", name="i1"),
        silence("pi-*", name="i2"),
        silence("[pq]*", name="i3"),
        silence("over", until=150, name="i4"),
        silence("planned", since=160, name="later"),
    ]

    assert [one.id for one in named_by(silences, what, 150)] == meant


def test_one_that_ends_early_says_who_ended_it() -> None:
    """A silence that is ended before it begins is never active; other attributes are kept."""
    running, planned = silence().ended(150, by="ann"), silence(since=180).ended(150, by="ann")

    assert (running.starts_at, running.ends_at, running.ended_by) == (100, 150, "ann")
    assert (planned.starts_at, planned.ends_at, planned.ended_by) == (150, 150, "ann")
    assert problem_of(planned) == ""


def test_a_planned_silence_is_noticed_when_it_is_made_and_when_it_begins() -> None:
    """Both are reported once, even over a restart."""
    planned, watch = silence(since=160), SilenceWatch()
    looks = []
    for now in (150, 159, 160, 170):
        watch = SilenceWatch(msgspec.json.decode(msgspec.json.encode(watch.records), type=dict[str, SilenceRecord]))
        looks.append(watch.look(Silences([planned, silence(name="now")]), {}, now))

    assert [[one.id for one in look.made] for look in looks] == [["s", "now"], [], [], []]
    assert [[one.id for one in look.begun] for look in looks] == [[], [], ["s"], []]


@pytest.mark.parametrize(("opened_at", "is_covered"), [(99, True), (100, True), (101, False), (None, False)])
def test_what_an_acknowledgement_covers(*, opened_at: int | None, is_covered: bool) -> None:
    """It covers only incidents that had opened when it was made."""
    one = msgspec.structs.replace(silence(), is_until_resolved=True)
    silences = Silences([one])

    assert (silences.acknowledging("pi-1", "silent", opened_at, 150) is not None) == is_covered
    assert silences.acknowledging("pi-1", "silent", 99, 200) is None
    assert silences.of("pi-1", "silent", 150) is None
    assert one.in_words() == "s until resolved, or 1970-01-01T00:00Z, by me: because"


@pytest.mark.parametrize(("ended_by", "shown"), [("", None), ("ann", "ann")])
def test_a_silence_is_shown_to_programs(ended_by: str, shown: str | None) -> None:
    """Times are in UTC, and an absent user is null."""
    one = msgspec.structs.replace(silence(symptom="silent"), starts_at=0, ends_at=3_600_000_000, ended_by=ended_by)

    assert one.row() == {
        "id": "s",
        "hosts": "pi-*",
        "symptom": "silent",
        "starts_at_wall": "1970-01-01T00:00:00+00:00",
        "ends_at_wall": "1970-01-01T01:00:00+00:00",
        "reason": "because",
        "author": "me",
        "is_until_resolved": False,
        "is_resolved": False,
        "ended_by": shown,
    }


def test_whoever_cannot_make_another_silence_learns_what_to_do() -> None:
    """The error has the limit, and the commands that make room."""
    text = str(TooManySilences())

    assert text.startswith(f"{ACTIVE_LIMIT} silences are active already, which is the limit")
    assert "fleet-health silence list" in text
