"""Patterns for the access lines of known servers, and the reason why a line does not match a pattern.

Each pattern matches a whole line, and takes the host only from the path of the request, because clients choose the
rest. They are the examples in another-receiver.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

from fleet_health.parsing.pattern_sample import literals_of, upload_words

# The placeholders for the method and the path of an upload in the templates.
_METHOD, _PATH = "@METHOD@", "@PATH@"
DEFAULT_WORDS = ("PUT", "/v1/episodes/")

# A path in which a client hides another one is treated as a line without a host.
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
# Any sequence of strings and other text, so that a key is never matched within a string.
_ANYTHING = r'[^"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"]*)*'

_KEYS = {
    _METHOD: ("method", "request_method", "verb"),
    _PATH: ("uri", "path", "url", "request_uri", "request_path", "target"),
    _STATUS: ("status", "status_code", "response_code", "code"),
}
_UPLOADING = "PUT|POST|PATCH"
# In every format but that of uvicorn, text from clients, such as the User-Agent, follows the request.
_request = re.compile(rf'(?<!\w)(?P<method>{_UPLOADING}) (?:https?://[^/\s"]*)?(?P<path>/[^\s"?\x1b]*)').search
_json_method = re.compile(rf'"(?:{"|".join(_KEYS[_METHOD])})"\s*:\s*"({_UPLOADING})"').search
_json_path = re.compile(rf'"(?:{"|".join(_KEYS[_PATH])})"\s*:\s*"(?:https?://[^/\s"\\]*)?(/[^"?\\]*)').search
_COLOUR = "\x1b["
_BREAKS = "A client can put a line break into such a line, and so forge any line. Log in another format, or in a proxy."


@dataclass(frozen=True, slots=True)
class KnownPattern:
    """A pattern for `journal.response`.

    Attributes:
        format: The server, and the name of the format.
        pattern: The regular expression.
        note: A remark for operators; may be empty.

    """

    format: str
    pattern: str
    note: str = ""

    def of(self, method: str, path: str) -> KnownPattern:
        """Return the pattern for uploads with a method and a path before the host."""
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
        "Better switch the colours off with `--no-use-colors`; the default pattern then matches the lines.",
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
        "With gunicorn, a client can put a line break into the user name, so log the request alone.",
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
    """Return the pattern of each known format, for uploads with a method and a path before the host."""
    return tuple(one.of(method, path) for one in _TEMPLATES)


def suggested(line: str, words: tuple[str, ...]) -> KnownPattern | None:
    """Return a pattern that matches an upload line; None if its format is unknown.

    Args:
        line: The line.
        words: The method and the path of an upload, as `upload_words` returns them. Missing ones are replaced by usual
            ones.

    """
    method, path = words if len(words) == len(DEFAULT_WORDS) else DEFAULT_WORDS
    own = _of_flat_json(line)
    for one in (*known_patterns(method, path), *([own.of(method, path)] if own is not None else [])):
        found = re.search(one.pattern, line)
        if found is not None and found["host"]:
            return one
    return None


def upload_request(line: str) -> tuple[str, str] | None:
    """Return the method and path of an upload that a line in any format may be about; None if there is none.

    This is only a hint, because clients can write such text.
    """
    if (found := _request(line)) is not None:
        return found["method"], found["path"]
    method, path = _json_method(line), _json_path(line)
    return None if method is None or path is None else (method[1], path[1])


def _of_flat_json(line: str) -> KnownPattern | None:
    """Return a template for a line that is a flat JSON object; None for other lines, or if a key is missing.

    The object must be flat, because clients may choose the keys of nested objects, such as names of headers.
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
    """Return the most likely reason why a line does not match a pattern, in a few words."""
    if _COLOUR in line and _COLOUR not in response.pattern:
        return "it is coloured: it contains ANSI escape sequences"
    words = upload_words(response)
    if len(words) == len(DEFAULT_WORDS) and (known := suggested(line, words)) is not None:
        return f"it is of another format: {known.format}"
    place, before = 0, ""
    for text in literals_of(response):
        found = line.find(text, place)
        if found < 0:
            where = f" after `{before}`" if before else ""
            return f"the pattern requires `{text}`{where}"
        place, before = found + len(text), text
    return "it contains the texts that the pattern requires, and other text in, before or after them"


def _escaped(text: str) -> str:
    return re.sub(r"([][\\.^$*+?{}()|#])", r"\\\1", text)
