"""The shape of a log line: lines that differ only in variable parts have the same one."""

from __future__ import annotations

import pytest

from fleet_health.parsing.line_shape import line_shape


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("upload of pi done", "upload of pi done", id="words stay"),
        pytest.param("took 17 ms", "took <n> ms", id="a number"),
        pytest.param("at 2026-11-23T18:55:00.123Z: up", "at <time>: up", id="a time in UTC"),
        pytest.param("at 2026-11-23 18:55:00,1+01:00: up", "at <time>: up", id="a time with an offset"),
        pytest.param("10.0.0.7:1234 came", "<address>:<n> came", id="an address and a port"),
        pytest.param("2001:db8::17 came", "<address> came", id="an address of IPv6"),
        pytest.param("id 0b5f1ea8-1c9b-4f0e-9a59-5c1b2f0c3d4e", "id <uuid>", id="a UUID"),
        pytest.param("id deadbeef01", "id <hex>", id="a hexadecimal number"),
        pytest.param("id deadbeef", "id deadbeef", id="letters alone are a word"),
        pytest.param("episode e17", "episode e<n>", id="a number within a word"),
        pytest.param("x" * 499 + "77", "x" * 499 + "<n>", id="it ends with the 500th character"),
        pytest.param("x" * 500 + "7", "x" * 500, id="what is behind it does not count"),
    ],
)
def test_what_changes_from_line_to_line_is_folded(line: str, shape: str) -> None:
    """Numbers, times, addresses and ids are replaced by their kind."""
    assert line_shape(line) == shape
