"""Make texts that a regular expression matches from the expression itself, as a client would to match it."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Any

# The characters that are tried in this order if an expression leaves a choice.
_CANDIDATES = "v1 /:-._a0\"'=,?[]{}()"
_ALTERNATIVES = 3
_DEEPEST = 50
_method = re.compile(r"\b(?:PUT|POST|PATCH)\b")
_path = re.compile(r"(?:^|[\s\"'])(/\w[^\s\"']*)")


def samples(pattern: re.Pattern[str], groups: dict[str, str]) -> list[str]:
    """Return texts that the pattern matches with the given texts in its named groups; empty if none could be made."""
    made = []
    for choice in range(_ALTERNATIVES):
        text = _Writer(pattern, groups, choice).write()
        found = pattern.search(text) if text is not None else None
        if text and found and all(found[name] == value for name, value in groups.items()) and text not in made:
            made.append(text)
    return made


@lru_cache(maxsize=4)
def upload_words(response: re.Pattern[str]) -> tuple[str, ...]:
    """Return the texts that a pattern requires of each upload line, in any format: the method and the path.

    Empty if the pattern requires no path.
    """
    runs = literals_of(response)
    paths = [found[1] for run in runs if (found := _path.search(run))]
    methods = [found[0] for run in runs if (found := _method.search(run))]
    return (*methods[:1], paths[0]) if paths else ()


def literals_of(pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Return the texts that each match must contain, in order; empty if they cannot be determined."""
    try:
        parser: Any = importlib.import_module("re._parser")
        runs = [""]
        _collect_literals(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE), runs, 0)
    except (ImportError, AttributeError, TypeError, ValueError, LookupError, RecursionError, re.error):
        return ()
    return tuple(run for run in runs if run)


def _collect_literals(items: Any, runs: list[str], depth: int) -> None:
    """Append the texts that each match contains, in order, with a new one wherever other text may be in between."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    for kind, value in items:
        match str(kind):
            case "LITERAL":
                runs[-1] += chr(value)
            case "SUBPATTERN":
                _collect_literals(value[-1], runs, depth + 1)
            case "MAX_REPEAT" | "MIN_REPEAT" if value[0]:
                runs.append("")
                _collect_literals(value[-1], runs, depth + 1)
                runs.append("")
            case "AT":
                pass
            case _:
                runs.append("")


class _Writer:
    """Makes one text. `choice` is the number of the alternative to use if there are several."""

    def __init__(self, pattern: re.Pattern[str], groups: dict[str, str], choice: int) -> None:
        self._pattern = pattern
        self._fixed = {pattern.groupindex[name]: text for name, text in groups.items()}
        self._written: dict[int, str] = {}
        self._choice = choice

    def write(self) -> str | None:
        try:
            # The parser of `re` has no public name. Without it there are no samples, and only the known lines are
            # tried.
            parser: Any = importlib.import_module("re._parser")
            return self._sequence(parser.parse(self._pattern.pattern, self._pattern.flags & ~re.UNICODE), 0)
        except (ImportError, AttributeError, TypeError, ValueError, LookupError, RecursionError, re.error):
            return None

    def _sequence(self, items: Any, depth: int) -> str:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        return "".join(self._item(str(kind), value, depth + 1) for kind, value in items)

    def _item(self, kind: str, value: Any, depth: int) -> str:  # noqa: PLR0911 - one line for each kind
        match kind:
            case "LITERAL":
                return chr(value)
            case "NOT_LITERAL":
                return next(sign for sign in _CANDIDATES if ord(sign) != value)
            case "ANY":
                return "x"
            case "IN":
                return next((sign for sign in _CANDIDATES if _is_in(sign, value)), None) or _first(value)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, _, repeated = value
                return self._sequence(repeated, depth) * int(least)
            case "BRANCH":
                alternatives = value[1]
                return self._sequence(alternatives[min(self._choice, len(alternatives) - 1)], depth)
            case "SUBPATTERN":
                group, items = value[0], value[-1]
                text = self._fixed.get(group) or self._sequence(items, depth)
                self._written[group] = text
                return text
            case "ATOMIC_GROUP":
                return self._sequence(value, depth)
            case "GROUPREF":
                return str(self._written.get(value, ""))
            case _:  # positions and assertions match no characters; trying the text shows whether they hold
                return ""


def _is_in(sign: str, items: Any) -> bool:
    is_negated, is_found = False, False
    for kind, value in items:
        match str(kind):
            case "NEGATE":
                is_negated = True
            case "LITERAL":
                is_found |= ord(sign) == value
            case "RANGE":
                is_found |= value[0] <= ord(sign) <= value[1]
            case "CATEGORY":
                is_found |= _is_of_category(sign, str(value))
    return is_found != is_negated


def _is_of_category(sign: str, category: str) -> bool:
    name = category.removeprefix("CATEGORY_")
    is_of = {
        "DIGIT": sign.isdigit(),
        "SPACE": sign.isspace(),
        "WORD": sign.isalnum() or sign == "_",
    }[name.removeprefix("NOT_")]
    return is_of != name.startswith("NOT_")


def _first(items: Any) -> str:
    """Return the first character in a class."""
    for kind, value in items:
        if str(kind) == "LITERAL":
            return chr(value)
        if str(kind) == "RANGE":
            return chr(value[0])
    raise ValueError("a class without a single character")
