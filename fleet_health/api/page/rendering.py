"""Render documents as HTML, by Jinja with everything escaped, and the filters of the templates.

It is imported in a thread for the first page, to save memory in a service without viewers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from fleet_health.api import explanation_words
from fleet_health.api.page import drawing, view
from fleet_health.errors import printable
from fleet_health.model.subject import is_host
from fleet_health.model.words import plural, short_duration
from fleet_health.parsing.local_time import local_wall, localized

if TYPE_CHECKING:
    from collections.abc import Mapping

REFRESH_S = 60
"""The number of seconds after which a browser without JavaScript reloads a page."""


def _plain(text: str) -> str:
    """Return a text with local times, and with misleading characters escaped."""
    return localized(printable(text))


def _prose(text: str) -> Markup:
    """Return a sentence as HTML, with the parts between backticks as code."""
    parts = _plain(text).split("`")
    if len(parts) % 2 == 0:  # a backtick is unpaired
        return escape(_plain(text))
    return Markup().join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _time(wall: str, now: str | None = None) -> Markup:
    """Return a time as HTML: the time of day if it is on the same day as `now`, else date and time."""
    there, today = local_wall(wall), "" if now is None else local_wall(now)[:10]
    day, clock = there[:10], there[11:]
    words = there if now is None else clock[:8] if day == today else f"{day} {clock[:5]}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(wall, there, words)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": _plain,
        "prose": _prose,
        "visible": printable,
        "time": _time,
        "span": short_duration,
        "strip": drawing.strip,
    }
    environment.globals |= {
        "plural": plural,
        "is_host": is_host,
        "view": view,
        "words": explanation_words,
        "refresh_s": REFRESH_S,
    }
    return environment


_ENVIRONMENT = _environment()


def _page(template: str, document: Mapping[str, Any], root: str = "./", **more: Any) -> bytes:
    text = _ENVIRONMENT.get_template(template).render(
        **{"document": document, "root": root, "place": view.SERVED, "is_file": False, **more}
    )
    return text.encode("utf-8", "backslashreplace")


def overview(document: Mapping[str, Any], wanted: view.Filter, **more: Any) -> bytes:
    """Render the overview.

    Args:
        document: The document `status`, with `health`, `open` and `open_matching`.
        wanted: The filter of the list of hosts.
        more: Variables of the template that have other values for a file.

    """
    return _page("overview.html", document, headline=view.headline(document), wanted=wanted, **more)


def silences(document: Mapping[str, Any], **more: Any) -> bytes:
    """Render the page with the silences from the document of the overview."""
    return _page("silences.html", document, headline=view.headline(document), **more)


def wall(document: Mapping[str, Any], **more: Any) -> bytes:
    """Render the page for a wall screen from the document of the overview."""
    return _page("wall.html", document, headline=view.headline(document), wanted=view.Filter(), **more)


def badge(document: Mapping[str, Any]) -> bytes:
    """Draw the badge from the document of the overview."""
    return drawing.badge(view.headline(document).mood, view.badge_words(document)).encode()


def files(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Return file name -> content of the pages for a web server, without forms and links to hosts."""
    more = {"place": view.IN_FILES, "is_file": True}
    return {
        "index.html": overview(document, view.Filter(), **more),
        "silences.html": silences(document, **more),
        "wall.html": wall(document, **more),
        "badge.svg": badge(document),
        **{f"{view.IN_FILES.icons}{mood}.svg": drawing.favicon(mood).encode() for mood in drawing.MOODS},
    }


def host(document: Mapping[str, Any]) -> bytes:
    """Render the page about a host from the document `explain` with `open` and `ended`."""
    bars = view.bars(document)
    return _page(
        "host.html",
        document,
        "../",
        mood=view.MOODS_OF_HOSTS[view.TONES.get(document["state"], "calm")],
        bars=bars,
        timeline=view.timeline_of(document, bars),
    )


def problem(detail: str, status: int, title: str, root: str) -> bytes:
    """Render a page with an error."""
    template = _ENVIRONMENT.get_template("problem.html")
    text = template.render(
        detail=detail, status=status, title=title, root=root, mood="blind", place=view.SERVED, is_file=False
    )
    return text.encode("utf-8", "backslashreplace")
