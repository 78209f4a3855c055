"""The subjects of findings: how a host, a receiver and the fleet are written."""

from __future__ import annotations

import pytest

from fleet_health.model.subject import EVERY_HOST, general, is_host, is_subject, named, receiver_of, subject_glob


@pytest.mark.parametrize("receiver", ["", "north"])
def test_a_receiver_is_read_back_from_what_is_named_after_it(receiver: str) -> None:
    """The only receiver has no name."""
    subject = named("index", receiver)

    assert (general(subject), receiver_of(subject)) == ("index", receiver)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        pytest.param("pi-01", True, id="a host"),
        pytest.param("a b", False, id="a host whose name was not made safe"),
        pytest.param("*", True, id="the fleet, or the only receiver"),
        pytest.param("*@north", True, id="a receiver"),
        pytest.param("*@" + "n" * 32, True, id="a receiver with the longest name"),
        pytest.param("*@" + "n" * 33, False, id="a name that is too long"),
        pytest.param("*@", False, id="no name"),
        pytest.param("*@-north", False, id="a name that begins with a hyphen"),
        pytest.param("**@north", False, id="a glob"),
    ],
)
def test_a_subject_is_a_host_or_a_receiver(text: str, *, is_one: bool) -> None:
    """Anything else cannot have been written by this program."""
    assert is_subject(text) == is_one
    assert is_host(text) != text.startswith(EVERY_HOST)


@pytest.mark.parametrize(
    ("text", "glob"),
    [
        pytest.param("*@north", "*@north", id="a receiver stays as it is"),
        pytest.param("pi-01", "pi-01", id="so does a host with a safe name"),
        pytest.param("bür*", "b%C3%BCr*", id="any other name is made safe, as those of hosts are"),
        pytest.param("a@b*", "a%40b*", id="an @ belongs to the name of a host"),
    ],
)
def test_what_an_operator_asks_for_is_written_as_hosts_are_known(text: str, glob: str) -> None:
    """So a host has one identity everywhere."""
    assert subject_glob(text) == glob
