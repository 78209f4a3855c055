"""What the tests of notifications share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.notify.ledger.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the proxy of whoever runs the tests out of the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def _stores_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every ledger that a test has opened: from Python 3.13 on, one that is only let go is a warning."""
    opened: list[Store] = []
    original = Store.open

    def open_and_note(store: Store) -> None:
        opened.append(store)
        original(store)

    monkeypatch.setattr(Store, "open", open_and_note)
    yield
    for store in opened:
        store.close()
