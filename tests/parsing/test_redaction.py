"""Everything that may be a secret is removed from a line before it is shown or logged."""

from __future__ import annotations

import pytest

from fleet_health.parsing.redaction import without_secrets


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("PUT /v1/a?x=s3cret HTTP/1.1", "PUT /v1/a?… HTTP/1.1"),
        ("PUT /v1/a%3Fx=s3cret HTTP/1.1", "PUT /v1/a%3F… HTTP/1.1"),
        ("PUT /v1/a%3fs HTTP/1.1", "PUT /v1/a%3f… HTTP/1.1"),
        ('"PUT /v1/a?x=s3cret" 201', '"PUT /v1/a?…" 201'),
        ('"PUT /v1/a%3Fs" 201', '"PUT /v1/a%3F…" 201'),
        ('{"uri": "/v1/a?x=s3\\"cret", "status": 201}', '{"uri": "/v1/a?…", "status": 201}'),
        ("who is there? nobody", "who is there? nobody"),
        ("from https://user:pass@site.example/", "from https://…@site.example/"),
        ("token=s3cret&b=c", "token=…&b=c"),
        ("Authorization: Bearer s3cret", "Authorization: Bearer …"),
    ],
)
def test_a_secret_is_cut_and_the_rest_stays(line: str, shown: str) -> None:
    """A query as it came or quoted, a user in a URL, and the value after a telling name."""
    assert without_secrets(line) == shown
