"""Reads `[[destinations]]`, to which notifications are sent: the keys common to all, and those of each type.

Types are declared here, without their code: the daemon checks the whole configuration, but must not load network code.
No key holds a secret, because everybody may read the configuration: a key names the file with the secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING, Any, TypeAlias

from fleet_health.alerting import flapping
from fleet_health.config import values
from fleet_health.config.document import TableReader, shown
from fleet_health.config.key import Key
from fleet_health.detectors.registry import DETECTORS
from fleet_health.errors import Problem
from fleet_health.model.host_globs import HostGlobs

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
        "Only what is about these hosts is sent, names or globs. `*` also stands for what is about no single host.",
    ),
    "symptoms": Key(values.choices(*SYMPTOMS), list(SYMPTOMS), "Only these symptoms are sent."),
    "send": Key(values.choices(*KINDS), list(KINDS), "Which notifications of an incident are sent."),
    "after": Key(
        values.duration(at_least="0s"),
        "0s",
        "Escalation: only incidents are sent that still stand this long after their first notification.",
    ),
    "group_wait": Key(
        values.duration(at_least="0s", at_most="1h"),
        "0s",
        "How long an opening waits for others to be sent in the same message, beside those of the same evaluation.",
    ),
    "rate_limit": Key(
        values.rate,
        None,
        "At most so many messages within a duration, such as `20/1h`. What is delayed is sent together, with its"
        " number.",
    ),
    "give_up_after": Key(
        values.duration(at_least="1m"),
        "7d",
        "What could not be delivered for this long is dropped, logged and counted.",
    ),
    "timeout": Key(values.duration(at_least="1s", at_most="5m"), "10s", "How long one delivery may take as a whole."),
}
"""The keys of destinations of every type, except those that a type leaves out."""

_OF_INCIDENTS = frozenset({"hosts", "symptoms", "send", "after", "group_wait", "rate_limit", "give_up_after"})


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


BODY_FIELDS = (
    "kind",
    "id",
    "key",
    "host",
    "symptom",
    "detail",
    "suggested_fix",
    "opened_wall",
    "notified_wall",
    "ended_wall",
    "subject",
    "text",
)
"""The fields of a notification that the body of a webhook can contain: the texts of its document."""

JSON_TYPE = "application/json"


def _secret(said: str) -> Key:
    # The value may be the secret itself, by mistake.
    return Key(values.secret_file, None, said, is_shown=False)


_HTTP: dict[str, Key] = {
    "proxy": Key(
        values.proxy,
        None,
        "The proxy that requests go through, or `none`. Without it, `https_proxy`, `http_proxy` and `no_proxy` of the"
        " service's environment are heeded.",
        is_shown=False,
    ),
    "proxy_file": _secret("The file that holds the URL of the proxy, if it has a user and a password in it."),
    "ca_file": Key(
        values.path, None, "Certificates in PEM, of the authorities that are trusted instead of those of the system."
    ),
}
"""The keys of all types that send by HTTP."""

_LOGIN: dict[str, Key] = {
    "username": Key(values.text, None, "The user to log in as."),
    "password_file": _secret("The file that holds the password."),
    "token_file": _secret("The file that holds a token, which is sent as `Bearer`."),
}
"""The keys for authentication."""


def _url_keys(what: str) -> dict[str, Key]:
    return {
        "url": Key(values.url, None, f"{what} If it is a secret, use `url_file`.", is_shown=False),
        "url_file": _secret("The file that holds the URL."),
    }


_Problems: TypeAlias = "Iterator[tuple[str, str, str]]"


def _one_of(found: Mapping[str, Any], *keys: str, is_needed: bool = True) -> _Problems:
    """Yield a problem if several of the keys are set, or if none is set although one is needed."""
    are_set = [key for key in keys if found[key] is not None]
    if len(are_set) > 1:
        yield are_set[-1], f"only one of {' and '.join(keys)}", "both" if len(keys) == len(are_set) else "several"
    elif not are_set and is_needed:
        yield keys[0], f"{' or '.join(keys)} to be set", "nothing"


def _http_problems(found: Mapping[str, Any]) -> _Problems:
    yield from _one_of(found, "proxy", "proxy_file", is_needed=False)


def _login_problems(found: Mapping[str, Any]) -> _Problems:
    yield from _one_of(found, "password_file", "token_file", is_needed=False)
    if (found["username"] is None) != (found["password_file"] is None):
        missing = "username" if found["username"] is None else "password_file"
        yield missing, "username and password_file together", "only one of them"


def _body_template(raw: Any) -> str:
    known = ", ".join(f"${name}" for name in BODY_FIELDS)
    template = Template(raw) if isinstance(raw, str) else Template("$")
    if not template.is_valid() or not {*template.get_identifiers()} <= {*BODY_FIELDS}:
        raise ValueError(f"a text that holds any of {known}, and $$ for a dollar sign")
    return template.template


def _webhook_problems(found: Mapping[str, Any]) -> _Problems:
    yield from (*_one_of(found, "url", "url_file"), *_login_problems(found), *_http_problems(found))
    if found["body"] is not None and is_json(found["content_type"]):
        try:
            json.loads(Template(found["body"]).substitute(dict.fromkeys(BODY_FIELDS, "x")))
        except ValueError:
            yield "body", f"JSON, which is what content_type {found['content_type']} promises", "something else"
    own = {name.lower() for name in found["headers"]} & _OWN_HEADERS
    for name in sorted(own):
        yield "headers", "other headers than those that are set by other keys or by the protocol", name


def is_json(content_type: str) -> bool:
    """Return whether a content type is JSON."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == JSON_TYPE or essence.endswith("+json")


SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""The value of `security` -> the default port of the mail server."""


def _mail_problems(found: Mapping[str, Any]) -> _Problems:
    yield from _one_of(found, "server", "sendmail")
    if (found["username"] is None) != (found["password_file"] is None):
        missing = "username" if found["username"] is None else "password_file"
        yield missing, "username and password_file together", "only one of them"
    elif found["username"] is not None and (found["server"] is None or found["security"] == "none"):
        yield "username", "it with a server by starttls or tls, for a password is not sent in the open", "another way"


_is_topic = re.compile(r"[-_A-Za-z0-9]{1,64}", re.ASCII).fullmatch


def ntfy_topic(raw: Any) -> str:
    """Read the name of a topic, as ntfy has it."""
    if not isinstance(raw, str) or not _is_topic(raw):
        raise ValueError("the name of a topic: 1 to 64 of A-Z, a-z, 0-9, - and _")
    return raw


NTFY_PRIORITIES = {spec.symptom: spec.urgency for spec in DETECTORS} | {"flapping": 3, "watch-stopped": 5}
"""Symptom -> default priority on a phone, from 1 to 5; from 4 on with sound."""


def _priorities(raw: Any) -> dict[str, int]:
    if not isinstance(raw, dict) or not all(
        symptom in SYMPTOMS and isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5  # noqa: PLR2004 - ntfy's own
        for symptom, value in raw.items()
    ):
        raise ValueError("a table of symptoms with a priority from 1 to 5 each, such as { silent = 5 }")
    return NTFY_PRIORITIES | raw


_OWN_HEADERS = frozenset(
    ("authorization", "connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding")
) | {f"webhook-{name}" for name in ("id", "timestamp", "signature")}


TYPES: dict[str, DestinationType] = {
    "heartbeat": DestinationType(
        about="Pings a URL after each evaluation, so that a service elsewhere notices when fleet-health or its machine"
        " dies. While the daemon is blind, or an evaluation fails, `/fail` is added to the path of the URL; while the"
        " daemon does not answer, nothing is sent.",
        keys={
            **_url_keys("Where to ping, such as at healthchecks.io."),
            "fail_url_file": _secret("The file that holds the URL that is pinged instead of `/fail`."),
            **_HTTP,
        },
        omitted=_OF_INCIDENTS,
        problems=lambda found: (*_one_of(found, "url", "url_file"), *_http_problems(found)),
    ),
    "webhook": DestinationType(
        about="Sends each notification as a JSON document to a URL. A response of 2xx means that it is delivered, 410"
        " that nothing more must be sent; 429 and 503 may say with Retry-After when to try again.",
        keys={
            **_url_keys("Where the document is sent."),
            "secret_file": _secret(
                "The file that holds the secret, `whsec_` and base64, by which each request is signed as Standard"
                " Webhooks has it."
            ),
            **_LOGIN,
            "headers": Key(values.headers, {}, "Further headers, none of them secret.", is_shown=False),
            "content_type": Key(values.header_value, JSON_TYPE, "The type of the body."),
            "body": Key(
                _body_template,
                None,
                "The body to send instead of the document. What a name stands for is escaped as the content type needs"
                " it: for JSON, within a string.",
            ),
            **_HTTP,
        },
        problems=_webhook_problems,
    ),
    "alertmanager": DestinationType(
        about="Keeps Alertmanager informed of all incidents that stand, at each evaluation. It decides who is notified;"
        " an alert that is no longer sent ends by itself after four ticks.",
        keys={
            "peers": Key(
                values.urls,
                None,
                "The members of the cluster; each is sent everything, as Prometheus does it. Never a load balancer.",
                is_shown=False,
            ),
            "labels": Key(
                values.labels("alertname", "host", "symptom", "receiver"),
                {},
                "Further labels of each alert, beside `alertname`, `host`, `symptom` and `receiver`.",
            ),
            "page_url": Key(
                values.url,
                None,
                "Where people reach the page of this fleet-health; each alert links to its host there.",
                is_shown=False,
            ),
            **_LOGIN,
            **_HTTP,
        },
        required=("peers",),
        omitted=_OF_INCIDENTS - {"hosts", "symptoms", "after"},
        problems=lambda found: (*_login_problems(found), *_http_problems(found)),
    ),
    "ntfy": DestinationType(
        about="Shows notifications on phones and desktops, by ntfy.sh or a server of your own. All that is sent of an"
        " incident is one notification there, which is updated, if the server is ntfy 2.16 or later.",
        keys={
            "server": Key(values.url, "https://ntfy.sh", "The server.", is_shown=False),
            "topic": Key(
                ntfy_topic,
                None,
                "The topic. On ntfy.sh, who knows a topic can read it: use a long one that nobody guesses, and"
                " `topic_file`.",
                is_shown=False,
            ),
            "topic_file": _secret("The file that holds the topic."),
            "priorities": Key(
                _priorities,
                NTFY_PRIORITIES,
                "How urgent a symptom is, from 1 to 5; those that are not named keep their default. A repeat has one"
                " less, a resolution 2.",
            ),
            "page_url": Key(
                values.url,
                None,
                "Where people reach the page of this fleet-health; a tap on a notification opens it.",
                is_shown=False,
            ),
            **_LOGIN,
            **_HTTP,
        },
        problems=lambda found: (
            *_one_of(found, "topic", "topic_file"),
            *_login_problems(found),
            *_http_problems(found),
        ),
    ),
    "mail": DestinationType(
        about="Sends mail, through an SMTP server or the sendmail of this machine. All that is sent of an incident is"
        " one thread.",
        keys={
            "to": Key(values.addresses, None, "Who gets it."),
            "from": Key(values.address, None, "Who it is from."),
            "server": Key(values.server, None, "The SMTP server. Its port is 587 by default, 465 with `tls`."),
            "security": Key(
                values.one_of(*SMTP_PORTS),
                "starttls",
                "How it is spoken to. `none` encrypts nothing, and takes no password.",
            ),
            "username": Key(values.text, None, "The user to log in as."),
            "password_file": _secret("The file that holds the password."),
            "ca_file": _HTTP["ca_file"],
            "sendmail": Key(
                values.program, None, "The program that takes the mail instead of a server: `/usr/sbin/sendmail`."
            ),
        },
        required=("to", "from"),
        problems=_mail_problems,
    ),
    "exec": DestinationType(
        about="Starts a command for each notification, which is given its JSON document on standard input. It is"
        " delivered if the command ends with 0. No shell is involved; at the end, or when the timeout is over, all that"
        " the command has started is killed.",
        keys={"command": Key(values.command, None, "The program and its arguments.")},
        required=("command",),
    ),
    "apprise": DestinationType(
        about="Sends to any service that Apprise knows, such as Telegram, Pushover or Matrix. Apprise must be installed"
        " (`packaging/install.sh --with-apprise`); it runs in a process of its own for each message.",
        keys={
            "url_file": _secret(
                "The file that holds the URL of the service, as Apprise has it: `tgram://…`, `pover://…`."
            )
        },
        required=("url_file",),
    ),
}
"""The value of `type` -> the type."""


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """A destination as it is configured.

    Attributes:
        name: Its name, which is unique.
        type: Its type, one of `TYPES`.
        hosts: The hosts whose incidents it is sent.
        symptoms: The symptoms that it is sent.
        send: The kinds of notifications that it is sent, some of `KINDS`.
        after_us: How long after its first notification an incident must still be open, in microseconds.
        group_wait_us: How long an opening waits for others, in microseconds.
        rate_limit: The maximum number of messages, and in how many microseconds; None for no limit.
        give_up_after_us: How long delivery is retried, in microseconds.
        timeout_us: How long one delivery may take, in microseconds.
        own: The type's own keys -> their values, with the defaults.

    """

    name: str
    type: str
    hosts: HostGlobs
    symptoms: frozenset[str]
    send: frozenset[str]
    after_us: int
    group_wait_us: int
    rate_limit: tuple[int, int] | None
    give_up_after_us: int
    timeout_us: int
    own: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, host: str, symptom: str) -> bool:
        """Return whether the filters accept an incident."""
        return symptom in self.symptoms and self.hosts.matches(host)


def read_destinations(
    raw: Any, absolute: Callable[[Mapping[str, Any]], dict[str, Any]], problems: list[Problem]
) -> tuple[DestinationSettings, ...]:
    """Read `[[destinations]]`; one with a problem is left out.

    Args:
        raw: The value in TOML.
        absolute: Makes paths relative to the directory of the configuration.
        problems: Collects the problems.

    """
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        problems.append(Problem("destinations", "tables, each headed [[destinations]]", shown(raw)))
        return ()
    names: dict[Any, int] = {}
    found = []
    for number, entry in enumerate(raw, start=1):
        before = len(problems)
        problems += _name_problems(entry, names, number)
        destination = _read(entry, f"destinations[{number}].", absolute, problems)
        if destination is not None and len(problems) == before:
            found.append(destination)
    return tuple(found)


def _name_problems(entry: Mapping[str, Any], names: dict[Any, int], number: int) -> Iterator[Problem]:
    place = f"destinations[{number}].name"
    name = entry.get("name")
    if name is None:
        yield Problem(place, 'a short name for the destination, such as "phone"', "nothing")
    elif isinstance(name, str) and names.setdefault(name, number) != number:
        yield Problem(place, "a name of its own", f'"{name}", as in destinations[{names[name]}]')


def _read(
    entry: Mapping[str, Any],
    place: str,
    absolute: Callable[[Mapping[str, Any]], dict[str, Any]],
    problems: list[Problem],
) -> DestinationSettings | None:
    type_ = entry.get("type")
    if not isinstance(type_, str) or type_ not in TYPES:
        known = " or ".join([", ".join(f'"{name}"' for name in [*TYPES][:-1]), f'"{[*TYPES][-1]}"'][len(TYPES) == 1 :])
        problems.append(Problem(place + "type", known, "nothing" if type_ is None else shown(type_)))
        every = {key: one for spec in TYPES.values() for key, one in spec.keys.items()}
        TableReader(problems, {**every, **COMMON}, place).read({**entry, "type": "unknown"})
        return None
    spec, before = TYPES[type_], len(problems)
    keys = spec.all_keys
    found = absolute(TableReader(problems, keys, place).read(entry))
    problems += [
        Problem(place + key, f'it to be set for type "{type_}"', "nothing")
        for key in spec.required
        if not any(one == key or one.startswith(f"{key}.") for one in found) and key not in entry
    ]
    if len(problems) > before:
        return None
    defaults = {key: None if one.default is None else one.read(one.default) for key, one in (COMMON | keys).items()}
    merged = {**defaults, **found}
    problems += [Problem(place + key, expected, said) for key, expected, said in spec.problems(merged)]
    return DestinationSettings(
        name=found.get("name", ""),
        type=type_,
        hosts=HostGlobs(merged["hosts"]),
        symptoms=frozenset(merged["symptoms"]),
        send=frozenset(merged["send"]),
        after_us=merged["after"],
        group_wait_us=merged["group_wait"],
        rate_limit=merged["rate_limit"],
        give_up_after_us=merged["give_up_after"],
        timeout_us=merged["timeout"],
        own={key: merged[key] for key in spec.keys},
    )
