"""How many of the lines of a journal were understood."""

from __future__ import annotations

from fleet_health.config.loading import load
from fleet_health.model.coverage import Share
from fleet_health.sources.journal.lines import log_parser, share_of

UPLOAD = b'10.0.0.7:51234 - "PUT /v1/episodes/pi-1/e1 HTTP/1.1" 201'
MISSED = b'10.0.0.7:51234 - "PUT /v1/episodes/pi-1/e1 HTTP/1.1" - 201 in 4 ms'


def test_lines_that_were_missed_before_do_not_count() -> None:
    """Each slice counts its own lines."""
    parser, shares = log_parser(load(None).receivers[0].journal), []
    for at, lines in enumerate([[MISSED, MISSED], [UPLOAD, MISSED], [MISSED]]):
        missed_before = parser.missed
        found = [one for line in lines for one in parser.parse(line, at)[0]]
        shares.append(share_of(parser, missed_before, found))

    assert shares == [Share(2, 0, 2, None), Share(2, 1, 1, 1), Share(1, 0, 1, None)]
    assert parser.missed_in_a_row == 2
