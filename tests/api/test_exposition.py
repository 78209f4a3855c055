"""The text that Prometheus reads: what is escaped, what is left out, and which of the two formats is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.api.exposition import Family, is_openmetrics_wanted, seconds
from tests.rig.exposition_readers import read_openmetrics, read_text
from tests.rig.properties import tried

COUNTER = Family("x_total", "counter", "Things.")
GAUGE = Family("y", "gauge", "Other things.")
OURS = "application/openmetrics-text;version=1.0.0"


@tried(200)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_label_survives_both_parsers(text: str) -> None:
    """Both parsers of the client library return it unchanged."""
    line = COUNTER.sample(3, host=text)
    (plain,) = read_text(COUNTER.text([line], is_openmetrics=False))
    (opened,) = read_openmetrics(COUNTER.text([line], is_openmetrics=True) + "# EOF\n")

    assert [(one.name, one.labels, one.value) for one in plain.samples] == [("x_total", {"host": text}, 3)]
    assert [(one.name, one.labels, one.value) for one in opened.samples] == [("x_total", {"host": text}, 3)]
    assert plain.type == opened.type == "counter"


def test_a_metric_is_written_in_either_format() -> None:
    """In OpenMetrics, a counter is named without its suffix. Metrics without series and empty labels are left out."""
    lines = [COUNTER.sample(1, a="b"), COUNTER.sample(2, a="")]

    assert COUNTER.text(lines, is_openmetrics=False) == (
        '# HELP x_total Things.\n# TYPE x_total counter\nx_total{a="b"} 1\nx_total 2\n'
    )
    assert (
        COUNTER.text(lines, is_openmetrics=True) == '# HELP x Things.\n# TYPE x counter\nx_total{a="b"} 1\nx_total 2\n'
    )
    assert GAUGE.text([GAUGE.sample(4)], is_openmetrics=True) == "# HELP y Other things.\n# TYPE y gauge\ny 4\n"
    assert GAUGE.text([], is_openmetrics=True) == ""


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "0"),
        (1_795_460_100_000_000, "1795460100"),
        (1_795_460_100_000_001, "1795460100.000001"),
        (-1, "-0.000001"),
        (-2_500_000, "-2.500000"),
    ],
)
def test_an_instant_is_exact(instant: int, text: str) -> None:
    """To the microsecond, also before 1970."""
    assert seconds(instant) == text


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("Application/OpenMetrics-Text;version=1.0.0;q=1", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.5", True),
        ("application/openmetrics-text;q=0.5,text/*;q=0.9", False),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.1,*/*;q=0.9", True),
        # Prometheus 2.42, and 2.53.
        (f"{OURS},application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        (f"{OURS};q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3", True),
    ],
)
def test_clients_that_prefer_openmetrics_get_it(accept: str, *, is_openmetrics: bool) -> None:
    """Others get the text format."""
    assert is_openmetrics_wanted(accept) == is_openmetrics
