"""The sentence for each log event of the service and of `check`, as people read it.

A template contains fields of the event, such as `{reason}`. These formats are our own:

    {count:line}        a number and its noun: `1 line`, `3 lines`
    {until:if , until } the text after `if` and then the value, or nothing if there is no value
    {symptom:or all}    the value, or the text after `or` if there is no value

The other fields of an event follow the sentence, or are fields of its journal entry.
"""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING, Any

from fleet_health.errors import printable
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SILENCE = 'Silence {id} of {hosts} ({symptom:or every symptom}), by {author} for "{reason}",'

SENTENCES: Mapping[str, str] = {
    # The service itself.
    "ready": "Ready: {sources}.",
    "stopping": "Stopping: writing the last alerts.",
    "service failed": "The service failed and exits: {error}.",
    "stopped with alerts not written": "The service stopped before all alerts were in the alert log: {reason}.",
    "evaluated": "Evaluated the fleet: {findings:finding}, {new_alerts:new alert}, {ended:incident} ended"
    "{not_evaluated:if ; not evaluated: }.",
    "limit does not fit rhythm of host": "{host} was silent {count:time} within a week and recovered by itself each"
    " time: its limit may not fit its rhythm. `fleet-health suggest` shows one that does.",
    "detector failed": "The detector for {symptom} failed; the others were evaluated: {error}.",
    "part not responding, watchdog no longer fed": "The watchdog is no longer fed, so systemd will restart the service:"
    " no response from {parts}.",
    "file descriptors running out": "File descriptors are running out: {open} of {limit} are open.",
    "control socket not available": "The control socket is not available: {socket}: {reason}.",
    "request failed": "A request on the control socket failed: {error}.",
    "listening read-only": "The read-only listener serves {address}.",
    "connection not accepted": "The read-only listener did not accept a connection: {reason}.",
    "passed socket not used": "The passed socket {fd} is not used: {reason}.",
    "incident dropped": "The notified incident {symptom} of {host} was dropped without a further notification, because"
    " the configuration no longer looks for it.",
    "published file not written": "The {what} cannot be written: {reason}.",
    "published file written again": "The {what} is written again, in {directory}.",
    # The configuration.
    "configuration reloaded": "The configuration was reloaded.",
    "configuration refused, previous one kept": "The configuration was refused, and the previous one stays in force:"
    " {file}: {problem}.",
    "pattern can be forged by a client": "{warning}. {remedy}",
    # Notifications.
    "notify ready": "Ready to notify {destinations:or nobody, because no destination is configured}.",
    "notify stopping": "Stopping: waiting for the last responses.",
    "daemon does not respond": "The service does not respond: {reason}.",
    "daemon responds again": "The service responds again.",
    "watch stopped": "The service has stopped evaluating: {detail}.",
    "watch goes on": "The service evaluates again, after {stopped_for_s} s.",
    "notifications queued": "Queued for {destination}: {notifications:notification}.",
    "notification not delivered": "Not delivered to {destination}, next attempt in {retry_in_s} s: {reason}.",
    "notification refused and dropped": "Dropped {notifications:notification}, refused by {destination}: {reason}.",
    "notifications dropped after waiting too long": "{notifications:notification} to {destination} dropped, after"
    " {waited} without success.",
    "destination gone, disabled until its configuration changes": "{destination} is disabled until its configuration"
    " changes: {reason}.",
    "destination reached again": "{destination} accepts notifications again.",
    "destination hangs": "{destination} has not responded for {seconds} s.",
    "ledger damaged, set aside and rebuilt": "The ledger {file} was damaged. It was renamed to `.damaged` and rebuilt"
    " from its readable part: {reason}.",
    "ledger lost, restored from its copy": "The ledger {file} was lost and restored from its copy.",
    "ledger not written, kept in memory": "The ledger {file} cannot be written: {reason}. Notifications are still"
    " sent, but if the process is killed, they are sent again.",
    "ledger written again": "The ledger {file} can be written again. Before: {was}.",
    # The sources.
    "source catching up": "The {source} is being read up to the present.",
    "source caught up": "The {source} was read up to the present: {read:line}{rejected:if , rejected: }.",
    "source not available": "The {source} is not available ({state}): {reason}.",
    "index changed": "The index {path} was {change}.",
    "rotated index not read": "A rotated file of the index was not read: {file}: {reason}.",
    "inotify not available, polling every 2 s": "inotify is not available, the index is polled every 2 s: {reason}.",
    "inotify instances used up (fs.inotify.max_user_instances), polling the journal": "All inotify instances are in use"
    " (fs.inotify.max_user_instances), the journal is polled.",
    "receiver not found in the journal": "The {source} has no entries from the receiver: {reason}.",
    "gap in the journal": "The journal has a gap from {since} to {until}: {reason}.",
    "gaps in the journal, symptoms not ruled out": "The journal does not show the whole window, so"
    " symptoms cannot be ruled out for this many hosts: {hosts}.",
    "journal not readable, only silent evaluated": "The {source} cannot be read, so only silent is evaluated:"
    " {reason}.",
    "lines rejected": "Rejected {count:line} of the {source} ({reason}). The latest: {latest}",
    # The clock.
    "clock set or machine suspended, sources re-read": "The clock was set, or the machine was suspended, by"
    " {seconds} s; the sources were read again.",
    "clock behind saved records, absence and resolutions not evaluated": "The clock is behind fleet-health's own"
    " records, so absence and resolutions are not evaluated: {reason}.",
    "clock behind saved records, absence not evaluated": "The clock is behind fleet-health's own records, so absence"
    " is not evaluated: {reason}.",
    "clock no longer behind saved records, sources re-read": "The clock is no longer behind fleet-health's own records;"
    " the sources were read again.",
    "state dated ahead of a confirmed clock, dated as of now": "The saved state was dated ahead of a confirmed"
    " clock, and now has the present date: {reason}.",
    # Alerts, and where they go.
    "alerts sent without evidence": "Alerts were sent without evidence: {error}.",
    "alerts sent without sample lines": "Alerts were sent without sample lines{reason:if : }{error:if : }.",
    "alert log not writable, alerts queued and sent to the journal": "The alert log cannot be written, so alerts are"
    " queued and sent to the journal: {reason}.",
    "alert log not writable, alerts sent to the journal only": "The alert log cannot be written, so alerts are sent to"
    " the journal only: {reason}.",
    "alert log writable again": "The alert log can be written again: {path}.",
    "alert queue full, dropped oldest batch": "The queue of alerts is full, so the oldest batch is missing from the"
    " alert log: {alerts}.",
    "alert log not readable, alerts of this hour unknown": "The alert log cannot be read, so alerts of this hour may be"
    " repeated: {reason}.",
    "rotated alert log skipped": "A rotated alert log was skipped: {file}: {reason}.",
    "lock of a dying service taken over": "The lock {lock} was taken over from process {process}, which was killed but"
    " has not exited yet.",
    "root cannot be dropped": "root cannot switch to the owner of the alert log's directory: {reason}.",
    "journald not available": "journald is not available, so alerts wait for it: {socket}: {reason}.",
    "journal queue full, alerts only in the alert log": "The queue for the journal is full, so {count:alert} will be"
    " missing from the journal.",
    "alert not sent to the journal": "An alert was not sent to the journal, and is only in the alert log: {reason}.",
    "recorded alerts sent that the journal lacked": "Sent {count:alert} from the alert log that the journal lacked.",
    "alert log and journal not compared": "The alert log and the journal were not compared: {reason}.",
    "alert log and journal not compared, alerts may be missing in the journal": "The alert log and the journal were not"
    " compared, so alerts may be missing in the journal: {reason}.",
    # The state.
    "state file not readable, started without saved incidents": "The state file cannot be read, so the service started"
    " without the saved incidents: {reason}.",
    "state file not writable, a restart may repeat alerts": "The state file cannot be written, so a restart may repeat"
    " alerts: {reason}.",
    "state file damaged, undamaged part restored": "The state file {file} is damaged ({count:problem}); a copy is kept"
    " as {copy}, and the undamaged part was restored: {problems}.",
    # Silences.
    "silences cannot be used": "Silences cannot be used: {reason}.",
    "silences resolved, their end not written": "All incidents that the silences {ids} acknowledge are resolved, but"
    " the silences cannot be ended: {reason}.",
    "silence made": f"{_SILENCE} was made, from {{since}} until {{until}}{{or_until:if , or until }}.",
    "silence begun": f"{_SILENCE} has begun, until {{until}}.",
    "silence changed in silences.json": f"{_SILENCE} was changed in silences.json, and ends at {{until}}.",
    "silence removed from silences.json": "Silence {id} was removed from silences.json{until:if , before its end at }.",
    "silence ended early": f"{_SILENCE} was ended early, by {{by}}.",
    "silence ended, incidents resolved": f"{_SILENCE} ended, because all incidents that it acknowledged are resolved.",
    "silence expired": f"{_SILENCE} expired.",
    "silence expired, incidents still open": f"{_SILENCE} expired, with {{count:incident}} still open: {{standing}}.",
    "silence expired, never matched an incident": f"{_SILENCE} expired without ever matching an incident.",
}
"""Event -> the template of its sentence."""

