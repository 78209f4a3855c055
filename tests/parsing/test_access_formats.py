"""Lines as servers write them: each format, field by field."""
# ruff: noqa: E501 - the lines are as long as servers write them

from __future__ import annotations

import pytest

from fleet_health.parsing.access_formats import FORMATS, Request

PLAIN = Request("/v1/a", status=201)
ODD = Request(
    "/v1/a b/\u00fc",
    query="q=1 2",
    method="PUT",
    status=412,
    forwarded="10.0.0.9, 10.0.0.7",
    user='ann"x',
    referer='r"\n',
    agent="a\\\u00fc",
)


@pytest.mark.parametrize(
    ("name", "plain", "odd"),
    [
        pytest.param(
            "uvicorn",
            'INFO:     127.0.0.1:50000 - "PUT /v1/a HTTP/1.1" 201 Created',
            'INFO:     10.0.0.7:0 - "PUT /v1/a%20b/%C3%BC?q=1+2 HTTP/1.1" 412 Precondition Failed',
            id="uvicorn",
        ),
        pytest.param(
            "uvicorn, without a level",
            '127.0.0.1:50000 - "PUT /v1/a HTTP/1.1" 201',
            '10.0.0.7:0 - "PUT /v1/a%20b/%C3%BC?q=1+2 HTTP/1.1" 412',
            id="uvicorn, without a level",
        ),
        pytest.param(
            "uvicorn, by the root logger",
            'INFO:uvicorn.access:127.0.0.1:50000 - "PUT /v1/a HTTP/1.1" 201',
            'INFO:uvicorn.access:10.0.0.7:0 - "PUT /v1/a%20b/%C3%BC?q=1+2 HTTP/1.1" 412',
            id="uvicorn, by the root logger",
        ),
        pytest.param(
            "nginx, combined",
            '127.0.0.1 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/a HTTP/1.1" 201 0 "-" "-"',
            '127.0.0.1 - ann\\x22x [26/Nov/2026:05:55:43 +0000] "PUT /v1/a%20b/\\xC3\\xBC?q=1+2 HTTP/1.1" 412 0 "r\\x22\\x0A" "a\\x5C\\xC3\\xBC"',
            id="nginx, combined",
        ),
        pytest.param(
            "nginx, the path as JSON",
            '{"method":"PUT","uri":"/v1/a","status":"201"}',
            '{"method":"PUT","uri":"/v1/a%20b/ü","status":"412"}',
            id="nginx, the path as JSON",
        ),
        pytest.param(
            "Apache, combined",
            '127.0.0.1 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/a HTTP/1.1" 201 0 "-" "-"',
            '127.0.0.1 - ann\\"x [26/Nov/2026:05:55:43 +0000] "PUT /v1/a%20b/\\u00fc?q=1+2 HTTP/1.1" 412 0 "r\\"\\n" "a\\\\\\u00fc"',
            id="Apache, combined",
        ),
        pytest.param(
            "gunicorn",
            '127.0.0.1 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/a HTTP/1.1" 201 0 "-" "-"',
            '127.0.0.1 - ann\\"x [26/Nov/2026:05:55:43 +0000] "PUT /v1/a%20b/ü?q=1+2 HTTP/1.1" 412 0 "r\\"\n" "a\\ü"',
            id="gunicorn",
        ),
        pytest.param(
            "gunicorn, the request alone",
            '127.0.0.1 [26/Nov/2026:05:55:43 +0000] "PUT /v1/a HTTP/1.1" 201',
            '127.0.0.1 [26/Nov/2026:05:55:43 +0000] "PUT /v1/a%20b/ü?q=1+2 HTTP/1.1" 412',
            id="gunicorn, the request alone",
        ),
        pytest.param(
            "hypercorn",
            '[2026-11-26 05:55:43 +0000] [13675] [INFO] 127.0.0.1:48026 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/a 1.1" 201 0 "-" "-"',
            '[2026-11-26 05:55:43 +0000] [13675] [INFO] 127.0.0.1:48026 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/a b/ü 1.1" 412 0 "r"\n" "a\\ü"',
            id="hypercorn",
        ),
        pytest.param(
            "granian",
            '[2026-11-26 05:55:43 +0000] 127.0.0.1 - "PUT /v1/a HTTP/1.1" 201 0.037',
            '[2026-11-26 05:55:43 +0000] 127.0.0.1 - "PUT /v1/a b/ü HTTP/1.1" 412 0.037',
            id="granian",
        ),
        pytest.param(
            "Caddy",
            '{"level":"info","ts":1795672708.454,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"48050","proto":"HTTP/1.1","method":"PUT","host":"x","uri":"/v1/a","headers":{"User-Agent":["-"],"Referer":["-"],"X-Forwarded-For":[""]}},"user_id":"","duration":1.389e-05,"size":0,"status":201,"resp_headers":{"Server":["Caddy"]}}',
            '{"level":"error","ts":1795672708.454,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"48050","proto":"HTTP/1.1","method":"PUT","host":"x","uri":"/v1/a%20b/ü?q=1+2","headers":{"User-Agent":["a\\\\ü"],"Referer":["r\\"\\n"],"X-Forwarded-For":["10.0.0.9, 10.0.0.7"]}},"user_id":"ann\\"x","duration":1.389e-05,"size":0,"status":412,"resp_headers":{"Server":["Caddy"]}}',
            id="Caddy",
        ),
        pytest.param(
            "Caddy, without headers",
            '{"level":"info","ts":1795672708.454,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"48050","proto":"HTTP/1.1","method":"PUT","uri":"/v1/a"},"duration":1.389e-05,"size":0,"status":201}',
            '{"level":"error","ts":1795672708.454,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"48050","proto":"HTTP/1.1","method":"PUT","uri":"/v1/a%20b/ü?q=1+2"},"duration":1.389e-05,"size":0,"status":412}',
            id="Caddy, without headers",
        ),
    ],
)
def test_a_line_is_what_the_server_writes(name: str, plain: str, odd: str) -> None:
    """Text chosen by a client is escaped as that server does; fields that it does not log are left out."""
    (form,) = (one for one in FORMATS if one.name == name)

    assert form.write(PLAIN) == plain
    assert form.write(ODD) == odd


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("", "127.0.0.1:50000"),
        ("10.0.0.7", "10.0.0.7:0"),
        ("10.0.0.9, 10.0.0.7:80", "10.0.0.7:80"),
        (" , ", "127.0.0.1:50000"),
    ],
)
def test_uvicorn_trusts_the_last_proxy(forwarded: str, client: str) -> None:
    """A port is added if there is none."""
    line = FORMATS[1].write(Request("/v1/a", forwarded=forwarded))

    assert line.startswith(f'{client} - "')
