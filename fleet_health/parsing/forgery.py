"""Try whether text from a client can match the patterns of a receiver for another host.

For each known access format, a request of one host is logged with text about another host in each field that a client
chooses. If the parser then counts the line for the other host, the patterns can be forged: any client could end or
cause alerts of other hosts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fleet_health.model.observation import Response
from fleet_health.parsing.access_formats import FIELD_NAMES, FORMATS, AccessFormat, Request
from fleet_health.parsing.pattern_sample import samples
from fleet_health.parsing.receiver_log import LogParser

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

STRANGER, VICTIM = "stranger", "victim"
_OWN_REQUESTS = (Request(f"/v1/episodes/{STRANGER}/e1"), Request("/", method="GET", status=404))
_SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Forgery:
    """A line that a client can cause and that is counted for another host.

    Attributes:
        pattern: The key of the pattern that it matches.
        format: The name of the access format of the line.
        field: The field of the request that contained the text.
        line: The line.
        counted: The host for which it is counted.

    """

    pattern: str
    format: str
    field: str
    line: str
    counted: str


def forgeries(
    response: re.Pattern[str], unstamped_marker: str | None, unstamped_host: re.Pattern[str] | None
) -> list[Forgery]:
    """Return one forgery for each pattern, format and field for which there is one."""
    parser = LogParser(response, unstamped_marker, unstamped_host)
    texts = list(dict.fromkeys(_texts(response, unstamped_marker, unstamped_host)))
    found: dict[tuple[str, str, str], Forgery] = {}
    for form in _formats_in_use(parser):
        for field in form.fields:
            for own in _OWN_REQUESTS:
                for text in texts:
                    placed: dict[str, Any] = {field: _placed(field, own, text, form)}
                    request = replace(own, **placed)
                    for forgery in _counted(parser, form, field, request):
                        found.setdefault((forgery.pattern, forgery.format, forgery.field), forgery)
    return list(found.values())


def _formats_in_use(parser: LogParser) -> list[AccessFormat]:
    """Return the formats in which the parser finds an honest request; if none, all without line breaks.

    Some servers let clients put a line break into their lines, and so add any line. This matters only if the patterns
    match lines of such a server.
    """
    in_use = [form for form in FORMATS if parser.parse(_written(form, _OWN_REQUESTS[0]), 0)[0]]
    return in_use or [form for form in FORMATS if not form.breaks_lines]


def _texts(
    response: re.Pattern[str], unstamped_marker: str | None, unstamped_host: re.Pattern[str] | None
) -> Iterator[str]:
    """Yield texts that a client could send: lines about another host, and beginnings that the log completes."""
    whole = [form.write(Request(f"/v1/episodes/{VICTIM}/e1", status=201)) for form in FORMATS]
    whole = [line for line in whole if response.search(line)]
    whole += samples(response, {"host": VICTIM, "status": "201"}) + samples(response, {"host": VICTIM})
    for line in whole:
        yield from (line, f" {line} ", f"x, {line} - ", f'" {line} "')
        found = response.search(line)
        begin = found.end("host") if found else len(line)
        yield from (line[:end] for end in range(max(begin, _SHORTEST_PREFIX), len(line)))
    if unstamped_marker is None or unstamped_host is None:
        return
    warnings = [
        f"WARNING: {unstamped_marker} host={VICTIM}, refused",
        f"WARNING receiver: rejected upload: {unstamped_marker} host={VICTIM}, episode=e1",
        f"{unstamped_marker} host={VICTIM} ",
    ]
    warnings += samples(unstamped_host, {"host": VICTIM})
    for line in warnings:
        marked = line if unstamped_marker.casefold() in line.casefold() else f"{unstamped_marker} {line}"
        yield from (marked, f" {marked} ", f'" {marked} "', marked.replace(",", ""))


def _placed(field: str, own: Request, text: str, form: AccessFormat) -> str:
    if field == "user" and form.breaks_lines:
        return f"x\n{text.replace(':', '')}"
    if field != "path":
        return text
    breaks = ("\n%s\n",) if form.breaks_lines else ("%s",)
    return own.path.rstrip("/") + "/" + "".join(quote(one % text, safe='"=,:()[]') for one in breaks)


def _counted(parser: LogParser, form: AccessFormat, field: str, request: Request) -> Iterator[Forgery]:
    message = _written(form, request)
    for one in parser.parse(message, 0)[0]:
        if one.host != STRANGER:
            key = "journal.response" if isinstance(one, Response) else "journal.unstamped"
            yield Forgery(key, form.name, FIELD_NAMES[field], message.decode("utf-8", "replace"), one.host)


def _written(form: AccessFormat, request: Request) -> bytes:
    return form.write(request).encode("utf-8", "surrogateescape")
