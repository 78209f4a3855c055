"""The receiver: a small HTTP service to which hosts upload episodes, run by uvicorn.

Owns the responses and the rows of the index. Knows nothing of fleet-health: its access lines are those of uvicorn, its
warnings go to stderr, and both reach the journal like those of any service.

    uvicorn fleet_health.demo.receiver:app --host 127.0.0.1 --port 8490
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

STAMP_HEADER = "X-Cis490-Code-Commit"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Other characters than visible ASCII never reach a log line or the index.
_UPLOAD_PATH = re.compile(r"/v1/episodes/(?P<host>[!-.0-~]+)/(?P<episode>[!-.0-~]+)")

_log = logging.getLogger("cis490.receiver")


class UploadBroken(Exception):  # noqa: N818 - caused by the host, so no error of the receiver
    """The host closed the connection before its upload was complete."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """The ASGI application.

    Attributes:
        index: The file that gets a row for each accepted upload. It is opened for each, so it may be rotated.
        refuse: The hosts that get 422, as if their uploads were invalid.
        fail: The hosts that get 500, as if the receiver were broken.

    """

    index: Path
    refuse: frozenset[str] = frozenset()
    fail: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read RECEIVER_INDEX, RECEIVER_REFUSE and RECEIVER_FAIL (names separated by commas)."""
        return cls(
            index=Path(environment.get("RECEIVER_INDEX") or "/var/lib/cis490/index.jsonl"),
            refuse=frozenset(environment.get("RECEIVER_REFUSE", "").split(",")),
            fail=frozenset(environment.get("RECEIVER_FAIL", "").split(",")),
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle a request, or the start and end of the server, as ASGI requires."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            try:
                status, text = await self._respond(scope, receive)
            except UploadBroken:
                return
            await _answer(send, status, text)

    async def _respond(self, scope: Message, receive: Receive) -> tuple[HTTPStatus, str]:
        upload = _UPLOAD_PATH.fullmatch(scope["path"])
        if upload is None:
            return HTTPStatus.NOT_FOUND, "not found"
        if scope["method"] != "PUT":
            return HTTPStatus.METHOD_NOT_ALLOWED, "PUT an episode here"
        size, sha256 = await _read_body(receive)
        row = {
            "host_id": upload["host"],
            "episode": upload["episode"],
            "received_at_wall": datetime.now(UTC).isoformat(timespec="microseconds"),
            "bytes": size,
            "sha256": sha256,
            "code_commit": _header(scope, STAMP_HEADER),
        }
        return self._evaluate(row)

    def _evaluate(self, row: Mapping[str, Any]) -> tuple[HTTPStatus, str]:
        host, episode = row["host_id"], row["episode"]
        if not row["code_commit"]:
            _log.warning("rejected upload: missing %s host=%s, episode=%s", STAMP_HEADER, host, episode)
            return HTTPStatus.PRECONDITION_FAILED, f"missing {STAMP_HEADER}"
        if host in self.refuse:
            _log.warning("rejected upload: not a readable episode host=%s, episode=%s", host, episode)
            return HTTPStatus.UNPROCESSABLE_ENTITY, "not a readable episode"
        if host in self.fail:
            _log.error("upload failed: storage is unavailable host=%s, episode=%s", host, episode)
            return HTTPStatus.INTERNAL_SERVER_ERROR, "storage is unavailable"
        try:
            self._append(json.dumps(row).encode() + b"\n")
        except OSError as error:
            _log.error("upload failed: index not written: %s host=%s, episode=%s", error, host, episode)
            return HTTPStatus.INTERNAL_SERVER_ERROR, "the index cannot be written"
        return HTTPStatus.CREATED, row["sha256"]

    def _append(self, row: bytes) -> None:
        index = os.open(self.index, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(index, row)
            if written < len(row):
                # The disk is full, and a part of the row is written. No other process writes to the index, so the
                # part can be truncated.
                os.ftruncate(index, os.lseek(index, 0, os.SEEK_CUR) - written)
                raise OSError(f"{written} of {len(row)} bytes were written to {self.index}")
        finally:
            os.close(index)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _log_to_stderr()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _log_to_stderr() -> None:
    # uvicorn configures only its own loggers
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    _log.handlers = [handler]
    _log.propagate = False


async def _read_body(receive: Receive) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UploadBroken
        body = message.get("body", b"")
        size += len(body)
        sha256.update(body)
        if not message.get("more_body"):
            return size, sha256.hexdigest()


def _header(scope: Message, name: str) -> str:
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), "")


async def _answer(send: Send, status: HTTPStatus, text: str) -> None:
    body = text.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"PUT"))
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Receiver.from_environment(os.environ)
