"""The rules for Prometheus, as Prometheus evaluates them: each fires, does not fire, and stands on its boundary."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.api.metric_families import FAMILIES
from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Subject
from fleet_health.notify import metrics as notify
from tests.prometheus.generating import generate

if TYPE_CHECKING:
    from tests.conftest import DoWithout

FILES = Path(__file__).parents[2] / "packaging/prometheus"
RULES = FILES / "fleet-health.rules.yml"
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE)

STEP = 30
"""How many seconds there are from one value of a series to the next. Time begins at 0."""
LONG = 130
"""How many of them a series has that goes on: a little more than an hour."""
DAYS = 800
"""The same where six hours matter, and rules are evaluated at each `COARSE` only: it takes long."""
COARSE = 120

UPLOADED = "fleet_health_host_last_upload_timestamp_seconds"
OPENED = "fleet_health_incident_opened_timestamp_seconds"
EVALUATED = "fleet_health_last_evaluation_timestamp_seconds"


@dataclass(frozen=True)
class Case:
    """What is given, and how often an alert fires at which times.

    Attributes:
        title: What it shows.
        series: The series with their values, as promtool takes them.
        alert: The alert.
        counts: Seconds -> how many alerts fire then.
        where: Labels of these alerts.

    """

    title: str
    series: dict[str, str]
    alert: str
    counts: dict[int, int]
    where: str = ""

    def test(self, *others: Case) -> dict[str, Any]:
        """Return it for promtool; with others that do not know of it: it takes as long for many as for one."""
        cases = (self, *others)
        series = {name: values for case in cases for name, values in case.series.items()}
        return {
            "name": self.title,
            "interval": f"{STEP}s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [check for case in cases for check in case.checks()],
        }

    def checks(self) -> list[dict[str, Any]]:
        """Return what promtool is to find."""
        alerts = f'ALERTS{{alertname="{self.alert}",alertstate="firing"{self.where}}}'
        return [
            {
                "expr": f"count({alerts}) or vector(0)",
                "eval_time": f"{seconds}s",
                "exp_samples": [{"labels": "{}", "value": count}],
            }
            for seconds, count in self.counts.items()
        ]


def machine(name: str, *, gone_at: int = LONG, back_at: int = LONG) -> dict[str, str]:
    """Return the series of a machine that cannot be scraped for some steps; where it is up, it evaluates."""
    of = f'job="fleet-health",instance="{name}"'
    gone, back = f" 0x{back_at - gone_at - 1}" * (gone_at < LONG), f" 1x{LONG - back_at}" * (back_at < LONG)
    none = f" stale _x{back_at - gone_at - 1}" * (gone_at < LONG)
    again = f" {back_at * STEP}+{STEP}x{LONG - back_at}" * (back_at < LONG)
    return {
        f"up{{{of}}}": f"1x{gone_at - 1}{gone}{back}",
        f"{EVALUATED}{{{of}}}": f"0+{STEP}x{gone_at - 1}{none}{again}",
        f"fleet_health_tick_seconds{{{of}}}": f"300x{LONG}",
    }


def uploaded(host: str, on: str, values: str = f"0x{LONG}") -> dict[str, str]:
    """Return when a host uploaded last to a machine."""
    return {f'{UPLOADED}{{job="fleet-health",instance="{on}",host="{host}"}}': values}


def found(symptom: str, on: str, values: str = f"5x{LONG}", *, state: str = "firing", **about: str) -> dict[str, str]:
    """Return an incident."""
    labels = "".join(f',{name}="{value}"' for name, value in about.items())
    return {
        f'{OPENED}{{job="fleet-health",instance="{on}",symptom="{symptom}",state="{state}"{labels}}}': values,
    }


def of(name: str, values: str, on: str = "a", **labels: str) -> dict[str, str]:
    """Return a series of a machine."""
    more = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {f'{name}{{job="fleet-health",instance="{on}"{more}}}': values}


def of_symptoms() -> list[list[Case]]:
    """Return what holds of the alert of every symptom: a list for each kind of case."""
    kinds: dict[str, list[Case]] = {}
    for spec in DETECTORS:
        alert, symptom = generate.name_of(spec.symptom), spec.symptom
        about = {"host": symptom} if spec.subject is Subject.HOST else {}
        first = 120 if spec.subject is Subject.HOST else 0
        known = {**machine("a"), **(uploaded(symptom, "a") if about else {})}
        held = [found(symptom, "a", state=state, **about) for state in ("silenced", "muted", "pending", "lost")]
        suppressed = {name: values for one in held for name, values in one.items()}
        series = {
            "fires": found(symptom, "a", **about),
            "is suppressed": suppressed | found(symptom, "a", state="inhibited", **about),
            "is found later": found(symptom, "a", f"_x10 5x{LONG}", **about),
            "goes on unconfirmed": {
                **found(symptom, "a", "5x20 stale", **about),
                **found(symptom, "a", f"_x21 5x{LONG}", state="unconfirmed", **about),
            },
            "ends": found(symptom, "a", "5x20 stale", **about),
        }
        counts = {
            "fires": {**({first - STEP: 0} if first else {}), first: 1, 900: 1},
            "is suppressed": {900: 0},
            "is found later": {270 + first: 0, 300 + first: 1},
            "goes on unconfirmed": {600: 1, 630: 1, 660: 1, 690: 1},
            "ends": {600: 1, 630: 0},
        }
        for kind, one in series.items():
            kinds.setdefault(kind, []).append(Case(f"{symptom} {kind}", {**known, **one}, alert, counts[kind]))
    return list(kinds.values())


SILENT_A = found("silent", "a", host="h")
MOVES = [
    Case(
        "a host that has moved to another machine is not silent",
        {**machine("a"), **machine("b"), **uploaded("h", "a"), **SILENT_A, **uploaded("h", "b", f"30+{STEP}x{LONG}")},
        "FleetHealthSilent",
        dict.fromkeys(range(0, 900, STEP), 0),
    ),
    Case(
        "later by a millisecond is later",
        {
            **machine("a"),
            **machine("b"),
            **uploaded("h", "a", f"100x{LONG}"),
            **SILENT_A,
            **uploaded("h", "b", f"100.001x{LONG}"),
        },
        "FleetHealthSilent",
        {900: 0},
    ),
    Case(
        "at the same time is not later: both machines know its last upload",
        {
            **machine("a"),
            **machine("b"),
            **uploaded("h", "a", f"9x{LONG}"),
            **SILENT_A,
            **uploaded("h", "b", f"9x{LONG}"),
        },
        "FleetHealthSilent",
        {900: 1},
    ),
    Case(
        "a host that has moved, and died there, is one alert",
        {
            **machine("a"),
            **machine("b"),
            **uploaded("h", "a"),
            **uploaded("h", "b", f"60x{LONG}"),
            **SILENT_A,
            **found("silent", "b", host="h"),
        },
        "FleetHealthSilent",
        {900: 1},
    ),
    Case(
        "and it is the alert of that machine",
        {
            **machine("a"),
            **machine("b"),
            **uploaded("h", "a"),
            **uploaded("h", "b", f"60x{LONG}"),
            **SILENT_A,
            **found("silent", "b", host="h"),
        },
        "FleetHealthSilent",
        {900: 1},
        ',instance="b"',
    ),
    Case(
        "a host that no machine accepts is one alert",
        {
            **machine("a"),
            **machine("b"),
            **found("fatal-only", "a", host="h"),
            **found("fatal-only", "b", f"6x{LONG}", host="h"),
        },
        "FleetHealthFatalOnly",
        {900: 1},
    ),
    Case(
        "a host that another machine accepts is not refused by all",
        {**machine("a"), **machine("b"), **found("fatal-only", "a", host="h"), **uploaded("h", "b")},
        "FleetHealthFatalOnly",
        {900: 0},
    ),
]
CUT_OFF = {
    **machine("a", gone_at=20, back_at=100),
    **machine("b"),
    # It moves to b. Before, b took it for silent.
    **uploaded("moves", "a", "0+30x19 stale"),
    **uploaded("moves", "b", f"0x22 690+30x{LONG}"),
    **found("silent", "b", "5x25 stale", host="moves"),
    # It stays with a, and b takes it for silent all the time.
    **uploaded("stays", "a", f"0+30x19 stale _x79 3000+30x{LONG}"),
    **uploaded("stays", "b"),
    **found("silent", "b", host="stays"),
    # It was silent before, and nobody knows whether it still is.
    **uploaded("dead", "a", f"0x19 stale _x79 0x{LONG}"),
    **found("silent", "a", f"5x19 stale _x79 5x{LONG}", host="dead"),
}
BEFORE, MEANWHILE, AFTER = range(180, 600, 30), range(600, 3000, 30), range(3000, 3600, 30)
MACHINES = [
    Case("a machine that is cut off is one alert", CUT_OFF, "FleetHealthGone", {750: 0, 780: 1, 2970: 1, 3000: 0}),
    *(
        Case(
            title, CUT_OFF, "FleetHealthSilent", dict.fromkeys([*BEFORE, *MEANWHILE, *AFTER], count), f',host="{host}"'
        )
        for title, host, count in (
            ("a host that moves from there is none", "moves", 0),
            ("nor is one that cannot be known to be silent", "stays", 0),
            ("what was open stays open, without a moment in between", "dead", 1),
        )
    ),
    Case(
        "until the host turns up elsewhere",
        {
            **machine("a", gone_at=20),
            **machine("b"),
            **uploaded("h", "a", "0x19 stale"),
            **found("silent", "a", "5x19 stale", host="h"),
            **uploaded("h", "b", f"_x60 1800+30x{LONG}"),
        },
        "FleetHealthSilent",
        {600: 1, 1770: 1, 1800: 0},
    ),
    Case(
        "a start resolves nothing",
        {
            **machine("a"),
            f'{EVALUATED}{{job="fleet-health",instance="a"}}': f"0+30x19 stale _x9 900+30x{LONG}",
            **uploaded("h", "a", f"0x19 stale _x9 0x{LONG}"),
            **found("silent", "a", f"5x19 stale _x9 5x{LONG}", host="h"),
        },
        "FleetHealthSilent",
        dict.fromkeys([570, 600, 750, 870, 900, 930], 1),
    ),
    Case(
        "a machine that is no longer scraped is forgotten",
        {
            'up{job="fleet-health",instance="a"}': "1x19 stale",
            f'{EVALUATED}{{job="fleet-health",instance="a"}}': "0+30x19 stale",
            **uploaded("h", "a", "0x19 stale"),
            **found("silent", "a", "5x19 stale", host="h"),
        },
        "FleetHealthSilent",
        {570: 1, 600: 0},
    ),
    Case("a machine that is there is no alert", machine("a"), "FleetHealthGone", {900: 0}),
    Case("no machine at all is an alert", {"other": f"1x{LONG}"}, "FleetHealthNotScraped", {150: 0, 180: 1}),
    Case("one machine is enough", machine("a"), "FleetHealthNotScraped", {900: 0}),
    Case(
        "a start may take a quarter of an hour",
        of("fleet_health_build_info", f"1x{LONG}"),
        "FleetHealthStarting",
        {870: 0, 900: 1},
    ),
    Case(
        "what has evaluated has started",
        {**of("fleet_health_build_info", f"1x{LONG}"), **machine("a")},
        "FleetHealthStarting",
        {900: 0},
    ),
    Case(
        "three ticks and a minute without an evaluation are none too many",
        {**of("fleet_health_tick_seconds", f"300x{LONG}"), **of(EVALUATED, f"0x{LONG}")},
        "FleetHealthStuck",
        {960: 0, 990: 1},
    ),
    Case("whoever evaluates is not stuck", machine("a"), "FleetHealthStuck", {900: 0}),
    Case(
        "a source may be a quarter of an hour behind",
        of("fleet_health_source_read_until_timestamp_seconds", f"0x{LONG}", source="journal"),
        "FleetHealthSourceBehind",
        {900: 0, 930: 1},
    ),
    Case(
        "a source that is read is not behind",
        of("fleet_health_source_read_until_timestamp_seconds", f"0+30x{LONG}", source="journal"),
        "FleetHealthSourceBehind",
        {900: 0},
    ),
    Case(
        "what waits is tried for five minutes",
        of("fleet_health_notifications_waiting", f"1x{LONG}"),
        "FleetHealthNotDelivering",
        {270: 0, 300: 1},
    ),
    Case("nothing waits", of("fleet_health_notifications_waiting", f"0x{LONG}"), "FleetHealthNotDelivering", {900: 0}),
    Case("a problem may pass", of("fleet_health_problems", f"1x{LONG}"), "FleetHealthProblem", {870: 0, 900: 1}),
    Case(
        "a destination may fail for a quarter of an hour",
        of("fleet_health_notify_destination_up", f"0x{LONG}", destination="phone"),
        "FleetHealthNotifyFailing",
        {870: 0, 900: 1},
    ),
    Case(
        "a destination takes what there is",
        of("fleet_health_notify_destination_up", f"1x{LONG}", destination="phone"),
        "FleetHealthNotifyFailing",
        {900: 0},
    ),
    Case(
        "notify may be quiet for ten minutes",
        of("fleet_health_notify_reported_timestamp_seconds", f"0x{LONG}"),
        "FleetHealthNotifyStopped",
        {600: 0, 630: 1},
    ),
    Case(
        "notify reports",
        of("fleet_health_notify_reported_timestamp_seconds", f"0+30x{LONG}"),
        "FleetHealthNotifyStopped",
        {900: 0},
    ),
    Case("there is no problem", of("fleet_health_problems", f"0x{LONG}"), "FleetHealthProblem", {900: 0}),
]
HOUR, SIX = 3600, 23_040


def budget(title: str, alert: str, counts: dict[int, int], *values: str, status: str = "4xx") -> Case:
    """Return a case of a machine of its own, with its responses of two classes."""
    on = title.replace(" ", "-")
    series = {
        **of("fleet_health_responses_total", values[0], on, **{"class": "2xx"}),
        **of("fleet_health_responses_total", values[1], on, **{"class": status}),
    }
    return Case(title, series, f"FleetHealthRefusals{alert}", counts, f',instance="{on}"')


def steady(count: float) -> str:
    """Return a counter that grows by so many at each step."""
    return f"0+{count}x{DAYS}"


BUDGETS = [
    budget("14.3 % refused in an hour are bearable", "Fast", {HOUR: 0, SIX: 0}, steady(857), steady(143)),
    budget("14.5 % are not", "Fast", {HOUR: 1, SIX: 1}, steady(855), steady(145)),
    budget("5.9 % in six hours are bearable", "Slow", {SIX: 0}, steady(941), steady(59)),
    budget("6.1 % are not", "Slow", {SIX: 1}, steady(939), steady(61)),
    budget("nothing is said of 60 responses an hour", "Fast", {SIX: 0}, steady(0), steady(0.5)),
    budget("of 120 it is", "Fast", {SIX: 1}, steady(0), steady(1)),
    budget("nothing is said of 96 in six hours", "Slow", {SIX: 0}, steady(0), steady(96 / 720)),
    budget("of 108 it is", "Slow", {SIX: 1}, steady(0), steady(108 / 720)),
    budget("no response is no refusal", "Fast", {SIX: 0}, steady(0), steady(0)),
    budget(
        "it ends soon after the refusals do",
        "Fast",
        {HOUR: 1, HOUR + 120: 1, HOUR + 360: 0},
        steady(10),
        f"0+10x120 1200x{DAYS}",
        status="5xx",
    ),
    budget(
        "a restart is no refusal",
        "Fast",
        {HOUR: 0, HOUR + 120: 0, HOUR + 600: 0},
        f"0+10x120 0+10x{DAYS}",
        f"500x120 0x{DAYS}",
        status="5xx",
    ),
]
SYMPTOMS = of_symptoms()
CASES = [*(case for kind in SYMPTOMS for case in kind), *MOVES, *MACHINES, *BUDGETS]


def test_every_alert_has_cases() -> None:
    """In which it fires, in which it does not, and in which it begins to from one step to the next."""
    fires = {one.alert for one in CASES if any(one.counts.values())}
    fires_not = {one.alert for one in CASES if not all(one.counts.values())}

    assert fires == fires_not == set(ALERTS)
    assert len(ALERTS) == len(set(ALERTS))
    assert len({one.title for one in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("tests", "interval"),
    [
        pytest.param([kind[0].test(*kind[1:]) for kind in SYMPTOMS], STEP, id="symptoms"),
        pytest.param([case.test() for case in (*MOVES, *MACHINES)], STEP, id="machines"),
        pytest.param([BUDGETS[0].test(*BUDGETS[1:])], COARSE, id="error budgets"),
    ],
)
def test_prometheus_evaluates_them(
    tests: list[dict[str, Any]], interval: int, tmp_path: Path, do_without: DoWithout
) -> None:
    """Many cases together, for promtool takes a while to start."""
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{interval}s",
        "tests": tests,
    }
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps(document))  # JSON is YAML
    done = promtool(do_without, "test", "rules", str(path))

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_says_what_to_do(tmp_path: Path, do_without: DoWithout) -> None:
    """About which host or receiver, since when, and by which command more is known."""
    cases = (
        (
            {**machine("a"), **uploaded("h", "a"), **SILENT_A},
            {"alertname": "FleetHealthSilent", "symptom": "silent", "severity": "warning", "host": "h"},
            "Host h is silent, by a",
            "`fleet-health explain h`",
        ),
        (
            {**machine("a"), **found("receiver-down", "a", receiver="lab")},
            {
                "alertname": "FleetHealthReceiverDown",
                "symptom": "receiver-down",
                "severity": "critical",
                "receiver": "lab",
            },
            "receiver-down on a, receiver lab",
            "`fleet-health explain '*@lab'`",
        ),
    )
    since = "Since 1970-01-01 00:00:05 +0000 UTC. On a,"
    tests = [
        {
            "interval": f"{STEP}s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [
                {
                    "eval_time": "3m",
                    "alertname": labels["alertname"],
                    "exp_alerts": [
                        {
                            "exp_labels": {
                                "job": "fleet-health",
                                "instance": "a",
                                **{name: value for name, value in labels.items() if name != "alertname"},
                            },
                            "exp_annotations": {
                                "summary": summary,
                                "description": f"{since} {command} shows why, and what to do.",
                            },
                        }
                    ],
                }
            ],
        }
        for series, labels, summary, command in cases
    ]
    path = tmp_path / "tests.yml"
    path.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": f"{STEP}s", "tests": tests})  # JSON is YAML
    )
    done = promtool(do_without, "test", "rules", str(path))

    assert done.returncode == 0, done.stdout + done.stderr


def test_they_are_right_and_have_words(do_without: DoWithout) -> None:
    """By Prometheus's own check; each alert has a severity, and words for people."""
    done = promtool(do_without, "check", "rules", str(RULES))
    text = RULES.read_text()

    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("severity:", "summary:", "description:"):
        assert text.count(part) == len(ALERTS)


