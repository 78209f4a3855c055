"""Patterns for the access lines of known servers, and what keeps a line from matching a pattern.

Each pattern is a whole line, and takes a host from the path of the request alone: clients choose the rest. The examples
in another-receiver.md are these.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

from fleet_health.parsing.pattern_sample import literals_of, upload_words

# Where the method and the path of an upload stand in the templates.
_METHOD, _PATH = "@METHOD@", "@PATH@"
DEFAULT_WORDS = ("PUT", "/v1/episodes/")

# A path in which a client hides another one counts as a line that names no host.
_HOST = (
    rf'(?:https?://[^/\s"]*)?{_PATH}(?:(?!(?:[^\s?]*(?:/|%2[Ff]))?(?:\.|%2[Ee]){{1,2}}(?:[/?\s]|%2[Ff]))'
    r'(?P<host>[^/\s"?]*)/)?\S*'
)
_HOST_IN_JSON = (
    rf'"(?:https?://[^/\s"\\]*)?{_PATH}(?:(?!(?:[^"?]*(?:/|%2[Ff]))?(?:\.|%2[Ee]){{1,2}}(?:["/?]|%2[Ff]))'
    r'(?P<host>(?:[^/"\\?]|\\.)*)/)?(?:[^"\\]|\\.)*"'
)
_DATE, _DATE_ISO = r"\[\d\d/\w{3}/\d{4}:[\d:]{8} [+-]\d{4}\]", r"\[[\d-]{10} [\d:]{8} [+-]\d{4}\]"
_REQUEST = rf'"{_METHOD} {_HOST} HTTP/\d(?:\.\d)?"'
_STATUS = r"(?P<status>\d{3})"
# Any texts and what is between them, so that a key is never taken from within a text.
_ANYTHING = r'[^"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"]*)*'

_KEYS = {
    _METHOD: ("method", "request_method", "verb"),
    _PATH: ("uri", "path", "url", "request_uri", "request_path", "target"),
    _STATUS: ("status", "status_code", "response_code", "code"),
}
_UPLOADING = "PUT|POST|PATCH"
# A client's own text, such as its User-Agent, stands behind the request in every format but that of uvicorn.
_request = re.compile(rf'(?<!\w)(?P<method>{_UPLOADING}) (?:https?://[^/\s"]*)?(?P<path>/[^\s"?\x1b]*)').search
_json_method = re.compile(rf'"(?:{"|".join(_KEYS[_METHOD])})"\s*:\s*"({_UPLOADING})"').search
_json_path = re.compile(rf'"(?:{"|".join(_KEYS[_PATH])})"\s*:\s*"(?:https?://[^/\s"\\]*)?(/[^"?\\]*)').search
_COLOUR = "\x1b["
_BREAKS = "A client can put a line break into such a line, and so forge any line: log by a proxy, or in another format."


@dataclass(frozen=True, slots=True)
class KnownPattern:
    """A pattern that `journal.response` can be set to.

    Attributes:
        format: The server, and which of its formats.
        pattern: The regular expression.
        note: What is to be known of it; may be empty.

    """

    format: str
    pattern: str
    note: str = ""

    def of(self, method: str, path: str) -> KnownPattern:
        """Return it for uploads of another method and path."""
        texts = {_METHOD: _escaped(method), _PATH: _escaped(path)}
        pattern = self.pattern
        for mark, text in texts.items():
            pattern = pattern.replace(mark, text)
        return replace(self, pattern=pattern)


_TEMPLATES = (
    KnownPattern(
        "uvicorn",
        r"^(?:(?:INFO: {5}|INFO:uvicorn\.access:|"
        r"(?!(?:TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|\d{4}-\d\d-\d\d|\[)).* - )?"
        rf'"{_METHOD} {_PATH}(?P<host>[^/\s"?]*)/\S+ HTTP/\d(?:\.\d)?" {_STATUS}(?: [^"\d]*)?$',
    ),
    KnownPattern(
        "uvicorn, coloured",
        rf'^\x1b\[\d+mINFO\x1b\[0m: {{5}}.* - "\x1b\[1m{_METHOD} {_PATH}(?P<host>[^/\s"?]*)/\S+'
        rf' HTTP/\d(?:\.\d)?\x1b\[0m" \x1b\[\d+m{_STATUS}(?: [^"\d\x1b]*)?\x1b\[0m$',
        "Better switch the colours off, with `--no-use-colors`: then the default pattern reads the lines.",
    ),
    KnownPattern("gunicorn, the request alone", rf"^\S+ {_DATE} {_REQUEST} {_STATUS}$"),
    KnownPattern(
        "hypercorn",
        rf'^{_DATE_ISO} \[\d+\] \[INFO\] \S+ - - {_DATE} "{_METHOD} {_HOST} \d(?:\.\d)?" {_STATUS} (?:\d+|-) ".*"$',
        _BREAKS,
    ),
    KnownPattern("granian", rf"^(?:{_DATE_ISO} )?\S+ - {_REQUEST} {_STATUS} [\d.]+$", _BREAKS),
    KnownPattern(
        "nginx, Apache or gunicorn: combined",
        rf'^.*? {_DATE} {_REQUEST} {_STATUS} (?:\d+|-) ".*"$',
        "If this is gunicorn: a client can put a line break into the user name, so let it log the request alone.",
    ),
    KnownPattern(
        "nginx, the path as JSON", rf'^\{{"method":"{_METHOD}","uri":{_HOST_IN_JSON},"status":"{_STATUS}"\}}$'
    ),
    KnownPattern(
        "Caddy",
        rf'^\{{{_ANYTHING}"logger":"http\.log\.access[^"]*",{_ANYTHING}"method":"{_METHOD}",{_ANYTHING}'
        rf'"uri":{_HOST_IN_JSON}{_ANYTHING},"status":{_STATUS}(?:,{_ANYTHING})?\}}$',
    ),
)


def known_patterns(method: str, path: str) -> tuple[KnownPattern, ...]:
    """Return the pattern of each known format, for uploads of a method and of a path up to the host."""
    return tuple(one.of(method, path) for one in _TEMPLATES)


def suggested(line: str, words: tuple[str, ...]) -> KnownPattern | None:
    """Return a pattern that matches an upload line; None if it is of no format that is known.

    Args:
        line: The line.
        words: The method and the path of an upload, as `upload_words` gives them; of fewer the usual ones are taken.

    """
    method, path = words if len(words) == len(DEFAULT_WORDS) else DEFAULT_WORDS
    own = _of_flat_json(line)
    for one in (*known_patterns(method, path), *([own.of(method, path)] if own is not None else [])):
        found = re.search(one.pattern, line)
        if found is not None and found["host"]:
            return one
    return None


def upload_request(line: str) -> tuple[str, str] | None:
    """Return the method and the path of an upload that a line may be about, in whatever format; None if there is none.

    It is a hint where to look: a client can write such text. Whether a pattern matches is another question.
    """
    if (found := _request(line)) is not None:
        return found["method"], found["path"]
    method, path = _json_method(line), _json_path(line)
    return None if method is None or path is None else (method[1], path[1])


def _of_flat_json(line: str) -> KnownPattern | None:
    """Make a template for a line that is a JSON object of plain values; None if it is none, or lacks a key.

    Where objects lie within, a client may choose their keys, such as names of headers.
    """
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or any(isinstance(value, dict | list) for value in row.values()):
        return None
    values = {_METHOD: f'"{_METHOD}"', _PATH: _HOST_IN_JSON}
    parts: dict[int, str] = {}
    for mark, keys in _KEYS.items():
        key = next((key for key in keys if key in row), None)
        if key is None:
            return None
        value = values.get(mark) or (_STATUS if isinstance(row[key], int) else f'"{_STATUS}"')
        parts[list(row).index(key)] = rf'"{key}"\s*:\s*{value}'
    between = rf"\s*,{_ANYTHING}"
    body = between.join(parts[place] for place in sorted(parts))
    return KnownPattern("JSON", rf"^\{{(?:{_ANYTHING},)?\s*{body}\s*(?:,{_ANYTHING})?\}}$")


def reason_against(line: str, response: re.Pattern[str]) -> str:
    """Return the nearest reason why a line does not match a pattern, in a few words."""
    if _COLOUR in line and _COLOUR not in response.pattern:
        return "it is coloured: it holds ANSI escape sequences"
    words = upload_words(response)
    if len(words) == len(DEFAULT_WORDS) and (known := suggested(line, words)) is not None:
        return f"it is of another format: {known.format}"
    place, before = 0, ""
    for text in literals_of(response):
        found = line.find(text, place)
        if found < 0:
            where = f" behind `{before}`" if before else ""
            return f"the pattern asks for `{text}`{where}"
        place, before = found + len(text), text
    return "it holds the texts that the pattern asks for, and something else in, before or behind them"


def _escaped(text: str) -> str:
    return re.sub(r"([][\\.^$*+?{}()|#])", r"\\\1", text)
