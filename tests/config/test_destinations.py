"""Destinations: settings replace the defaults, and every problem is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.destinations.registry import TYPES
from fleet_health.config.destinations.shared import COMMON, KINDS, SYMPTOMS
from fleet_health.model.instant import SECOND_US
from fleet_health.notify.message import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.config.schema import Settings

MINUTE = 60 * SECOND_US
MANAGER = '[[destinations]]\nname = "am"\ntype = "alertmanager"\n'
PHONE = '[[destinations]]\nname = "phone"\ntype = "ntfy"\n'
MAIL = '[[destinations]]\nname = "mail"\ntype = "mail"\nto = ["a@b"]\nfrom = "c@d"\n'
COMMAND = '[[destinations]]\nname = "command"\ntype = "exec"\n'
HOOK = '[[destinations]]\nname = "hook"\ntype = "webhook"\nurl = "https://example.org/h"\n'


def test_without_any_there_are_none(settings_of: Callable[..., Settings]) -> None:
    """No notifications are sent unless that is configured."""
    assert settings_of("").destinations == ()


def test_the_defaults_send_everything_for_a_week(settings_of: Callable[..., Settings]) -> None:
    """Every host, receiver, symptom and kind, at once."""
    (hook,) = settings_of(HOOK).destinations

    assert (hook.name, hook.type, hook.own["url"]) == ("hook", "webhook", "https://example.org/h")
    assert all(hook.takes(host, symptom) for host in ("pi-1", "*", "*@lab") for symptom in SYMPTOMS)
    assert hook.send == set(KINDS)
    assert (hook.after_us, hook.group_wait_us, hook.rate_limit) == (0, 0, None)
    assert (hook.give_up_after_us, hook.timeout_us) == (7 * 24 * 60 * MINUTE, 10 * SECOND_US)


def test_what_is_set_is_used(settings_of: Callable[..., Settings]) -> None:
    """Each key replaces its default, and no other one."""
    (hook,) = settings_of(
        HOOK
        + """
        hosts = ["lab-*", "[*]"]
        symptoms = ["silent", "watch-stopped"]
        send = ["opening"]
        after = "30m"
        group_wait = "1m"
        rate_limit = "20/1h"
        give_up_after = "1d"
        timeout = "30s"
        """
    ).destinations

    taken = [(host, hook.takes(host, "silent")) for host in ("lab-1", "pi-1", "*", "*@lab-1")]
    assert taken == [("lab-1", True), ("pi-1", False), ("*", True), ("*@lab-1", False)]
    assert not hook.takes("lab-1", "unstamped")
    assert sorted(hook.send) == ["opening"]
    assert (hook.after_us, hook.group_wait_us) == (30 * MINUTE, MINUTE)
    assert (hook.rate_limit, hook.give_up_after_us, hook.timeout_us) == (
        (20, 60 * MINUTE),
        24 * 60 * MINUTE,
        30 * SECOND_US,
    )


def test_the_kinds_are_those_of_messages() -> None:
    """The configuration and the process use the same words."""
    assert set(Kind) == set(KINDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("destinations = 3", "destinations: expected tables, each headed [[destinations]], found 3"),
        (
            '[[destinations]]\ntype = "webhook"\nurl = "https://a"',
            'destinations[1].name: expected a short name for the destination, such as "phone", found nothing',
        ),
        (HOOK + HOOK, 'destinations[2].name: expected a name of its own, found "hook", as in destinations[1]'),
        (HOOK.replace("hook", "a b"), "destinations[1].name: expected a short name for the destination, "),
        ('[[destinations]]\nname = "a"', "destinations[1].type: expected "),
        (HOOK.replace("webhook", "pigeon"), 'found "pigeon"'),
        (HOOK.replace("url", "urls"), "destinations[1].urls: expected one of "),
        (HOOK + "hosts = []", "destinations[1].hosts: expected a list of host globs"),
        (HOOK + 'symptoms = ["silence"]', 'destinations[1].symptoms: expected a list of some of "silent", '),
        (HOOK + 'send = ["end"]', 'a list of some of "opening", "repeat", "lost", "resolution"'),
        (HOOK + 'rate_limit = "0/1h"', 'destinations[1].rate_limit: expected a number within a duration, such as "20/'),
        (HOOK + 'rate_limit = "5/0s"', "destinations[1].rate_limit: expected a number within a duration"),
        (HOOK + 'group_wait = "2h"', 'destinations[1].group_wait: expected a duration from "0s" to "1h", found "2h"'),
        (HOOK + 'after = "soon"', "destinations[1].after: expected a duration with a unit"),
        (
            '[[destinations]]\nname = "a"\ntype = "webhook"',
            "destinations[1].url: expected url or url_file to be set, found nothing",
        ),
        (HOOK + 'url_file = "hook"', "destinations[1].url_file: expected only one of url and url_file, found both"),
        (HOOK + 'username = "anna"', "destinations[1].password_file: expected username and password_file together"),
        (
            HOOK + 'username = "anna"\npassword_file = "p"\ntoken_file = "t"',
            "destinations[1].token_file: expected only one of password_file and token_file, found both",
        ),
        (
            HOOK + 'token_file = "../t"',
            "token_file: expected the absolute path of a file that holds the secret, or the",
        ),
        (HOOK + 'proxy = "socks5://a"', 'destinations[1].proxy: expected "none", or the URL of a proxy'),
        (HOOK + 'proxy = "http://a"\nproxy_file = "p"', "proxy_file: expected only one of proxy and proxy_file, found"),
        (HOOK + 'headers = { "X Y" = "z" }', "headers: expected a table of HTTP headers, such as "),
        (HOOK + 'headers = { X = "a\\nY: b" }', "headers: expected a table of HTTP headers, such as "),
        (HOOK + 'headers = { Host = "b" }', "headers: expected other headers than those that are set by other keys"),
        (HOOK + 'content_type = "a\\nb"', "content_type: expected printable ASCII"),
        (HOOK + 'body = \'{"text": "$subjects"}\'', "destinations[1].body: expected a text that holds any of $kind, "),
        (HOOK + "body = '{\"text\": $text}'", "body: expected JSON, which is what content_type application/json prom"),
        (MANAGER, "destinations[1].peers: expected it to be set for type "),
        (MANAGER + "peers = []", "destinations[1].peers: expected a list of different URLs of http or https"),
        (MANAGER + 'peers = ["http://a", "http://a"]', "destinations[1].peers: expected a list of different URLs"),
        (MANAGER + 'labels = { host = "x" }', 'labels: expected a table of labels, such as { team = "ops" }, and none'),
        (MANAGER + 'send = ["opening"]', "destinations[1].send: expected one of "),
        (PHONE, "destinations[1].topic: expected topic or topic_file to be set, found nothing"),
        (
            PHONE + 'topic = "a b"',
            "destinations[1].topic: expected the name of a topic: 1 to 64 of A-Z, a-z, 0-9, - and _",
        ),
        (PHONE + "priorities = { silent = 6 }", "priorities: expected a table of symptoms with a priority from 1 to 5"),
        (MAIL, "destinations[1].server: expected server or sendmail to be set, found nothing"),
        (
            MAIL + 'server = "a b"',
            "destinations[1].server: expected a host, with a port if it is not the usual one, such",
        ),
        (MAIL + 'server = "a:0"', "destinations[1].server: expected a host, with a port"),
        (MAIL + 'server = "a"\nsecurity = "ssl"', 'security: expected one of "starttls", "tls", "none", found "ssl"'),
        (MAIL + 'server = "a"\nusername = "x"', "password_file: expected username and password_file together"),
        (
            MAIL + 'server = "a"\nsecurity = "none"\nusername = "x"\npassword_file = "p"',
            "destinations[1].username: expected a server with security starttls or tls, because no password is sent",
        ),
        (MAIL + 'sendmail = "sendmail"', "destinations[1].sendmail: expected the absolute path of a program"),
        (MAIL.replace("a@b", "A <a@b>"), 'destinations[1].to: expected a list of mail addresses such as ["ops@example'),
        (MAIL.replace("c@d", "-c"), 'destinations[1].from: expected a mail address such as "ops@example.org", without'),
        (MAIL.replace("c@d", "c@d\\nBcc: e@f"), "destinations[1].from: expected a mail address"),
        (
            COMMAND + "command = []",
            "destinations[1].command: expected a list of the absolute path of a program and its",
        ),
        (COMMAND + 'command = "rm -r /"', "destinations[1].command: expected a list of the absolute path of a program"),
        (COMMAND + 'command = ["rm"]', "destinations[1].command: expected a list of the absolute path of a program"),
        (HOOK + "body = '$'", "destinations[1].body: expected a text that holds any of $kind, "),
    ],
)
def test_each_problem_is_named(text: str, expected: str, problems_of: Callable[..., list[str]]) -> None:
    """With its place, what was expected, and what was found."""
    assert any(expected in problem for problem in problems_of(text))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org",
        "example.org",
        "https://",
        "https://user:word@example.org/",
        "https://example.org/a b",
        "https://[::1",
        "https://example.org:0/",
        "https://example.org:99999/",
    ],
)
def test_a_url_is_one_of_http_without_a_password(url: str, problems_of: Callable[..., list[str]]) -> None:
    """Everybody may read the configuration."""
    (problem,) = problems_of(HOOK.replace("https://example.org/h", url))

    assert "destinations[1].url: expected a URL that begins with http:// or https://, without user and pass" in problem


@pytest.mark.parametrize(
    "line",
    [
        'url = "https://anna:s3cret@example.org/"',
        'url = "s3cret"',
        'proxy = "http://anna:s3cret@example.org"',
        'headers = { Authorization = "Bearer s3cret\\n" }',
        'password = "s3cret"',
        'token = "s3cret"',
        'password_file = "s3cret/s3cret"',
    ],
)
def test_no_problem_shows_a_secret(line: str, problems_of: Callable[..., list[str]]) -> None:
    """A secret may be written in the wrong place, and problems are logged."""
    problems = problems_of('[[destinations]]\nname = "hook"\ntype = "webhook"\n' + line)

    assert problems
    assert "s3cret" not in "".join(problems)


def test_no_key_of_a_type_is_a_common_one() -> None:
    """A type may leave a common key out, but not change its meaning."""
    assert [name for name, spec in TYPES.items() if spec.keys.keys() & COMMON.keys()] == []
    assert [name for name, spec in TYPES.items() if not set(spec.required) <= spec.keys.keys()] == []
    assert [name for name, spec in TYPES.items() if not spec.omitted <= COMMON.keys() - {"name", "type"}] == []
