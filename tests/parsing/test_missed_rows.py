"""How many rows at the end of a block could not be read."""

from __future__ import annotations

from fleet_health.parsing.index_row import IndexParser

GOOD = b'{"host_id":"a","received_at_wall":"2026-11-23T18:55:00+00:00"}\n'
ODD = b'{"host_id":"a","received_at_wall":"2026-11-23T18:55:00"}\n'


def test_rows_behind_the_last_good_one_are_counted() -> None:
    """Blank lines do not count, and the last line needs no newline."""
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")

    assert parser.missed_in_a_row(b"") == 0
    assert parser.missed_in_a_row(GOOD) == 0
    assert parser.missed_in_a_row(ODD + GOOD + ODD + b"\n" + ODD) == 2
    assert parser.missed_in_a_row(ODD * 3) == 3
    assert parser.missed_in_a_row(GOOD + ODD.strip()) == 1
