"""The keys of what is judged of the whole fleet at once, and those that switch a detector off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.config import values
from fleet_health.config.key import Key
from fleet_health.detectors import (
    blind,
    fatal_only,
    index_stalled,
    journal_lossy,
    never_seen,
    receiver_down,
    receiver_failing,
    silent,
    too_many_hosts,
    unknown_hosts,
    unstamped,
)
from fleet_health.detectors.disagreement import DisagreementLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: dict[str, type[Any]] = {
    receiver_failing.SYMPTOM: receiver_failing.ReceiverFailingLimits,
    receiver_down.SYMPTOM: receiver_down.ReceiverDownLimits,
    index_stalled.SYMPTOM: DisagreementLimits,
    journal_lossy.SYMPTOM: DisagreementLimits,
    unknown_hosts.SYMPTOM: unknown_hosts.UnknownHostsLimits,
}

_SWITCHES: dict[str, tuple[str, ...]] = {
    "receiver.enabled": (receiver_failing.SYMPTOM, receiver_down.SYMPTOM),
    "receiver.failing.enabled": (receiver_failing.SYMPTOM,),
    "receiver.down.enabled": (receiver_down.SYMPTOM,),
    **{
        f"detectors.{symptom}.enabled": (symptom,)
        for symptom in (
            silent.SYMPTOM,
            fatal_only.SYMPTOM,
            unstamped.SYMPTOM,
            never_seen.SYMPTOM,
            index_stalled.SYMPTOM,
            journal_lossy.SYMPTOM,
            blind.SYMPTOM,
            too_many_hosts.SYMPTOM,
            unknown_hosts.SYMPTOM,
        )
    },
}
"""A switch -> the symptoms that are looked for while it is on."""

_LIMITS: dict[str, tuple[str, str, Key]] = {
    "receiver.failing.window": (receiver_failing.SYMPTOM, "window_us", Key(values.duration(), "30m")),
    "receiver.failing.min_hosts": (receiver_failing.SYMPTOM, "min_hosts", Key(values.count, 3)),
    "receiver.failing.ratio": (receiver_failing.SYMPTOM, "ratio", Key(values.ratio, 0.5)),
    "receiver.failing.suggested_fix": (
        receiver_failing.SYMPTOM,
        "suggested_fix",
        Key(
            values.suggested_fix,
            "On the receiver: read `journalctl -u cis490-receiver.service --since -1h` for what fails, and look whether"
            " its disk is full. Leave the hosts alone until it is mended.",
        ),
    ),
    "receiver.down.after": (receiver_down.SYMPTOM, "after_us", Key(values.duration(), "2m")),
    "receiver.down.min_hosts": (receiver_down.SYMPTOM, "min_hosts", Key(values.count, 3)),
    "receiver.down.ratio": (receiver_down.SYMPTOM, "ratio", Key(values.ratio, 0.9)),
    "receiver.down.suggested_fix": (
        receiver_down.SYMPTOM,
        "suggested_fix",
        Key(
            values.suggested_fix,
            "On the receiver: look at `systemctl status cis490-receiver.service` and start it. If it runs, look at the"
            " network before it; and if `index-stalled` is reported as well, at why it does not write its index.",
        ),
    ),
    "detectors.index-stalled.window": (index_stalled.SYMPTOM, "window_us", Key(values.duration(), "30m")),
    "detectors.index-stalled.slack": (index_stalled.SYMPTOM, "slack_us", Key(values.duration(), "2m")),
    "detectors.index-stalled.min_count": (index_stalled.SYMPTOM, "min_count", Key(values.count, 3)),
    "detectors.index-stalled.min_hosts": (index_stalled.SYMPTOM, "min_hosts", Key(values.count, 3)),
    "detectors.index-stalled.suggested_fix": (
        index_stalled.SYMPTOM,
        "suggested_fix",
        Key(
            values.suggested_fix,
            "On the receiver: look whether the disk of its index is full and whether it may write there. If it does"
            " write, compare where to with `index.path` in the configuration of fleet-health.",
        ),
    ),
    "detectors.journal-lossy.window": (journal_lossy.SYMPTOM, "window_us", Key(values.duration(), "30m")),
    "detectors.journal-lossy.slack": (journal_lossy.SYMPTOM, "slack_us", Key(values.duration(), "2m")),
    "detectors.journal-lossy.min_hosts": (journal_lossy.SYMPTOM, "min_hosts", Key(values.count, 3)),
    "detectors.journal-lossy.suggested_fix": (
        journal_lossy.SYMPTOM,
        "suggested_fix",
        Key(
            values.suggested_fix,
            "Compare `journal.unit` and `journal.response` in the configuration of fleet-health with what"
            " `journalctl -u cis490-receiver.service` shows. If they fit, journald drops lines:"
            " look at RateLimitBurst= in journald.conf.",
        ),
    ),
    "detectors.unknown-hosts.min_hosts": (unknown_hosts.SYMPTOM, "min_hosts", Key(values.count, 10)),
    "detectors.unknown-hosts.suggested_fix": (
        unknown_hosts.SYMPTOM,
        "suggested_fix",
        Key(
            values.suggested_fix,
            "Look in the receiver's journal for where these requests come from, and close the receiver to what is not"
            " yours. Name your new hosts in `hosts.expected`: then each is alerted by itself.",
        ),
    ),
}

FLEET_KEYS: dict[str, Key] = {
    **{key: key_of_limit for key, (_, _, key_of_limit) in _LIMITS.items()},
    **{key: Key(values.switch, default=True) for key in _SWITCHES},
}


def fleet_limits(found: Mapping[str, Any]) -> dict[str, Any]:
    """Make the limits of each symptom of the whole fleet from the values of all keys."""
    return {
        symptom: kind(**{attribute: found[key] for key, (owner, attribute, _) in _LIMITS.items() if owner == symptom})
        for symptom, kind in _KINDS.items()
    }


def switched_off(found: Mapping[str, Any]) -> frozenset[str]:
    """Give the symptoms that are not looked for."""
    return frozenset(symptom for key, symptoms in _SWITCHES.items() if not found[key] for symptom in symptoms)
