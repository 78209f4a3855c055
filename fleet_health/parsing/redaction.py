"""Remove secrets from a line before it is stored, logged or sent.

Rows of the alert log are kept for months and sent by mail. Lines of a receiver may contain tokens: in the query of a
request or a referrer, as user and password in a URL, or after a name such as `token`. Removed text is shown as `…`.
"""

from __future__ import annotations

import re

# A question mark in a path may be encoded. A `?` before a blank is prose.
_QUERY_BEGIN = r"(?:\?|%3[Ff])"
# In JSON, a query ends at the quote that ends the string; elsewhere only at a blank, because uvicorn logs raw quotes.
_query_in_json = re.compile(rf'{_QUERY_BEGIN}(?=[^\s"])[^\s"\\]*(?:\\.[^\s"\\]*)*')
_query = re.compile(rf'{_QUERY_BEGIN}(?=[^\s"])[^\s]*')
_user = re.compile(r'(?<=//)[^\s/"@]{1,1000}@')
_named = re.compile(
    r"(?P<name>(?:token|secret|passw(?:or)?d|passwd|pwd|api[_-]?key|signature|sig|session(?:_?id)?|cookie|authorization)"
    r"""["']?(?:=|: ?|%3[Dd])(?:\[?["'])?(?:(?:Bearer|Basic|Digest) )?)[^\s"'&;,…]+""",
    re.IGNORECASE,
)


def without_secrets(line: str) -> str:
    """Return a line without query strings, users in URLs, and values of names such as `token=`."""
    pattern = _query_in_json if line.lstrip()[:1] == "{" else _query
    line = pattern.sub(_cut_query, line)
    line = _user.sub("…@", line)
    return _named.sub(lambda found: f"{found['name']}…", line)


def _cut_query(query: re.Match[str]) -> str:
    mark = "?" if query[0][0] == "?" else query[0][:3]
    return f'{mark}…"' if query[0][-1] == '"' else f"{mark}…"