def test_they_ask_for_metrics_that_there_are() -> None:
    """And for nothing else, but for what they record themselves."""
    text = RULES.read_text()
    named = set(re.findall(r"\bfleet_health_\w+", text))
    recorded = set(re.findall(r"record: (\S+)", text))

    assert named <= {family.name for family in (*FAMILIES, *notify.FAMILIES)}
    assert set(re.findall(r"\bfleet_health:[\w:]+", text)) == recorded


def test_the_files_are_what_would_be_written() -> None:
    """A symptom that is added, or that inhibits another, is in them."""
    assert {name: (FILES / name).read_text() for name in generate.FILES} == {
        name: make() for name, make in generate.FILES.items()
    }


def test_alertmanager_inhibits_as_the_detectors_declare() -> None:
    """Each pair of symptoms, and no other."""
    text = generate.alertmanager()
    rules = re.findall(r'source_matchers: \[symptom="([^"]+)"\]\n +target_matchers: \[symptom=~"([^"]+)"\]', text)

    assert {(cause, effect) for cause, effects in rules for effect in effects.split("|")} == {
        (spec.symptom, effect) for spec in DETECTORS for effect in spec.inhibits
    }


def test_alertmanager_takes_the_example(do_without: DoWithout) -> None:
    """By its own check."""
    try:
        done = subprocess.run(
            ["amtool", "check-config", str(FILES / "alertmanager.yml")], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        do_without("amtool is missing; install prometheus-alertmanager")

    assert done.returncode == 0, done.stdout + done.stderr


def promtool(do_without: DoWithout, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    try:
        return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        do_without("promtool is missing; install prometheus")


@pytest.fixture(autouse=True)
def _alerts_are_there() -> None:
    assert ALERTS
