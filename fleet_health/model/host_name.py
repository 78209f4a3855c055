"""Host names that are safe wherever they go: a terminal, a log line, a shell command, a file.

Names come from the network. One of 1 to 128 characters of `[A-Za-z0-9._:-]` is kept as it is, unless a command would
take it for an option (`-rf`) or for another directory (`..`): then its first character is escaped. Any other is escaped
(`%` and two hex digits for each byte of its UTF-8), and a long one is cut and closed with a hash of the whole. Neither
`%` nor `~` stands in a name that is kept, so that an altered name is never that of another host.

Unicode has two forms of a letter such as `ü`: one character (NFC), or a letter and a combining mark (NFD), in which
macOS names files. Both are the same name, and it is written in NFC.
"""

from __future__ import annotations

import re

PUNCTUATION = ":;,."
"""What may stand behind a host's name, and never belongs to it."""

_MAX_LENGTH = 128
_MISLEADING = r"(?:-|\.\.?\Z)"
_is_plain = re.compile(rf"(?!{_MISLEADING})[A-Za-z0-9._:-]{{1,128}}", re.ASCII).fullmatch
_unsafe_byte = re.compile(rb"[^A-Za-z0-9._:-]|\A(?=%b)." % _MISLEADING.encode())
_is_made = re.compile(
    rf"(?!\Z|{_MISLEADING})(?:[A-Za-z0-9._:-]|%[0-9A-F]{{2}})*(?:%[0-9A-F]?(?=~)|)(?:~[0-9a-f]{{16}})?", re.ASCII
).fullmatch
_octet = re.compile(rb"%([0-9A-F]{2})")
_half_octet = re.compile(rb"%[0-9A-F]?\Z")
_is_without_any = re.compile(r"[^*?[%~]*").fullmatch
_set_or_unsafe = re.compile(r"(\[!?\]?[^]]*\])|%(?![0-9A-F]{2}|[0-9A-F]?~)|[^A-Za-z0-9._:%~*?-]|\A-", re.ASCII)


def host_name(raw: str) -> str:
    """Make a name safe: the same raw name, in either form, gives the same result, two different ones never do."""
    if _is_plain(raw):
        return raw
    octets = composed(raw).encode("utf-8", "surrogatepass")
    escaped = _unsafe_byte.sub(lambda match: b"%%%02X" % match[0][0], octets[: _MAX_LENGTH + 1]).decode("ascii")
    if len(octets) <= _MAX_LENGTH and len(escaped) <= _MAX_LENGTH:
        return escaped
    import hashlib  # noqa: PLC0415 - slow to import, and few names are altered

    digest = hashlib.sha256(octets).hexdigest()[:16]
    return f"{escaped[: _MAX_LENGTH - 17]}~{digest}"


def composed(text: str) -> str:
    """Return a text in NFC, the form in which hosts are named."""
    if text.isascii():
        return text
    from unicodedata import normalize  # noqa: PLC0415 - slow to import, and few names are beyond ASCII

    return normalize("NFC", text)


def named_host(raw: str) -> str:
    """Make the name of a host that a source names safe, without the punctuation behind it.

    It belongs to the sentence (`host=pi-07: missing …`), or is the dot of the DNS root. With it, one host would be two.
    """
    return host_name(raw.rstrip(PUNCTUATION) or raw) if raw[-1:] in PUNCTUATION else host_name(raw)


def own_name(name: str) -> str:
    """Return what a host calls itself, from the name that `host_name` made; of one that was cut only the beginning."""
    whole, _, is_cut = name.partition("~")
    octets = _octet.sub(lambda match: bytes.fromhex(match[1].decode()), whole.encode("ascii"))
    if is_cut:
        octets = _half_octet.sub(b"", octets)
    try:
        return octets.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        return octets[: error.start].decode("utf-8", "surrogatepass")


def is_host_name(text: str) -> bool:
    """Return whether `host_name` can have made a text."""
    return len(text) <= _MAX_LENGTH and _is_made(text) is not None


def safe_glob(raw: str) -> str:
    """Write a glob so that it matches the safe names of hosts whose names it was written for.

    What stands in no safe name is escaped, but for what is within `[…]`; what is escaped already stays.
    """
    return (
        host_name(raw)
        if _is_without_any(raw)
        else _set_or_unsafe.sub(lambda match: match[1] or host_name(match[0]), composed(raw))
    )
