"""The receiver: a small real HTTP service that hosts upload episodes to, run by uvicorn.

Owns what a host is answered, and the rows of the index. Does not know that anybody watches it: its access lines are
uvicorn's own, its warnings go to stderr, and both reach the journal as those of any service do.

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

# What is neither visible ASCII nor a part of a path never reaches a log line or the index.
_UPLOAD_PATH = re.compile(r"/v1/episodes/(?P<host>[!-.0-~]+)/(?P<episode>[!-.0-~]+)")

_log = logging.getLogger("cis490.receiver")


class UploadBroken(Exception):  # noqa: N818 - the host's doing, not an error of ours
    """The host hung up before its upload was complete."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """The ASGI application.

    Attributes:
        index: Where a row is appended for every accepted upload. Opened anew for each, so that it may be rotated.
        refuse: Hosts whose uploads are answered 422, as if what they sent were wrong.
        fail: Hosts whose uploads are answered 500, as if the receiver were broken.

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
        """Serve one connection's request, or the start and the end of the service."""
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
            return HTTPStatus.NOT_FOUND, "no such place"
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
                # A disk that fills up takes a part of the row. The receiver is the index's only writer, so what
                # stands at its end is ours to take back.
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
    # uvicorn configures its own loggers and leaves the root alone
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
