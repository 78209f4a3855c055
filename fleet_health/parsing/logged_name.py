r"""Convert between the name of a host and its encodings in log lines.

A host has one name, but logs encode it in several ways. The path and the query of a request are percent-encoded, and
servers log them so: uvicorn writes `b%C3%BCro` for `büro`, and `aa%3Abb` for `aa:bb`. JSON escapes characters
(`\u00fc`), nginx and Apache escape bytes (`\xC3\xBC`). Each encoding is decoded exactly once: a request for `%2576` is
an upload of `%76`, not of `v`.

A receiver may also write the encoded name from the path of a request to its index and its own messages. Such a name is
decoded too, if it can only be the encoding of another name.

`pattern_for` is the reverse: a pattern that finds a name in any of these encodings.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING
from unicodedata import normalize
from urllib.parse import unquote, unquote_plus

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

# The text before a name in the same word, which begins after a blank or a quote.
_lead = re.compile(r"""[^\s"']*\Z""").search
_escaped_octets = re.compile(r"(?:\\x[0-9A-Fa-f]{2})+")
_REPLACEMENT = "\ufffd"
_SHORT_ESCAPES = {'"': r"\"", "\\": r"\\", "/": r"\/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_UNRESERVED = frozenset("-._~")
# Characters that a path may contain unencoded (RFC 3986), and encoded octets of other characters.
_is_path_segment = re.compile(
    r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%(?!2[5DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])[0-9A-Fa-f]{2})+",
    re.ASCII,
).fullmatch


def logged_name(line: str, begin: int, end: int) -> str:
    """Return the name between two offsets of a log line, without the encodings of the log and the URL.

    Percent-encoding is decoded only in a URL, where a path or a query precedes the name in the same word. So
    `host=50%25` in a message of an application is left unchanged. As in receivers, octets that are not UTF-8 become
    U+FFFD.
    """
    name = line[begin:end]
    if "%" not in name and "\\" not in name and "+" not in name:
        return name
    found = _lead(line, 0, begin)
    lead = found[0] if found else ""
    is_query = "?" in lead or "&" in lead or line.startswith("&", end)
    is_url = is_query or "/" in lead
    if "\\" in name:
        if line.lstrip().startswith("{"):
            with suppress(msgspec.DecodeError, UnicodeEncodeError):
                name = msgspec.json.decode(f'"{name}"', type=str)
        elif is_url:
            name = _escaped_octets.sub(_decoded, name)
    if not is_url:
        return kept_name(name)
    return unquote_plus(name) if is_query else unquote(name)


def kept_name(name: str) -> str:
    """Return a name from the index or a message of a receiver, without the encoding of a URL.

    A name is decoded only if it can only be the encoding of another name: each encoded octet must require encoding in a
    path, and the octets must be UTF-8. So `b%C3%BCro` is `büro`, but `%76` is not `v`. An encoded `%` is left unchanged
    too, because `50%25` may be the name of the host.
    """
    if "%" not in name or not _is_path_segment(name):
        return name
    undone = unquote(name, errors="replace")
    return name if _REPLACEMENT in undone else undone


def _decoded(octets: re.Match[str]) -> str:
    return bytes.fromhex(octets[0].replace("\\x", "")).decode("utf-8", "replace")


def pattern_for(name: str) -> str:
    r"""Return a PCRE, in printable ASCII, that finds a name in any encoding, in NFC or NFD.

    It matches octets, as `journalctl --grep` does: non-ASCII characters are written as `\xc3\xbc`.
    """
    forms = dict.fromkeys((name, normalize("NFD", name)))
    patterns = ["".join(map(_any_way, form)) for form in forms]
    return patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"


def _any_way(character: str) -> str:
    if character.isascii() and (character.isalnum() or character in _UNRESERVED):
        return character if character.isalnum() or character in "-_" else f"[{character}]"
    return f"(?:{'|'.join(_ways(character))})"


def _ways(character: str) -> Iterator[str]:
    """Yield each form in which a log may write a character that a URL encodes."""
    if character == _REPLACEMENT:
        yield from (r"(?:%[89A-Fa-f][0-9A-Fa-f])+", r"(?:\\x[89A-Fa-f][0-9A-Fa-f])+", r"[\x80-\xff]+")
        return
    is_octet = "\udc80" <= character <= "\udcff"  # not UTF-8 in the line
    octets = [f"{octet:02x}" for octet in character.encode("utf-8", "surrogateescape" if is_octet else "surrogatepass")]
    yield "".join(f"\\x{octet}" for octet in octets)
    for mark in ("%", r"\\x"):
        yield "".join(mark + _any_case(octet) for octet in octets)
    if not is_octet:
        units = character.encode("utf-16-be", "surrogatepass").hex()
        yield "".join(rf"\\u{_any_case(units[at : at + 4])}" for at in range(0, len(units), 4))
    if character == " ":
        yield r"\+"
    elif character in _SHORT_ESCAPES:
        yield r"\\" + _SHORT_ESCAPES[character]


def _any_case(digits: str) -> str:
    return "".join(digit if digit.isdigit() else f"[{digit.upper()}{digit}]" for digit in digits)
