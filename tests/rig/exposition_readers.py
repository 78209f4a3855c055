"""Reading metrics with the parsers of Prometheus's own client library, which has no type hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.openmetrics.parser import text_string_to_metric_families as _openmetrics
from prometheus_client.parser import text_string_to_metric_families as _text

if TYPE_CHECKING:
    from prometheus_client import Metric


def read_text(text: str) -> list[Metric]:
    """Read Prometheus's own format."""
    return list(_text(text))


def read_openmetrics(text: str) -> list[Metric]:
    """Read OpenMetrics; it is strict about what may stand where."""
    return list(_openmetrics(text))  # type: ignore[no-untyped-call]
