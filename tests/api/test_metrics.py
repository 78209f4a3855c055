"""The metrics: the same as every other screen says, in names and values that Prometheus takes."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.incident import Incident
from fleet_health.alerting.lifecycle import Action, Decision, Reason, State
from fleet_health.api.exposition import OPENMETRICS, TEXT
from fleet_health.api.metric_families import FAMILIES
from fleet_health.api.metrics import HostSeries, Measured, document, hosts_of
from fleet_health.api.overview import by_subject, host_states
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.model.counters import Counters
from fleet_health.model.fleet import Fleet
from fleet_health.model.host_name import host_name
from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Response, Upload
from fleet_health.notify import metrics as notify
from fleet_health.service.footprint import footprint
from fleet_health.sources.state import Phase, SourceState
from tests.rig.api_client import ApiClient
from tests.rig.exposition_readers import read_openmetrics, read_text
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import DoWithout, Site, StartService

NOW = 1_795_460_100 * SECOND_US
HOSTILE = 'x"} 1\n# TYPE y gauge\ny{host="\\'
RECEIVERS = (
    'receivers = [{name="lab", index.path="a", journal.unit="a"}, {name="field", index.path="b", journal.unit="b"}]'
)


def measured(decisions: Sequence[Decision] = (), hosts: str = "all") -> Measured:
    """Return what a service knows after its first evaluation."""
    counters = Counters()
    counters.note_evaluation(20_000)
    counters.rejections["index", 'not "JSON"'] += 1
    counters.read["index"] += 7
    counters.responses.record("", [Response("a", NOW, 412)])
    sources = [SourceState("index", Phase.FOLLOWING, seen_until=NOW), SourceState("journal", unseen_since=NOW)]
    return Measured(
        version="1.2.3",
        settings=load(None, {"metrics.hosts": ("--metrics", hosts)}),
        counters=counters,
        journal_outcomes={"delivered": 2},
        sources=sources,
        evaluation=Evaluation(NOW, (), hidden={"unstamped": frozenset({"b"})}),
        decisions=decisions,
        next_at=NOW + 300 * SECOND_US,
        problems=0,
        waiting=1,
        started_at=NOW - SECOND_US,
        footprint=footprint(),
    )


def incident(host: str, symptom: str, state: State) -> Decision:
    """Return the decision about an incident."""
    return Decision(Incident(host, symptom, opened_at=NOW - 60 * SECOND_US), state, Action.NONE, Reason.FIRST)


def fleet_of(*hosts: str) -> Fleet:
    """Return a fleet whose hosts uploaded a second ago."""
    fleet = Fleet()
    fleet.uploads.record([Upload(host, NOW - SECOND_US) for host in hosts])
    return fleet


def samples(known: Measured, fleet: Fleet, *, is_file: bool = False) -> dict[str, dict[tuple[str, ...], float]]:
    """Return metric -> values of its labels in the order of their names -> value. Both formats must agree."""
    series, hosts = HostSeries(known), hosts_of(fleet, known.open)
    for begin in range(0, len(hosts), 2):
        series.add(fleet, hosts[begin : begin + 2], NOW)
    texts = [
        document(known, series, is_openmetrics=is_openmetrics, is_file=is_file).decode()
        for is_openmetrics in (False, True)
    ]
    plain, opened = (
        {
            (one.name, *(one.labels[name] for name in sorted(one.labels))): one.value
            for family in read(text)
            for one in family.samples
        }
        for read, text in zip((read_text, read_openmetrics), texts, strict=True)
    )
    assert plain == opened
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for (name, *labels), value in plain.items():
        found.setdefault(name, {})[tuple(labels)] = value
    return found


def test_the_metrics_of_a_service() -> None:
    """With one host, one finding, a source that is read and one that is not."""
    found = samples(
        measured([incident("a", "silent", State.FIRING), incident("*", "blind", State.MUTED)]), fleet_of("a")
    )

    assert found["fleet_health_build_info"] == {("1.2.3",): 1}
    assert found["process_start_time_seconds"] == {(): 1_795_460_099}
    assert found["fleet_health_tick_seconds"] == {(): 300}
    assert found["fleet_health_evaluations_total"] == {(): 1}
    assert found["fleet_health_last_evaluation_timestamp_seconds"] == {(): 1_795_460_100}
    assert found["fleet_health_next_evaluation_timestamp_seconds"] == {(): 1_795_460_400}
    buckets = found["fleet_health_evaluation_duration_seconds_bucket"]
    assert (buckets["0.01",], buckets["0.025",], buckets["+Inf",]) == (0, 1, 1)
    assert found["fleet_health_evaluation_duration_seconds_sum"] == {(): 0.02}
    assert found["fleet_health_source_up"] == {("index",): 1, ("journal",): 0}
    assert found["fleet_health_source_read_until_timestamp_seconds"] == {("index",): 1_795_460_100}
    assert found["fleet_health_source_entries_total"] == {("index",): 7, ("journal",): 0}
    assert found["fleet_health_source_rejections_total"] == {('not "JSON"', "index"): 1}
    assert found["fleet_health_responses_total"] == {("2xx",): 0, ("4xx",): 1, ("5xx",): 0}
    assert found["fleet_health_incidents"]["firing", "silent"] == 1
    assert found["fleet_health_incidents"]["firing", "blind"] == 0
    assert found["fleet_health_incident_opened_timestamp_seconds"] == {
        ("a", "firing", "silent"): 1_795_460_040,
        ("muted", "blind"): 1_795_460_040,
    }
    assert found["fleet_health_deliveries_total"]["journal", "delivered"] == 2
    assert found["fleet_health_notifications_waiting"] == {(): 1}
    assert found["fleet_health_hosts"]["firing",] == 1
    assert found["fleet_health_host_last_upload_timestamp_seconds"] == {("a",): 1_795_460_099}
    assert found["fleet_health_host_responses_total"] == {("2xx", "a"): 0, ("4xx", "a"): 1, ("5xx", "a"): 0}
    assert found["fleet_health_host_state"] == {("a", "firing"): 1}
    assert set(found["fleet_health_symptom_evaluated"].values()) == {1}


def test_a_file_has_no_metrics_of_the_process() -> None:
    """node_exporter has metrics of its own process by these names, and refuses others."""
    known = measured()

    assert [name for name in samples(known, fleet_of(), is_file=True) if name.startswith("process_")] == []
    assert len([name for name in samples(known, fleet_of()) if name.startswith("process_")]) >= 4


@pytest.mark.parametrize(
    ("hosts", "given_hosts"), [("all", {"well", "quiet", "b"}), ("unwell", {"quiet", "b"}), ("none", set())]
)
def test_the_series_of_hosts_can_be_limited(hosts: str, given_hosts: set[str]) -> None:
    """To hosts that are not well, or to none. They are counted in any case, and receivers keep their incidents."""
    known = measured([incident("quiet", "silent", State.FIRING), incident("*", "blind", State.FIRING)], hosts)
    found = samples(known, fleet_of("well", "quiet", "b"))

    of_hosts = {name: series for name, series in found.items() if name.startswith("fleet_health_host_")}
    assert {label for series in of_hosts.values() for labels in series for label in labels} & {
        "well",
        "quiet",
        "b",
    } == given_hosts
    assert {state: count for (state,), count in found["fleet_health_hosts"].items() if count} == {
        "well": 1,
        "firing": 1,
        "unknown": 1,
    }
    incidents = found["fleet_health_incident_opened_timestamp_seconds"]
    assert ("firing", "blind") in incidents
    assert (("quiet", "firing", "silent") in incidents) == bool(given_hosts)


def test_a_hostile_name_is_a_label_and_nothing_else() -> None:
    """Whether or not the sources have escaped it."""
    for name in (HOSTILE, host_name(HOSTILE), host_name("b\u00fc ro"), "%", "x" * 500):
        found = samples(measured([incident(name, "silent", State.FIRING)]), fleet_of(name))

        assert found["fleet_health_host_state"] == {(name, "firing"): 1}
        assert (name, "firing", "silent") in found["fleet_health_incident_opened_timestamp_seconds"]
        assert "y" not in found


def test_receivers_have_names() -> None:
    """If there are several: in the metrics of sources, responses and incidents."""
    known = measured([incident("*@lab", "receiver-down", State.FIRING)])
    known.counters.responses.record("lab", [Response("a", NOW, 201)])
    known.counters.read["index@lab"] += 3

    assert samples(known, fleet_of())["fleet_health_source_entries_total"]["lab", "index"] == 3
    assert ("lab", "firing", "receiver-down") in samples(known, fleet_of())[
        "fleet_health_incident_opened_timestamp_seconds"
    ]


@tried(60)
@given(
    st.sets(st.sampled_from("abcdefgh")),
    st.lists(st.tuples(st.sampled_from("abcxyz"), st.sampled_from(["silent", "unstamped"]), st.sampled_from(State))),
)
def test_hosts_are_counted_as_everywhere(hosts: set[str], found: list[tuple[str, str, State]]) -> None:
    """Including hosts with only an incident, and not by incidents that have ended."""
    decisions = {(host, symptom): incident(host, symptom, state) for host, symptom, state in found}
    known, fleet = measured(list(decisions.values())), fleet_of(*hosts)
    states = host_states(known.settings, fleet, by_subject(known.open), frozenset("b"), NOW)
    series = samples(known, fleet)

    assert series.get("fleet_health_host_state", {}) == dict.fromkeys(states.items(), 1)
    assert {state: n for (state,), n in series["fleet_health_hosts"].items() if n} == Counter(states.values())
    open_states = {(one.state, one.incident.symptom) for one in known.open}
    assert {pair for pair, count in series["fleet_health_incidents"].items() if count} == open_states


def test_names_follow_the_conventions() -> None:
    """Each has a prefix and ends in its unit; none is an age."""
    for family in FAMILIES:
        assert family.name.startswith(("fleet_health_", "process_"))
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert not family.name.endswith(("_age_seconds", "_ago_seconds", "_lag_seconds"))
        assert family.help.endswith(".")
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_the_service_is_scraped(site: Site, start_service: StartService, do_without: DoWithout) -> None:
    """In both formats. The linter of Prometheus finds nothing, and a restart counts nothing twice."""
    site.configure('hosts.expected = ["absent"]')
    site.show_all_symptoms()
    site.upload(*(f"host-{number}" for number in range(1_200)))
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: len(site.alerted()) == 3, "the alerts")
        assert responses_to(site, "refused") == (0, 0, 0)
        site.answer("refused", 412, times=3)
        site.answer("refused", 503)
        site.sync_journal()
        service.until(lambda: responses_to(site, "refused") == (0, 3, 1), "the responses")
        text = scrape(site, "text/plain", TEXT)
        opened = scrape(site, "application/openmetrics-text", OPENMETRICS)
        assert service.stop() == 0
    site.answer("refused", 412, times=2)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: service.evaluations() > 0, "an evaluation")
        again = responses_to(site, "refused")

    assert again == (0, 2, 0)
    names = {one.name for family in read_text(text) for one in family.samples}
    hosts = [one.labels["host"] for one in by_name(text)["fleet_health_host_state"].samples]
    assert len(hosts) == len(set(hosts)) == 1_205
    assert {one.name for family in read_openmetrics(opened) for one in family.samples} == names
    assert names == {
        name
        for family in FAMILIES
        for name in (
            [f"{family.name}_{part}" for part in ("bucket", "sum", "count")]
            if family.kind == "histogram"
            else [family.name]
        )
    } - {"fleet_health_source_rejections_total", "fleet_health_retries_total"}
    check(text, do_without)


def scrape(site: Site, accept: str, kind: str) -> str:
    """Request the metrics."""
    with ApiClient(site.directory / "control.sock") as client:
        client.request("GET", "/metrics", headers={"Accept": accept})
        response = client.getresponse()
        text = response.read().decode()
    assert (response.status, response.headers["Content-Type"]) == (200, kind)
    return text


def by_name(text: str) -> dict[str, Any]:
    """Return the metrics by their names."""
    return {family.name: family for family in read_text(text)}


def responses_to(site: Site, host: str) -> tuple[int, ...]:
    """Return the numbers of 2xx, 4xx and 5xx responses to a host."""
    family = by_name(scrape(site, "text/plain", TEXT))["fleet_health_host_responses"]
    of_host = {one.labels["class"]: int(one.value) for one in family.samples if one.labels["host"] == host}
    return of_host["2xx"], of_host["4xx"], of_host["5xx"]


def check(text: str, do_without: DoWithout) -> None:
    """Run the linter of Prometheus on metrics."""
    try:
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        do_without("promtool is missing; install prometheus")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_is_documented() -> None:
    """The table in the manual has every metric, and no other."""
    page = (Path(__file__).parents[2] / "packaging/doc/prometheus.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]

    documented = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]

    assert sorted(documented) == sorted(family.name for family in (*FAMILIES, *notify.FAMILIES))
