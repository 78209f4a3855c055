"""From documents to HTML: Jinja with everything escaped, and the few filters that the templates share.

It is imported with the first page that is asked for, in a thread: a service that nobody looks at does without it.
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
"""How often a page is loaded again by a browser without JavaScript."""


def _plain(text: str) -> str:
    """Return a text as a person reads it, with nothing in it that misleads the eye."""
    return localized(printable(text))


def _prose(text: str) -> Markup:
    """Return a sentence whose commands stand between backticks."""
    parts = _plain(text).split("`")
    if len(parts) % 2 == 0:  # one of them has no counterpart
        return escape(_plain(text))
    return Markup().join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _time(wall: str, now: str | None = None) -> Markup:
    """Return a time; of one of the day of `now` the time of day."""
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
        wanted: Which hosts are asked for.
        more: What is different of a file.

    """
    return _page("overview.html", document, headline=view.headline(document), wanted=wanted, **more)


def silences(document: Mapping[str, Any], **more: Any) -> bytes:
    """Render the silences, of the document of the overview."""
    return _page("silences.html", document, headline=view.headline(document), **more)


def wall(document: Mapping[str, Any], **more: Any) -> bytes:
    """Render the view for a wall screen, of the document of the overview."""
    return _page("wall.html", document, headline=view.headline(document), wanted=view.Filter(), **more)


def badge(document: Mapping[str, Any]) -> bytes:
    """Draw the badge, of the document of the overview."""
    return drawing.badge(view.headline(document).mood, view.badge_words(document)).encode()


def files(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Render the pages that show the whole fleet for a web server: no form and no host's link leads anywhere there."""
    more = {"place": view.IN_FILES, "is_file": True}
    return {
        "index.html": overview(document, view.Filter(), **more),
        "silences.html": silences(document, **more),
        "wall.html": wall(document, **more),
        "badge.svg": badge(document),
        **{f"{view.IN_FILES.icons}{mood}.svg": drawing.favicon(mood).encode() for mood in drawing.MOODS},
    }


def host(document: Mapping[str, Any]) -> bytes:
    """Render the page of a host, of the document `explain` with `open` and `ended`."""
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
    """Render why something cannot be shown."""
    template = _ENVIRONMENT.get_template("problem.html")
    text = template.render(
        detail=detail, status=status, title=title, root=root, mood="blind", place=view.SERVED, is_file=False
    )
    return text.encode("utf-8", "backslashreplace")