_NO_FIELDS = frozenset({"event", "level", "exception"})


def sentence(event: Mapping[str, Any]) -> str:
    """Return an event as a sentence on one printable line. Never raise.

    An event without a template is its own sentence. A missing field is shown as `unknown`.
    """
    name = str(event["event"])
    template = SENTENCES.get(name)
    if template is None:
        return printable(f"{name[:1].upper()}{name[1:]}{_error(event)}.")
    text = printable(_FORMATTER.vformat(template, (), event))
    # A reason may already end with a full stop.
    return text[:-1] if text.endswith(("..", "?.", "!.")) else text


def beside(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event that are not in its sentence, without a traceback."""
    template = SENTENCES.get(str(event["event"]))
    used = {"error"} if template is None else fields_in(template)
    return {name: value for name, value in event.items() if name not in used | _NO_FIELDS and value is not None}


def fields_in(template: str) -> set[str]:
    """Return the names of the fields in a template."""
    return {name for _, name, _, _ in _FORMATTER.parse(template) if name}


def in_words(value: Any) -> str:
    """Return a value as text for a sentence."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {in_words(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _error(event: Mapping[str, Any]) -> str:
    return f": {event['error']}" if event.get("error") else ""


class _InSentence(Formatter):
    """Formats a template."""

    def get_value(self, key: int | str, _args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get(str(key))

    def format_field(self, value: Any, format_spec: str) -> str:
        kind, _, text = format_spec.partition(" ")
        is_given = value not in (None, "", [], {}, ())
        if kind == "if":
            return text + in_words(value) if is_given else ""
        if not is_given:
            return text if kind == "or" else "unknown"
        if kind == "or" or not format_spec:
            return in_words(value)
        return plural(value, format_spec) if isinstance(value, int) else f"{in_words(value)} {format_spec}s"


_FORMATTER = _InSentence()
