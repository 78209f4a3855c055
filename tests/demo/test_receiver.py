"""The receiver under a real uvicorn, with real uploads."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.hosts import COMMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.demo.conftest import RunningReceiver

    StartReceiver = Callable[..., RunningReceiver]

ACCESS = re.compile(r'PUT /v1/episodes/(?P<host>[^/]+)/[^"]+ HTTP/1\.1" (?P<status>\d{3})')


def rows(index: Path) -> list[dict[str, object]]:
    """Return the rows of the index."""
    return [json.loads(line) for line in index.read_text().splitlines()]


def test_an_accepted_upload_is_a_row(tmp_path: Path, start_receiver: StartReceiver) -> None:
    """A stamped upload gets 201, and the row has what was received and when."""
    index = tmp_path / "index.jsonl"
    receiver = start_receiver(index)
    body = bytes(range(256)) * 1000
    before = datetime.now(UTC)

    answer = receiver.request("/v1/episodes/pi-07/e1", body=body)

    assert answer.status == 201
    (row,) = rows(index)
    received_at = datetime.fromisoformat(str(row.pop("received_at_wall")))
    assert before <= received_at <= datetime.now(UTC)
    assert row == {
        "host_id": "pi-07",
        "episode": "e1",
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "code_commit": COMMIT,
    }


def test_the_access_line_is_uvicorns(tmp_path: Path, start_receiver: StartReceiver) -> None:
    """Each upload has one line with its host and the status of the response."""
    receiver = start_receiver(tmp_path / "index.jsonl", RECEIVER_REFUSE="pi-03", RECEIVER_FAIL="pi-05,pi-06")
    for host in ("pi-01", "pi-03", "pi-05", "pi-06"):
        receiver.request(f"/v1/episodes/{host}/e1")
    receiver.request("/v1/episodes/pi-02/e1", stamp="")

    accesses = [match.groups() for line in receiver.stop() if (match := ACCESS.search(line))]

    assert accesses == [("pi-01", "201"), ("pi-03", "422"), ("pi-05", "500"), ("pi-06", "500"), ("pi-02", "412")]


def test_an_upload_without_a_stamp_is_refused_with_a_warning(tmp_path: Path, start_receiver: StartReceiver) -> None:
    """Without a stamp, the status is 412, the log names the host, and there is no row."""
    index = tmp_path / "index.jsonl"
    receiver = start_receiver(index)

    answer = receiver.request("/v1/episodes/pi-04/e1", stamp="")

    assert answer.status == 412
    assert not index.exists()
    warning = "WARNING cis490.receiver: rejected upload: missing X-Cis490-Code-Commit host=pi-04, episode=e1"
    assert warning in receiver.stop()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("PUT", "/", 404, id="the root"),
        pytest.param("PUT", "/v1/episodes/pi-01", 404, id="a host without an episode"),
        pytest.param("PUT", "/v1/episodes/pi-01/e1/more", 404, id="more than an episode"),
        pytest.param("PUT", "/v1/episodes/pi%0A01/e1", 404, id="a line break in the host"),
        pytest.param("PUT", "/v1/episodes/pi%2F01/e1", 404, id="a slash in the host"),
        pytest.param("GET", "/v1/episodes/pi-01/e1", 405, id="a read"),
        pytest.param("POST", "/v1/episodes/pi-01/e1", 405, id="a post"),
    ],
)
def test_nothing_but_an_upload_is_served(
    method: str, path: str, status: int, tmp_path: Path, start_receiver: StartReceiver
) -> None:
    """Another path gets 404, another method 405, and neither has a row."""
    index = tmp_path / "index.jsonl"

    answer = start_receiver(index).request(path, method=method)

    assert answer.status == status
    assert answer.headers.get("allow") == ("PUT" if status == 405 else None)
    assert not index.exists()


def test_a_host_that_hangs_up_leaves_nothing(tmp_path: Path, start_receiver: StartReceiver) -> None:
    """An incomplete upload has no row, and the next one is served."""
    index = tmp_path / "index.jsonl"
    receiver = start_receiver(index)
    with socket.create_connection(("127.0.0.1", receiver.port)) as broken:
        broken.sendall(b"PUT /v1/episodes/pi-01/e1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")

    assert receiver.request("/v1/episodes/pi-02/e1").status == 201
    assert [row["host_id"] for row in rows(index)] == ["pi-02"]


def test_a_full_disk_is_an_error_of_the_receiver(start_receiver: StartReceiver) -> None:
    """If the index cannot grow, the status is 500 and the log has the reason. The receiver continues."""
    receiver = start_receiver(Path("/dev/full"))

    assert [receiver.request(f"/v1/episodes/pi-01/e{n}").status for n in (1, 2)] == [500, 500]
    errors = [line for line in receiver.stop() if line.startswith("ERROR cis490.receiver: ")]
    assert len(errors) == 2
    assert all("No space left on device" in line and "host=pi-01" in line for line in errors)


def test_a_row_that_does_not_fit_is_taken_back(tmp_path: Path, start_receiver: StartReceiver) -> None:
    """If only a part of a row fits on the disk, that part is removed."""
    index = tmp_path / "index.jsonl"
    receiver = start_receiver(index, largest_file=700)

    statuses = [receiver.request(f"/v1/episodes/pi-01/e{n}").status for n in range(5)]

    assert statuses == [201, 201, 500, 500, 500]
    assert [row["episode"] for row in rows(index)] == ["e0", "e1"]


def test_the_index_may_come_and_go(tmp_path: Path, start_receiver: StartReceiver) -> None:
    """Without its directory, uploads get 500. Once it exists, and after each rotation, they get 201."""
    index = tmp_path / "later" / "index.jsonl"
    receiver = start_receiver(index)

    assert receiver.request("/v1/episodes/pi-01/e1").status == 500
    index.parent.mkdir()
    assert receiver.request("/v1/episodes/pi-01/e2").status == 201
    index.rename(tmp_path / "rotated")
    assert receiver.request("/v1/episodes/pi-01/e3").status == 201

    assert [row["episode"] for row in rows(index)] == ["e3"]
