"""The whole core against a second implementation, written straight from the rules and without any cleverness.

All durations are a few microseconds, so that events fall on the boundaries of windows all the time.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import NamedTuple, TypeAlias

from hypothesis import event, given
from hypothesis import strategies as st

from fleet_health.detectors.evaluation import evaluate, evict, lookback_of
from fleet_health.detectors.fatal_only import FatalOnly, FatalOnlyLimits
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.silent import Silent, SilentLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import Unstamped, UnstampedLimits
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response, Upload
from fleet_health.model.observation import Unstamped as UnstampedRejection
from tests.rig.properties import tried

NOW = 1_795_460_100_000_000
FIX, FIX_412 = SuggestedFix("at $host"), SuggestedFix("at the HEAD of $host")
FIX_5XX = SuggestedFix("at the receiver of $host")

Entry: TypeAlias = Response | UnstampedRejection


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of all symptoms, for some hosts."""

    after: int
    lookback: int
    fatal_window: int
    fatal_min_count: int
    ratio: float
    unstamped_window: int
    unstamped_min_count: int


class Verdict(NamedTuple):
    """What matters of a finding: the count in its detail, if any, and what to do."""

    host: str
    symptom: str
    counts: list[str]
    fix: str


def by_the_rules(rows: list[Upload], entries: list[Entry], rules_of: dict[str, Rules], now: int) -> list[Verdict]:
    """Return which hosts show which symptoms, word by word from the rules."""
    verdicts = []
    for host, rules in rules_of.items():
        happened = [row.at for row in rows if row.host == host and row.at <= now]
        # An upload that the journal shows is as good as a row.
        happened += [
            entry.at
            for entry in entries
            if isinstance(entry, Response) and entry.host == host and 200 <= entry.status <= 299
        ]
        is_active = any(at >= now - rules.lookback for at in happened)
        if is_active and now - max(happened) > rules.after:
            verdicts.append(Verdict(host, "silent", [], f"at {host}"))

        statuses = [
            entry.status
            for entry in entries
            if isinstance(entry, Response) and entry.host == host and now - rules.fatal_window <= entry.at <= now
        ]
        successes = [status for status in statuses if 200 <= status <= 299]
        client_errors = [status for status in statuses if 400 <= status <= 499]
        server_errors = [status for status in statuses if 500 <= status <= 599]
        total = len(successes) + len(client_errors) + len(server_errors)
        refused = len(client_errors) + len(server_errors)
        if total >= rules.fatal_min_count and not successes and refused / total >= rules.ratio:
            fix = f"at the receiver of {host}" if len(server_errors) > refused / 2 else f"at {host}"
            fix = f"at the HEAD of {host}" if statuses.count(412) > refused / 2 else fix
            verdicts.append(Verdict(host, "fatal-only", [f"{refused} uploads"], fix))

        unstamped = [
            entry
            for entry in entries
            if isinstance(entry, UnstampedRejection)
            and entry.host == host
            and now - rules.unstamped_window <= entry.at <= now
        ]
        if len(unstamped) >= rules.unstamped_min_count:
            verdicts.append(Verdict(host, "unstamped", [f"{len(unstamped)} refusals"], f"at {host}"))
    return sorted(verdicts)


def limits_of(default: Rules, bench: Rules) -> tuple[Silent, FatalOnly, Unstamped]:
    """Make the detectors, with other limits for the hosts of the bench."""

    def split(rules: Rules) -> tuple[SilentLimits, FatalOnlyLimits, UnstampedLimits]:
        return (
            SilentLimits(rules.after, rules.lookback, FIX),
            FatalOnlyLimits(rules.fatal_window, rules.fatal_min_count, rules.ratio, FIX, FIX_412, FIX_5XX),
            UnstampedLimits(rules.unstamped_window, rules.unstamped_min_count, FIX),
        )

    silent, fatal_only, unstamped = split(default)
    changes = [{**asdict(limits), "suggested_fix": FIX} for limits in split(bench)]
    changes[1] |= {"suggested_fix_412": FIX_412, "suggested_fix_5xx": FIX_5XX}
    return (
        Silent(HostLimits(silent, [Override("bench-*", changes[0])])),
        FatalOnly(HostLimits(fatal_only, [Override("bench-*", changes[1])])),
        Unstamped(HostLimits(unstamped, [Override("bench-*", changes[2])])),
    )


def verdicts_of(fleet: Fleet, detectors: tuple[Silent, FatalOnly, Unstamped], now: int) -> list[Verdict]:
    """Return what the core finds, in the order in which it finds it."""
    evaluation = evaluate(fleet, detectors, now)
    assert evaluation.failures == ()
    return [
        Verdict(
            finding.host,
            finding.symptom,
            re.findall(r"\d+ (?:uploads|refusals)", finding.detail),
            finding.suggested_fix,
        )
        for finding in evaluation.findings
    ]


DURATIONS, COUNTS = st.integers(1, 20), st.integers(1, 4)
RULES = st.builds(
    Rules, DURATIONS, DURATIONS, DURATIONS, COUNTS, st.sampled_from([0.001, 0.5, 0.95, 1.0]), DURATIONS, COUNTS
)
HOSTS = st.sampled_from(["pi-1", "pi-2", "bench-1"])
INSTANTS = st.integers(NOW - 25, NOW + 3)
ROWS = st.lists(st.builds(Upload, HOSTS, INSTANTS), max_size=8)
ENTRIES = st.lists(
    st.builds(Response, HOSTS, INSTANTS, st.sampled_from([200, 404, 412, 499, 500, 503]))
    | st.builds(Response, HOSTS, INSTANTS, st.sampled_from([412, 500]))
    | st.builds(UnstampedRejection, HOSTS, INSTANTS),
    max_size=30,
)


@tried(250)
@given(rows=ROWS, entries=ENTRIES, default=RULES, bench=RULES, has_evicted=st.booleans())
def test_the_findings_are_those_of_the_rules(
    rows: list[Upload], entries: list[Entry], default: Rules, bench: Rules, *, has_evicted: bool
) -> None:
    """As of any instant, with each host's own limits, and after any eviction."""
    fleet, detectors = Fleet(), limits_of(default, bench)
    fleet.uploads.record(row for row in rows if row.at <= NOW)
    fleet.traffic.record(entries)
    if has_evicted:
        evict(fleet, lookback_of(detectors), NOW)

    found = verdicts_of(fleet, detectors, NOW)

    event(f"{len(found)} findings")
    assert found == by_the_rules(rows, entries, {"pi-1": default, "pi-2": default, "bench-1": bench}, NOW)


@tried(120)
@given(
    batches=st.lists(st.tuples(ROWS, ENTRIES, st.integers(0, 10)), min_size=1, max_size=5), default=RULES, bench=RULES
)
def test_a_service_that_has_long_run_evaluates_like_one_just_started(
    batches: list[tuple[list[Upload], list[Entry], int]], default: Rules, bench: Rules
) -> None:
    """Evicting at each tick changes no later verdict, however late and in whatever order the observations arrive."""
    fleet, detectors, now = Fleet(), limits_of(default, bench), NOW
    rows: list[Upload] = []
    entries: list[Entry] = []
    for new_rows, new_entries, step in batches:
        now += step
        rows += [row for row in new_rows if row.at <= now]
        entries += new_entries
        fleet.uploads.record(row for row in new_rows if row.at <= now)
        fleet.traffic.record(new_entries)
        evict(fleet, lookback_of(detectors), now)

        assert verdicts_of(fleet, detectors, now) == by_the_rules(
            rows, entries, {"pi-1": default, "pi-2": default, "bench-1": bench}, now
        )
