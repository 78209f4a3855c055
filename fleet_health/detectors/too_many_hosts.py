"""`too-many-hosts`: there are more host names than are watched. A client invents them, or the limit is too small.

If uploads under invented names are accepted, these names take the remaining places, never upload again, and would all
be `silent` half an hour later. So if the table of uploads was full within the time for which uploads are kept, this
finding inhibits `silent` of unexpected hosts that appeared in that time. Alerts of earlier hosts are not affected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.detectors.spec import NOTHING, PRESENT, Condition, DetectorSpec, Finding, Lookback, Rule, Subject
from fleet_health.model.instant import HOUR_US
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.fleet import Fleet, LeftOut
    from fleet_health.model.instant import Instant
    from fleet_health.model.uploads import Uploads

SYMPTOM = "too-many-hosts"

_SUGGESTED_FIX = (
    "Look in the receiver's journal for who uploads under ever new names;"
    " if all of them are yours, raise `limit` under [hosts] in the configuration."
)


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="59b10bbc1f0642dfa518b54b3ba4551e",
    subject=Subject.FLEET,
    needs=NOTHING,  # it goes by what was left out so far
    is_of_absence=False,
    switches=("detectors.too-many-hosts.enabled",),
    is_group=True,
    inhibits=(silent.SYMPTOM,),
    build=lambda _: TooManyHosts(),
)


class TooManyHosts(Rule):
    """Finds out whether hosts were left out within the last hour."""

    spec = SPEC
    lookback = Lookback()

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return how many hosts each full table left out; inhibit `silent` of the hosts that took the last places."""
        crowds, passers = [], _passers(fleet)
        full = [table for table in _tables(fleet) if _is_recent(table.left_out, now)] or [
            table for table in _tables(fleet) if passers and table.was_full
        ]
        if full:  # a host left out of the table of the index is left out of that of the journal, too
            crowds.append(_of_uploads(full[0]))
        crowds += [_of_pool(fleet, one) for one in fleet.traffic.left_out if _is_recent(one, now)]
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=f"{'; '.join(crowds)}; the hosts known before are still watched",
            suggested_fix=_SUGGESTED_FIX,
            inhibits=frozenset((name, silent.SYMPTOM) for name in passers),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return how many hosts were left out within the last hour."""
        if host != EVERY_HOST:
            return ()
        every = (_left_out(fleet), *fleet.traffic.left_out)
        count, passers = sum(one.count for one in every if _is_recent(one, now)), _passers(fleet)
        found = f"{count}, and {len(passers)} hosts are new since the table was full" if passers else str(count)
        is_found = count > 0 or bool(passers)
        return (Condition("hosts dropped within the last hour", found, "at least 1", "hosts.limit", is_found),)

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return True: the evaluation itself observes that no host was left out recently."""
        del fleet, host, now
        return True

    def sign_at(self, fleet: Fleet, host: str) -> Instant:
        """Return the present: the evaluation itself observes an hour in which no host was left out."""
        del fleet, host
        return PRESENT

    def limits_of(self, host: str) -> str:
        """Return an empty text: the hour is not a setting."""
        del host
        return ""


def is_about_known_hosts(fleet: Fleet, now: Instant) -> bool:
    """Return whether hosts were left out within the last hour that had uploaded, or may be expected."""
    _, likely = fleet.traffic.left_out
    return _is_recent(_left_out(fleet), now) or _is_recent(likely, now)


def _tables(fleet: Fleet) -> tuple[Uploads, Uploads]:
    """Return the tables of the hosts that have uploaded: by the index, and by the journal."""
    return fleet.uploads, fleet.traffic.accepted


def _left_out(fleet: Fleet) -> LeftOut:
    """Return which hosts were left out of the table of uploads that did so last."""
    return max((table.left_out for table in _tables(fleet)), key=lambda one: one.latest_at)


def _passers(fleet: Fleet) -> list[str]:
    """Return the hosts that turned up within the time in which a table of uploads was full, and are not expected."""
    rows, accepted = _tables(fleet)
    newcomers = list(rows.newcomers) if rows.was_full else []
    if accepted.was_full:  # a host with a row is new if its row is
        newcomers += [host for host in accepted.newcomers if rows.last_at(host) is None]
    return [host for host in newcomers if not fleet.register.is_expected(host)]


def _is_recent(left_out: LeftOut, now: Instant) -> bool:
    return left_out.latest_at >= now - HOUR_US


def _of_uploads(table: Uploads) -> str:
    left_out, limit = table.left_out, table.limit
    uploads = plural(left_out.count, "upload")
    return f"{uploads} of new hosts beyond the limit of {limit} left out so far, the latest of {left_out.host}"


def _of_pool(fleet: Fleet, left_out: LeftOut) -> str:
    traffic = fleet.traffic
    is_of_strangers = left_out is traffic.strangers.left_out
    limit = traffic.strangers.limit if is_of_strangers else traffic.likely.limit
    whose = "hosts that have never uploaded" if is_of_strangers else "expected hosts that have never uploaded"
    places = "1 place" if limit == 1 else f"{limit} places"
    times = "once" if left_out.count == 1 else f"{left_out.count} times"
    return f"{whose} share {places}: one was dropped for another {times} so far, last {left_out.host}"
