"""The default texts of alerts: specific ones if the unit of the reference deployment is watched, else general ones.

The general texts name the units, user units and containers of the receiver, as configured.
"""

from __future__ import annotations

import shlex
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fleet_health.config.receiver_patterns import UNIT, UNIT_KEY
from fleet_health.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MATCH_KEY, _DIRECTORY_KEY, _NAMESPACE_KEY = "journal.match", "journal.directory", "journal.namespace"
_STATUS, _LOG = "{status}", "{log}"


def text_defaults(receivers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return key -> default for the texts that differ from those of the reference deployment.

    Args:
        receivers: For each receiver, dotted key -> value, for the configured keys.

    """
    units = [unit for one in receivers for unit in _units(one)]
    is_reference = all(any(fnmatchcase(UNIT, glob) for glob in _units(one)) for one in receivers)
    is_reference_alone = set(units) == {UNIT} and not any(one.get(_MATCH_KEY) for one in receivers)
    texts: dict[str, str] = {}
    for setting in (setting for spec in DETECTORS for setting in spec.settings):
        names_receiver = _STATUS in setting.elsewhere or _LOG in setting.elsewhere
        if not setting.elsewhere or (is_reference_alone if names_receiver else is_reference):
            continue
        named = setting.elsewhere.replace(_STATUS, _in_words(map(_status_of, receivers)))
        texts[setting.key] = named.replace(_LOG, _in_words(map(_log_of, receivers)))
    return texts


def _named_units(receiver: Mapping[str, Any]) -> list[str]:
    """Return the configured units of a receiver."""
    return list(receiver.get(UNIT_KEY, () if receiver.get(_MATCH_KEY) else (UNIT,)) or ())


def _units(receiver: Mapping[str, Any]) -> list[str]:
    """Return the system units of a receiver."""
    matched = (value for fields in _alternatives(receiver) for value in _values(fields, "_SYSTEMD_UNIT"))
    return [*_named_units(receiver), *matched]


def _alternatives(receiver: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    return receiver.get(_MATCH_KEY) or ()


def _values(fields: Iterable[str], name: str) -> list[str]:
    return [value for field, _, value in (one.partition("=") for one in fields) if field == name]


def _status_of(receiver: Mapping[str, Any]) -> list[str]:
    """Return the commands that show the state of a receiver."""
    units = list(dict.fromkeys(_units(receiver)))
    commands = [["systemctl", "status", *units]] if units else []
    for fields in _alternatives(receiver):
        if user_units := _values(fields, "_SYSTEMD_USER_UNIT"):
            of_user = [f"--machine={uid}@" for uid in _values(fields, "_UID")[:1]]
            commands.append(["systemctl", "--user", *of_user, "status", *user_units])
        # podman has the same commands.
        commands += (["docker", "ps", "--all", f"--filter=name={name}"] for name in _values(fields, "CONTAINER_NAME"))
    return list(map(_quoted, commands))


def _log_of(receiver: Mapping[str, Any]) -> list[str]:
    """Return the command that shows the lines of a receiver."""
    words = ["journalctl", *(word for unit in _named_units(receiver) for word in ("-u", unit))]
    for key, option in ((_DIRECTORY_KEY, "--directory="), (_NAMESPACE_KEY, "--namespace=+")):
        if receiver.get(key):
            words.append(f"{option}{receiver[key]}")
    for number, fields in enumerate(_alternatives(receiver)):
        words += ["+", *fields] if number else fields
    return [_quoted(words)]


def _quoted(words: Iterable[str]) -> str:
    command = shlex.join(words)
    # A backtick would end the command in a text, and a lone dollar sign would begin a placeholder.
    return f"`{command}`".replace("$", "$$") if "`" not in command else ""


def _in_words(commands: Iterable[list[str]]) -> str:
    """Return commands as part of a sentence; a general phrase if there are none."""
    named: Iterator[str] = (command for some in commands for command in some if command)
    return " and ".join(dict.fromkeys(named)) or "the receiver's service"
