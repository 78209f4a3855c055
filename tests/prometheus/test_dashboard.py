"""The dashboard for Grafana: its queries ask for what there is, as Prometheus understands them, and its panels fit."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State
from fleet_health.api.metric_families import FAMILIES
from fleet_health.api.metrics import HostSeries, document
from tests.api.test_metrics import by_name, fleet_of, incident, measured

if TYPE_CHECKING:
    from tests.conftest import DoWithout

FILES = Path(__file__).parents[2] / "packaging/prometheus"
DASHBOARD: dict[str, Any] = json.loads((FILES / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}


def test_it_asks_for_what_there_is() -> None:
    """For metrics of the service, and series that the rules record; by labels that they have."""
    recorded = set(re.findall(r"record: (\S+)", (FILES / "fleet-health.rules.yml").read_text()))
    asked = [*QUERIES, *(one["query"]["query"] for one in VARIABLES.values() if one["type"] == "query")]
    text = " ".join(asked)
    names = {family.name for family in FAMILIES}
    names |= {f"{family.name}_bucket" for family in FAMILIES if family.kind == "histogram"}

    assert set(re.findall(r"\b(?:fleet_health|process)_\w+", text)) <= names
    assert set(re.findall(r"\bfleet_health:[\w:]+", text)) <= recorded
    known = {"instance", "job", "le", *labels_of_metrics()}
    named = set(re.findall(r"(\w+)=~?\"", text))
    named |= {one for group in re.findall(r"by \(([^)]*)\)", text) for one in re.split(r"[, ]+", group)}
    named |= set(re.findall(r"{{(\w+)}}", json.dumps(DASHBOARD)))
    assert named <= known


def labels_of_metrics() -> set[str]:
    """Return every label that there is in the metrics of a service with something of everything."""
    known = measured([incident("a", "silent", State.FIRING), incident("*@lab", "receiver-down", State.FIRING)])
    known.counters.retries["journal"] += 1
    known.counters.notifications["silent", "notify"] += 1
    series = HostSeries(known)
    series.add(fleet_of("a"), ["a"], known.sources[0].seen_until or 0)
    families = by_name(document(known, series).decode()).values()
    return {label for family in families for sample in family.samples for label in sample.labels}


def test_prometheus_understands_its_queries(tmp_path: Path, do_without: DoWithout) -> None:
    """As it would of a rule, with something in the place of what Grafana fills in."""
    rules = [
        {"record": f"query{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    try:
        done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        do_without("promtool is missing; install prometheus")

    assert done.returncode == 0, done.stdout + done.stderr


def test_its_panels_stand_beside_each_other() -> None:
    """Each has a place of its own within the width, a number, a title, and the data source that is chosen."""
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] for panel in DASHBOARD["panels"])
    assert {one["datasource"]["uid"] for panel in PANELS for one in (panel, *panel["targets"])} == {"${datasource}"}
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Fleet", "Host $host", "Receiver", "fleet-health itself"]
    assert set(re.findall(r"\$(\w+)", " ".join(QUERIES))) - {"__rate_interval"} == set(VARIABLES) - {"datasource"}
