"""The two formats that Prometheus reads: its own text format, and OpenMetrics 1.0. Pure.

The text is made from the state for each request, piece by piece, and not cached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fleet_health.model.instant import Instant

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_TOTAL = "_total"
_escaped = re.compile(r'[\\"\n]')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, with all its series.

    Attributes:
        name: Its name. The name of a counter ends in `_total`.
        kind: `gauge`, `counter` or `histogram`.
        help: Its description, in one sentence without quotes and backslashes.

    """

    name: str
    kind: str
    help: str

    def head(self, *, is_openmetrics: bool) -> str:
        """Return the lines before its series. The name of a counter has no suffix in OpenMetrics."""
        name = self.name.removesuffix(_TOTAL) if is_openmetrics and self.kind == "counter" else self.name
        return f"# HELP {name} {self.help}\n# TYPE {name} {self.kind}\n"

    def sample(self, value: float | str, **labels: str) -> str:
        """Return a series with its value, as a line."""
        return f"{self.name}{labelled(labels)} {value}\n"

    def instants(self, instants: Iterable[tuple[Mapping[str, str], Instant | None]]) -> Iterator[str]:
        """Yield a series for each pair of labels and a known instant."""
        return (self.sample(seconds(at), **labels) for labels, at in instants if at is not None)

    def text(self, samples: Iterable[str], *, is_openmetrics: bool) -> str:
        """Return the whole metric; empty if it has no series."""
        lines = "".join(samples)
        return self.head(is_openmetrics=is_openmetrics) + lines if lines else ""


def labelled(labels: Mapping[str, str]) -> str:
    """Return labels in braces. Empty ones are left out, which Prometheus treats alike."""
    pairs = [f'{name}="{escaped(value)}"' for name, value in labels.items() if value]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def escaped(text: str) -> str:
    """Return a text, escaped for use as the value of a label."""
    return _escaped.sub(lambda match: _ESCAPES[match[0]], text)


def seconds(at: Instant) -> str:
    """Return microseconds as seconds, with all digits."""
    sign, at = ("-", -at) if at < 0 else ("", at)
    whole, part = divmod(at, SECOND_US)
    return f"{sign}{whole}.{part:06d}" if part else f"{sign}{whole}"


def is_openmetrics_wanted(accept: str) -> bool:
    """Return whether an `Accept` header gives OpenMetrics at least the weight of plain text."""
    weights: dict[str, float] = {}
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if (
            kind == "application/openmetrics-text"
            and "version=1.0.0" not in parameters
            and any(parameter.startswith("version=") for parameter in parameters)
        ):
            continue  # another version of OpenMetrics
        weights[kind] = max(weights.get(kind, 0.0), _weight(parameters))
    plain = max(weights.get(kind, 0.0) for kind in ("text/plain", "text/*", "*/*"))
    plain = weights.get("text/plain", plain)
    return weights.get("application/openmetrics-text", 0.0) > 0 and weights["application/openmetrics-text"] >= plain


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
