"""Which lines look like those of a receiver, and which part of a path is taken for the host."""

from __future__ import annotations

import pytest

from fleet_health.cli.setup.candidates import candidate, candidates, upload_words_of
from fleet_health.parsing.access_formats import FORMATS, Request
from fleet_health.sources.journal.survey import Origin

HOSTS = ("pi-01", "pi-02", "bench-3")


def origin(*lines: str, unit: str = "mine.service") -> Origin:
    """Make a program that wrote these lines."""
    return Origin(unit, (), lines, ())


@pytest.mark.parametrize("access", FORMATS, ids=[one.name for one in FORMATS])
@pytest.mark.parametrize(
    ("method", "prefix"), [("PUT", "/v1/episodes/"), ("POST", "/upload/"), ("PATCH", "/api/v2/lab.1/files/")]
)
def test_each_known_format_is_found_by_any_method_and_path(access: object, method: str, prefix: str) -> None:
    """All hosts are found, and nothing else."""
    lines = [
        access.write(Request(f"{prefix}{host}/file-{number}.bin", method=method, status=201))  # type: ignore[attr-defined]
        for number in range(4)
        for host in HOSTS
    ]

    found = candidate(origin("Started.", *lines, "INFO worker 3 took 0.1 s"))

    assert found is not None
    assert (found.words, dict(found.hosts)) == ((method, prefix), dict.fromkeys(HOSTS, 4))
    assert found.is_default == (access.name.startswith("uvicorn") and prefix == "/v1/episodes/")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["/v1/episodes/pi-1/e1", "/v1/episodes/pi-1/e2"], ["/v1/episodes/"]),
        (["/up/pi-1/e1", "/up/pi-2/e2"], ["/up/"]),
        (["/pi-1/e1", "/pi-2/e2"], ["/"]),
        (["/up/pi-1/day1/f", "/up/pi-2/day1/f"], ["/up/"]),
        (["/v1/images/pi-1/a", "/v1/logs/pi-1/b", "/v1/logs/pi-2/c"], ["/v1/logs/", "/v1/images/"]),
        (["/up/pi-1/e1", "/login"], ["/up/"]),
        (["/login", "/logout"], []),
        ([], []),
    ],
)
def test_the_host_is_the_first_part_that_differs(paths: list[str], words: list[str]) -> None:
    """Another part must follow it."""
    assert upload_words_of([("PUT", path) for path in paths]) == [("PUT", path) for path in words]


def test_an_index_tells_which_part_is_the_host() -> None:
    """The hosts of the index decide, even if an earlier part differs as well."""
    paths = [("PUT", f"/site-{number % 2}/{host}/e{number}") for number, host in enumerate(HOSTS * 3)]

    assert upload_words_of(paths) == [("PUT", "/")]
    assert {path for _, path in upload_words_of(paths, HOSTS)} == {"/site-0/", "/site-1/"}


def test_who_has_no_upload_lines_is_no_receiver() -> None:
    """Other requests, paths without a host, and lines that only mention an upload do not count."""
    lines = [
        '10.0.0.7:51234 - "GET /v1/episodes/pi-1/e1 HTTP/1.1" 200',
        '10.0.0.7:51234 - "POST /login HTTP/1.1" 200',
        "client asked for PUT /v1/episodes/pi-1/e1 just now",
        '{"method":"PUT"}',
        "\x1b[31m",
    ]

    assert candidate(origin(*lines)) is None
    assert candidate(origin()) is None


def test_instances_of_a_template_are_one_receiver() -> None:
    """A glob matches several instances; one alone keeps its name. Those with hosts of the index come first."""

    def line(host: str) -> str:
        return f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e HTTP/1.1" 201'

    found = candidates(
        [
            origin(line("pi-1"), unit="up@1.service"),
            origin(line("pi-2"), unit="up@2.service"),
            origin(line("x"), line("x"), line("x"), unit="other@1.service"),
        ],
        {"pi-1", "pi-2"},
    )

    assert [one.origin.unit for one in found] == ["up@*.service", "other@1.service"]
    assert [dict(one.hosts) for one in found] == [{"pi-1": 1, "pi-2": 1}, {"x": 3}]
