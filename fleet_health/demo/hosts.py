"""The simulated hosts: each uploads over real HTTP, with or without a fault of its own.

Owns the behaviour of each host and the count of its responses. Knows neither the journal nor fleet-health.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from fleet_health.demo.receiver import STAMP_HEADER

EPISODE_SIZE = 20_000
RESPONSE_WITHIN_S = 10
COMMIT = "3f786850e387550fdab836ed7e6dc881de23001b"


@dataclass(frozen=True, slots=True)
class SimulatedHost:
    """One host and its behaviour.

    Attributes:
        name: Its name in the path of its uploads.
        story: What it does, in a few words.
        pause_s: The seconds between two uploads.
        uploads: The number of uploads before it falls silent; None for no end.
        stamped_every: One upload in so many has a code stamp, beginning with the first.
        symptom: The symptom that fleet-health should find; empty for a well host.

    """

    name: str
    story: str
    pause_s: float
    uploads: int | None = None
    stamped_every: int = 1
    symptom: str = ""


REFUSED_HOST = "pi-03"

HOSTS = (
    SimulatedHost("pi-01", "uploads steadily", pause_s=1.0),
    SimulatedHost("pi-02", "stops uploading", pause_s=0.9, uploads=5, symptom="silent"),
    SimulatedHost(REFUSED_HOST, "is always refused", pause_s=0.8, symptom="fatal-only"),
    # One upload in four is accepted, as if an old worker sent the other three.
    SimulatedHost("pi-04", "has one old worker", pause_s=0.6, stamped_every=4, symptom="unstamped"),
)


@dataclass(slots=True)
class Tally:
    """The responses to a host so far.

    Attributes:
        accepted: The number of responses with 201.
        unstamped: The number of responses with 412: the stamp was missing.
        refused: The number of responses with any other status.
        unanswered: The number of uploads without a response.
        last_upload_at: The time of the last accepted upload, by `time.monotonic()`; None before the first.

    """

    accepted: int = 0
    unstamped: int = 0
    refused: int = 0
    unanswered: int = 0
    last_upload_at: float | None = None

    def count(self, status: int) -> None:
        """Count one response."""
        if status == HTTPStatus.CREATED:
            self.accepted += 1
            self.last_upload_at = time.monotonic()
        elif status == HTTPStatus.PRECONDITION_FAILED:
            self.unstamped += 1
        else:
            self.refused += 1


async def simulate(host: SimulatedHost, port: int, tally: Tally) -> None:
    """Upload to the receiver on `port` as `host` does, until it falls silent or the task is cancelled."""
    numbers = itertools.count() if host.uploads is None else range(host.uploads)
    for number in numbers:
        episode = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{number:04d}"
        stamp = COMMIT if number % host.stamped_every == 0 else ""
        try:
            async with asyncio.timeout(RESPONSE_WITHIN_S):
                status = await upload(port, f"/v1/episodes/{host.name}/{episode}", os.urandom(EPISODE_SIZE), stamp)
        except OSError:
            tally.unanswered += 1
        else:
            tally.count(status)
        await asyncio.sleep(host.pause_s)


async def upload(port: int, path: str, body: bytes, stamp: str = "") -> int:
    """PUT `body` to the receiver on this machine, and return the status of the response.

    Raises:
        OSError: There was no response, or it is not HTTP.

    """
    head = [f"PUT {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", "Connection: close"]
    if stamp:
        head.append(f"{STAMP_HEADER}: {stamp}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        response = (await reader.read()).split(maxsplit=2)
    finally:
        writer.close()
    try:
        return int(response[1])
    except (IndexError, ValueError):
        raise ConnectionError(f"not an HTTP response: {response!r}") from None
