"""The explanation of a host in words, for the command and the page. Pure. Times are in ISO 8601 in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.model.subject import is_host, receiver_of
from fleet_health.model.words import short_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def subject_name(subject: str) -> str:
    """Return the name of a host, or the words for the receiver or the fleet."""
    if is_host(subject):
        return subject
    receiver = receiver_of(subject)
    return f"the receiver {receiver}" if receiver else "the fleet as a whole"


def facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the known facts about a host, each with its label."""
    evidence, upload = document["evidence"], document["last_upload_wall"]
    if document.get("receiver"):
        yield "receiver", document["receiver"]
    age = f", {short_duration(document['last_upload_age_s'])} ago" if upload else ""
    yield "last row in the index", f"{upload or 'none known'}{age}"
    yield "last accepted upload", evidence.get("last_good_wall", "none known")
    yield "first refusal after that", evidence.get("first_bad_wall", "none")
    responses = ", ".join(f"{count} x {status}" for status, count in evidence.get("responses", {}).items())
    yield "known responses", responses or "none"
    limit = document.get("silent_limit")
    if limit and limit["source"] != "fixed":
        yield "silent after", limit["words"]
    if document["counted_since_wall"]:
        yield "not evaluated", f"responses up to {document['counted_since_wall']}, which were dropped"
    if document["counted_in_steps_of_s"]:
        step = short_duration(document["counted_in_steps_of_s"])
        yield "counted in steps of", f"{step}, because there are so many"
    if evidence.get("reason"):
        yield "refused mostly because", evidence["reason"]


def standing(verdict: Mapping[str, Any]) -> str:
    """Return the verdict on a symptom in a few words."""
    incident = verdict["incident"]
    if verdict["is_hidden"]:
        return "cannot be ruled out, the journal does not show the whole window"
    if incident is not None:
        return f"{incident['state']} for {short_duration(incident['lasting_s'])}"
    if verdict["is_found"]:
        return "found"
    return "holds now, not found yet" if verdict["holds_now"] and verdict["is_evaluated"] else "not found"


def remarks(verdict: Mapping[str, Any]) -> Iterator[str]:
    """Return sentences about a symptom, without its figures."""
    if verdict["no_input"]:
        yield f"the rule for lines about a missing stamp is {verdict['no_input']}"
    if verdict["why"]:
        yield verdict["why"]
    if verdict["would_fire_wall"]:
        yield f"it would be found at {verdict['would_fire_wall']} if no upload is accepted before"
    if verdict["next_alert_wall"]:
        yield f"notified next at {verdict['next_alert_wall']}, if it lasts"


def between_ticks(verdict: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return a sentence about the present verdict if it differs from that of the last evaluation; else empty."""
    last, following = document["last_tick_wall"], document["next_tick_wall"]
    if verdict["holds_now"] == verdict["is_found"] or not last or not following:
        return ""
    now, then = ("holds", "did not find") if verdict["holds_now"] else ("does not hold", "found")
    return f"it {now} now; the last evaluation, at {last}, {then} it; the next one is at {following}"
