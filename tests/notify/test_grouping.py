"""What the next message is, and when it may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.grouping import Turn, Waiting, key_of, next_turn
from fleet_health.notify.message import Kind
from tests.rig.destinations import OPENED, configured, made, over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.notify.message import Notification

MINUTE = 60 * SECOND_US
NOW = OPENED + 100 * MINUTE


def turn(
    waiting: Sequence[Notification | tuple[Notification, int]],
    *,
    sent_at: Sequence[int] = (),
    now: int = NOW,
    takes_groups: bool = True,
    **keys: object,
) -> Turn:
    """Return the next turn for what waits, queued now or at an instant that is given."""
    queued = [Waiting(*one) if isinstance(one, tuple) else Waiting(one, now) for one in waiting]
    settings = configured("webhook", url="https://example.org", **keys)
    return next_turn(queued, sent_at, settings, now, takes_groups=takes_groups)


def incidents(found: Turn) -> list[str]:
    """Return which incidents the message is about."""
    assert found.message is not None
    return [one.incident for one in found.message.notifications]


def many(count: int) -> list[Notification]:
    """Return openings of so many incidents."""
    return [made(incident=f"i{number}") for number in range(count)]


def test_nothing_waits() -> None:
    """Without a waiting notification there is neither a message nor a time to look again."""
    assert turn([]) == Turn()


def test_what_opens_together_is_one_message_for_a_person() -> None:
    """A thousand openings are one message."""
    assert len(incidents(turn(many(1_000)))) == 1_000


def test_a_program_gets_each() -> None:
    """A program gets one message for each notification, in the order of the decisions."""
    later = made(incident="later", decided_at=OPENED + 1)

    assert incidents(turn([later, made(incident="first")], takes_groups=False)) == ["first"]


def test_openings_and_resolutions_are_messages_of_their_own() -> None:
    """Each kind is a message of its own, and what was decided first is sent first."""
    assert incidents(turn([over(incident="b"), made(incident="a")])) == ["a"]


def test_a_group_waits_from_its_first_opening_on() -> None:
    """`group_wait` counts from the first opening, later ones join it, and a resolution does not wait."""
    first, second = made(incident="a"), made(incident="b")
    queued = [(first, NOW), (second, NOW + 30 * SECOND_US)]

    assert turn(queued, now=NOW + MINUTE - 1, group_wait="1m") == Turn(at=NOW + MINUTE)
    assert incidents(turn(queued, now=NOW + MINUTE, group_wait="1m")) == ["a", "b"]
    assert incidents(turn([*queued, (over(incident="c"), NOW)], now=NOW, group_wait="1m")) == ["c"]


def test_the_rate_limit_delays_and_sends_a_digest() -> None:
    """The next message that the limit allows holds everything that waits, with the number that was delayed."""
    sent_at = [NOW - 50 * MINUTE, NOW - 10 * MINUTE]
    waiting = [(made(incident="a"), NOW), (over(incident="b"), NOW)]
    limit: dict[str, Any] = {"rate_limit": "2/1h"}

    assert turn(waiting, sent_at=sent_at, now=NOW, **limit) == Turn(at=NOW + 10 * MINUTE)
    digest = turn([*waiting, (made(incident="c"), NOW + 10 * MINUTE)], sent_at=sent_at, now=NOW + 10 * MINUTE, **limit)
    assert sorted(incidents(digest)) == ["a", "b", "c"]
    assert digest.message is not None
    assert digest.message.delayed == 2


def test_below_the_rate_limit_nothing_is_delayed() -> None:
    """Messages with a time in the future, from before the clock was set back, do not count."""
    below = turn([made()], sent_at=[NOW - MINUTE], rate_limit="2/1h").message
    ahead = turn([made()], sent_at=[NOW + MINUTE, NOW + 2 * MINUTE], rate_limit="2/1h").message

    assert below is not None
    assert ahead is not None
    assert (below.delayed, ahead.delayed) == (0, 0)


def test_the_key_is_that_of_what_is_reported_to_whom() -> None:
    """The key depends on destination, incidents, kinds and decisions, and not on order or words."""
    one, other = made(incident="a"), made(incident="b")
    key = key_of("phone", [one, other])

    assert key_of("phone", [other, made(incident="a", detail="other words")]) == key
    assert (
        len({key, key_of("mail", [one, other]), key_of("phone", [one]), key_of("phone", [one, over(incident="b")])})
        == 4
    )
    assert [kind for kind in Kind if key_of("p", [made(kind=kind)]) == key] == []


def test_of_one_evaluation_the_fleet_comes_first_and_then_each_host() -> None:
    """Notifications of one evaluation are in the order of `status`."""
    waiting = [made(incident=host, host=host) for host in ("pi-2", "*", "pi-1")]

    assert incidents(turn(waiting)) == ["*", "pi-1", "pi-2"]
