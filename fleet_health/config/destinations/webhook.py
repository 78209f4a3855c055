"""The type `webhook`: each notification as a document to a URL."""

from __future__ import annotations

import json
from string import Template
from typing import TYPE_CHECKING, Any

from fleet_health.config.destinations.shared import (
    HTTP_KEYS,
    LOGIN_KEYS,
    DestinationType,
    chosen,
    http_problems,
    login_problems,
    secret_key,
    url_keys,
)
from fleet_health.config.destinations.values import header_value, headers
from fleet_health.config.key import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.shared import Problems


BODY_FIELDS = (
    "kind",
    "id",
    "key",
    "host",
    "symptom",
    "detail",
    "suggested_fix",
    "opened_wall",
    "notified_wall",
    "ended_wall",
    "subject",
    "text",
)
"""The fields of a notification that the body of a webhook can contain: the texts of its document."""

JSON_TYPE = "application/json"

_OWN_HEADERS = frozenset(
    ("authorization", "connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding")
) | {f"webhook-{name}" for name in ("id", "timestamp", "signature")}


def is_json(content_type: str) -> bool:
    """Return whether a content type is JSON."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == JSON_TYPE or essence.endswith("+json")


def _body_template(raw: Any) -> str:
    known = ", ".join(f"${name}" for name in BODY_FIELDS)
    template = Template(raw) if isinstance(raw, str) else Template("$")
    if not template.is_valid() or not {*template.get_identifiers()} <= {*BODY_FIELDS}:
        raise ValueError(f"a text that holds any of {known}, and $$ for a dollar sign")
    return template.template


def _problems(found: Mapping[str, Any]) -> Problems:
    yield from (*chosen(found, "url", "url_file"), *login_problems(found), *http_problems(found))
    if found["body"] is not None and is_json(found["content_type"]):
        try:
            json.loads(Template(found["body"]).substitute(dict.fromkeys(BODY_FIELDS, "x")))
        except ValueError:
            yield "body", f"JSON, which is what content_type {found['content_type']} promises", "something else"
    own = {name.lower() for name in found["headers"]} & _OWN_HEADERS
    for name in sorted(own):
        yield "headers", "other headers than those that are set by other keys or by the protocol", name


WEBHOOK = DestinationType(
    about="Sends each notification as a JSON document to a URL. A response of 2xx means that it is delivered; 410"
    " disables the destination; 429 and 503 may say with Retry-After when to try again.",
    keys={
        **url_keys("Where the document is sent."),
        "secret_file": secret_key(
            "The file that holds the signing secret: `whsec_` and base64. Each request is signed as Standard Webhooks"
            " specifies."
        ),
        **LOGIN_KEYS,
        "headers": Key(headers, {}, "Further headers. They must not be secret.", is_shown=False),
        "content_type": Key(header_value, JSON_TYPE, "The type of the body."),
        "body": Key(
            _body_template,
            None,
            "The body to send instead of the document. Each `$name` is replaced by that field, escaped as the content"
            " type requires: for JSON, inside a string.",
        ),
        **HTTP_KEYS,
    },
    problems=_problems,
)
