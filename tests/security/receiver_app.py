"""A receiver that accepts what ends in `accepted` and refuses the rest, for the servers of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping


async def asgi(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Serve for uvicorn, hypercorn and granian."""
    while scope["type"] == "lifespan":
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
    status = 201 if scope["path"].endswith("accepted") else 412
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def wsgi(environ: Mapping[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Serve for gunicorn."""
    is_accepted = environ["PATH_INFO"].endswith("accepted")
    start_response("201 Created" if is_accepted else "412 Precondition Failed", [("Content-Length", "0")])
    return [b""]
