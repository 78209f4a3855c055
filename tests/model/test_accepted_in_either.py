"""Uploads known from either source: a row and a 2xx are worth the same, and only what is needed is remembered."""

from __future__ import annotations

import pytest

from fleet_health.model.fleet import SAME_UPLOAD_US, Fleet
from fleet_health.model.observation import Response, Upload

NOW = 1_795_460_100_000_000
MINUTE = 60_000_000


def test_each_uploader_is_named_once() -> None:
    """A host counts once, whether a row, a 2xx or both show it. A refusal shows no uploader."""
    fleet = Fleet()
    fleet.uploads.record([Upload("row", NOW), Upload("both", NOW)])
    fleet.traffic.record([Response("both", NOW, 201), Response("line", NOW, 201), Response("refused", NOW, 412)])

    assert sorted(fleet.uploaders()) == ["both", "line", "row"]


@pytest.mark.parametrize(
    ("row_at", "remembered"),
    [
        pytest.param(None, [NOW - MINUTE, NOW], id="without any row, all"),
        pytest.param(NOW - 10 * MINUTE, [NOW - MINUTE, NOW], id="what came after the last row"),
        pytest.param(NOW - SAME_UPLOAD_US, [], id="what may be of the same upload as the last row, is"),
        pytest.param(NOW + MINUTE, [], id="nothing, if a row came later"),
    ],
)
def test_only_uploads_that_no_row_shows_are_remembered(row_at: int | None, remembered: list[int]) -> None:
    """Rows are read again after a restart; uploads that only the journal showed are not."""
    fleet = Fleet()
    fleet.uploads.record([] if row_at is None else [Upload("a", row_at)])
    fleet.traffic.record([Response("a", NOW - MINUTE, 201), Response("a", NOW, 201)])

    assert fleet.without_row().get("a", []) == remembered


def test_what_is_remembered_is_known_again() -> None:
    """Restored uploads count for the whole fleet, and for their receiver if there are several."""
    fleet = Fleet(receivers=["one", "two"])
    fleet.record_accepted("one", {"a": [NOW - MINUTE, NOW]})
    only = Fleet()
    only.record_accepted("", {"a": [NOW]})

    assert (fleet.accepted_at("a"), only.accepted_at("a")) == (NOW, NOW)
    assert fleet.without_row() == {"a": [NOW - MINUTE, NOW]}
    assert fleet.of("one").traffic.accepted.latest("a") == fleet.traffic.accepted.latest("a")
    assert list(fleet.of("two").traffic.accepted.items()) == []


@pytest.mark.parametrize(
    ("row_at", "line_at", "kinds"),
    [
        pytest.param(None, None, set(), id="neither has shown anything since"),
        pytest.param(NOW - MINUTE, NOW - MINUTE, set(), id="what they showed is older"),
        pytest.param(NOW + MINUTE, None, {"index"}, id="a row shows it of the index alone"),
        pytest.param(None, NOW + MINUTE, {"index", "journal"}, id="a 2xx shows it as well as a row"),
    ],
)
@pytest.mark.parametrize("subject", ["a", "*"])
def test_an_exchanged_source_speaks_once_it_has_shown_an_upload(
    row_at: int | None, line_at: int | None, kinds: set[str], subject: str
) -> None:
    """A replaced source shows an end only after an upload of the host, or of any host if the subject is a receiver."""
    fleet = Fleet()
    fleet.exchanged = {"index": NOW, "journal": NOW}
    fleet.uploads.record([] if row_at is None else [Upload("a", row_at)])
    fleet.traffic.record([] if line_at is None else [Response("a", line_at, 201)])

    assert fleet.kinds_seen_anew(subject) == kinds
    assert fleet.kinds_seen_anew("b") == frozenset()


def test_a_source_that_was_not_exchanged_always_speaks() -> None:
    """Only the replaced source has to show an upload first."""
    fleet = Fleet()
    everything = fleet.kinds_seen_anew("a")
    fleet.exchanged = {"index": NOW}

    assert everything == {"index", "journal"}
    assert fleet.kinds_seen_anew("a") == {"journal"}


def test_a_fleet_that_stands_still_looks_once() -> None:
    """A view caches what it made under each key; a live fleet computes it each time."""
    calls: list[str] = []
    fleet = Fleet()
    still = fleet.standing_still()
    for one in (fleet, still):
        for key in ("x", "x", "y"):
            one.once(key, lambda key=key: calls.append(key))  # type: ignore[misc]

    assert calls == ["x", "x", "y", "x", "y"]
