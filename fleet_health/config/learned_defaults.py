"""The switches whose default depends on whether limits are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from collections.abc import Mapping


def learned_defaults(*, is_learned: bool) -> Mapping[str, bool]:
    """Return the switches that are on by default if the limit of any host is learned, each with True; else none."""
    return {key: True for spec in DETECTORS if spec.is_on_where_learned for key in spec.switches} if is_learned else {}
