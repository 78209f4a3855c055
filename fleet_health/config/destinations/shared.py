"""What the types of destinations share: their common keys, and the checks of keys that several types have.

No key holds a secret, because everybody may read the configuration: a key names the file with the secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fleet_health.alerting import flapping
from fleet_health.config import values
from fleet_health.config.destinations.values import proxy, rate, secret_file, url
from fleet_health.config.key import Key
from fleet_health.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

WATCH_STOPPED = "watch-stopped"
"""The symptom that `notify` reports itself: the daemon is gone, or does not evaluate."""

SYMPTOMS = (*(spec.symptom for spec in DETECTORS), flapping.SYMPTOM, WATCH_STOPPED)
"""Every symptom that a destination can be sent."""

KINDS = ("opening", "repeat", "lost", "resolution")
"""The kinds of notifications that a destination can be sent."""

COMMON: dict[str, Key] = {
    "name": Key(
        values.short_name("destination", "phone"), None, "What the destination is called in commands and logs."
    ),
    "type": Key(values.text, None, "Which type of destination it is; see below."),
    "hosts": Key(
        values.globs,
        ["*"],
        "Only notifications about these hosts are sent, names or globs. `*` includes those about no single host.",
    ),
    "symptoms": Key(values.choices(*SYMPTOMS), list(SYMPTOMS), "Only these symptoms are sent."),
    "send": Key(
        values.choices(*KINDS),
        list(KINDS),
        "Which kinds of notification are sent. `lost` reports that a host is lost, and closes its incidents.",
    ),
    "after": Key(
        values.duration(at_least="0s"),
        "0s",
        "Escalation: only incidents that are still open this long after their first notification are sent.",
    ),
    "group_wait": Key(
        values.duration(at_least="0s", at_most="1h"),
        "0s",
        "How long an opening waits for others, to be sent in one message. Those of one evaluation always are.",
    ),
    "rate_limit": Key(
        rate,
        None,
        "The maximum number of messages within a duration, such as `20/1h`. What it delays is sent later as one"
        " message, which states how many.",
    ),
    "give_up_after": Key(
        values.duration(at_least="1m"),
        "7d",
        "A notification that could not be delivered for this long is dropped, logged and counted.",
    ),
    "timeout": Key(values.duration(at_least="1s", at_most="5m"), "10s", "How long one delivery may take in all."),
}
"""The keys of destinations of every type, except those that a type leaves out."""

ABOUT_INCIDENTS = frozenset({"hosts", "symptoms", "send", "after", "group_wait", "rate_limit", "give_up_after"})
"""The common keys of a destination that is sent incidents, and not only a sign of life."""


@dataclass(frozen=True, slots=True)
class DestinationType:
    """A type of destination, as it is configured.

    Attributes:
        about: A description in one sentence.
        keys: Its own keys, besides the common ones.
        required: Which of its own keys must be set.
        omitted: The common keys that do not apply to it.
        problems: Takes its values, and yields a problem for each invalid combination: the key, what was expected, and
            what was found, which must not contain a secret.

    """

    about: str
    keys: Mapping[str, Key]
    required: tuple[str, ...] = ()
    omitted: frozenset[str] = frozenset()
    problems: Callable[[Mapping[str, Any]], Iterable[tuple[str, str, str]]] = lambda _: ()

    @property
    def all_keys(self) -> dict[str, Key]:
        """Every key that it takes."""
        return {key: entry for key, entry in COMMON.items() if key not in self.omitted} | dict(self.keys)


def secret_key(help_: str) -> Key:
    """Return the key of a file that holds a secret."""
    # The value may be the secret itself, by mistake.
    return Key(secret_file, None, help_, is_shown=False)


HTTP_KEYS: dict[str, Key] = {
    "proxy": Key(
        proxy,
        None,
        "The proxy for requests, or `none`. If it is not set, `https_proxy`, `http_proxy` and `no_proxy` in the"
        " environment of the service apply.",
        is_shown=False,
    ),
    "proxy_file": secret_key("The file that holds the URL of the proxy, if that contains a user and a password."),
    "ca_file": Key(
        values.path, None, "A file in PEM with the certificate authorities to trust instead of those of the system."
    ),
}
"""The keys of all types that send by HTTP."""

LOGIN_KEYS: dict[str, Key] = {
    "username": Key(values.text, None, "The user to log in as."),
    "password_file": secret_key("The file that holds the password."),
    "token_file": secret_key("The file that holds a token, which is sent as `Authorization: Bearer`."),
}
"""The keys for authentication."""


def url_keys(what: str) -> dict[str, Key]:
    """Return the keys of a URL that may be a secret."""
    return {
        "url": Key(url, None, f"{what} If it is a secret, use `url_file`.", is_shown=False),
        "url_file": secret_key("The file that holds the URL."),
    }


Problems: TypeAlias = "Iterator[tuple[str, str, str]]"
"""A key, what was expected, and what was found."""


def chosen(found: Mapping[str, Any], *keys: str, is_needed: bool = True) -> Problems:
    """Yield a problem if several of the keys are set, or if none is set although one is needed."""
    are_set = [key for key in keys if found[key] is not None]
    if len(are_set) > 1:
        yield are_set[-1], f"only one of {' and '.join(keys)}", "both" if len(keys) == len(are_set) else "several"
    elif not are_set and is_needed:
        yield keys[0], f"{' or '.join(keys)} to be set", "nothing"


def http_problems(found: Mapping[str, Any]) -> Problems:
    """Yield the problems of the keys of types that send by HTTP."""
    yield from chosen(found, "proxy", "proxy_file", is_needed=False)


def login_problems(found: Mapping[str, Any]) -> Problems:
    """Yield the problems of the keys for authentication."""
    yield from chosen(found, "password_file", "token_file", is_needed=False)
    yield from password_problems(found)


def password_problems(found: Mapping[str, Any]) -> Problems:
    """Yield a problem if only one of user and password is set."""
    if (found["username"] is None) != (found["password_file"] is None):
        missing = "username" if found["username"] is None else "password_file"
        yield missing, "username and password_file together", "only one of them"
