"""The type `ntfy`: notifications on phones and desktops."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fleet_health.alerting import flapping
from fleet_health.config.destinations.shared import (
    HTTP_KEYS,
    LOGIN_KEYS,
    SYMPTOMS,
    WATCH_STOPPED,
    DestinationType,
    chosen,
    http_problems,
    login_problems,
    secret_key,
)
from fleet_health.config.destinations.values import url
from fleet_health.config.key import Key
from fleet_health.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.shared import Problems


_is_topic = re.compile(r"[-_A-Za-z0-9]{1,64}", re.ASCII).fullmatch

NTFY_PRIORITIES = {spec.symptom: spec.urgency for spec in DETECTORS} | {flapping.SYMPTOM: 3, WATCH_STOPPED: 5}
"""Symptom -> default priority on a phone, from 1 to 5; from 4 on with sound."""


def topic_name(raw: Any) -> str:
    """Read the name of a topic, as ntfy allows it."""
    if not isinstance(raw, str) or not _is_topic(raw):
        raise ValueError("the name of a topic: 1 to 64 of A-Z, a-z, 0-9, - and _")
    return raw


def _priorities(raw: Any) -> dict[str, int]:
    if not isinstance(raw, dict) or not all(
        symptom in SYMPTOMS and isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5  # noqa: PLR2004 - ntfy's own
        for symptom, value in raw.items()
    ):
        raise ValueError("a table of symptoms with a priority from 1 to 5 each, such as { silent = 5 }")
    return NTFY_PRIORITIES | raw


def _problems(found: Mapping[str, Any]) -> Problems:
    yield from chosen(found, "topic", "topic_file")
    yield from login_problems(found)
    yield from http_problems(found)


NTFY = DestinationType(
    about="Shows notifications on phones and desktops, through ntfy.sh or your own server. Everything about an"
    " incident is one notification there, which is updated; that needs ntfy 2.16 or later.",
    keys={
        "server": Key(url, "https://ntfy.sh", "The server.", is_shown=False),
        "topic": Key(
            topic_name,
            None,
            "The topic. On ntfy.sh, anyone who knows a topic can read it: choose a long one that cannot be guessed,"
            " and put it in `topic_file`.",
            is_shown=False,
        ),
        "topic_file": secret_key("The file that holds the topic."),
        "priorities": Key(
            _priorities,
            NTFY_PRIORITIES,
            "How urgent each symptom is, from 1 to 5. The others keep their default. A repeat is one lower, a"
            " resolution is 2.",
        ),
        "page_url": Key(
            url,
            None,
            "The URL at which people reach the page of this fleet-health. A tap on a notification opens it.",
            is_shown=False,
        ),
        **LOGIN_KEYS,
        **HTTP_KEYS,
    },
    problems=_problems,
)
