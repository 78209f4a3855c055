"""Takes secrets out of a stranger's line before it is stored, logged, or sent anywhere.

Alert rows are kept for months and are mailed around. A receiver's lines may hold tokens: in the query of a request or
of a referrer, as user and password in a URL, or after a name like `token` elsewhere. What was cut is shown as `…`.
"""

from __future__ import annotations

import re

# A question mark in a path may come quoted; a `?` with a blank behind it is one of prose.
_QUERY_BEGIN = r"(?:\?|%3[Ff])"
# In JSON a query ends at the quote that ends the string, elsewhere only at a blank: uvicorn logs quotes as they came.
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
