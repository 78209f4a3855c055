"""The text of a suggested fix: `$host` in prose, and quoted for the shell between backticks."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.detectors.suggested_fix import SuggestedFix
from tests.rig.properties import tried


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        pytest.param("Reboot.", "Reboot.", id="no name at all"),
        pytest.param("On $host: reboot $host.", "On a b: reboot a b.", id="in prose the host stands as it is"),
        pytest.param("On ${host}s.", "On a bs.", id="braces end a name"),
        pytest.param("It costs 5 $$.", "It costs 5 $.", id="two dollar signs are one"),
        pytest.param("$$host", "$host", id="and start no name"),
        pytest.param("Run `ssh $host`.", "Run `ssh 'a b'`.", id="in a command the host is quoted"),
        pytest.param("`a $host` $host `b $host`", "`a 'a b'` a b `b 'a b'`", id="each part by its own rule"),
        pytest.param("`echo $$PATH`", "`echo $PATH`", id="two dollar signs are one in a command, too"),
        pytest.param("Run `ssh $host", "Run `ssh 'a b'", id="a command that is not closed is a command all the same"),
        pytest.param("100 % of {host} %(host)s", "100 % of {host} %(host)s", id="other notations mean nothing"),
        pytest.param("Ää “$host”", "Ää “a b”", id="any letters"),
    ],
)
def test_the_host_is_put_in(text: str, rendered: str) -> None:
    """The expected text is for the host `a b`."""
    assert SuggestedFix(text).render("a b") == rendered


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 $", "a $ that starts no name; write $$ for a plain dollar sign"),
        ("$ host", "a $ that starts no name; write $$ for a plain dollar sign"),
        ("${host", "a $ that starts no name; write $$ for a plain dollar sign"),
        ("${}", "a $ that starts no name; write $$ for a plain dollar sign"),
        ("$1", "a $ that starts no name; write $$ for a plain dollar sign"),
        ("$`ls`", "a $ that starts no name; write $$ for a plain dollar sign"),
        ("${host.__init__}", "a $ that starts no name; write $$ for a plain dollar sign"),
        ("$hots", "$hots, which is not known here; $host is the only name"),
        ("$HOST", "$HOST, which is not known here; $host is the only name"),
        ("$host_name", "$host_name, which is not known here; $host is the only name"),
        ("`$symptom` on $host", "$symptom, which is not known here; $host is the only name"),
        ("$zebra $apple", "$apple, which is not known here; $host is the only name"),
    ],
)
def test_what_cannot_be_put_in_is_refused_at_once(text: str, message: str) -> None:
    """Such a text is refused when the configuration is read."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SuggestedFix(text)


@tried(300)
@given(host=st.text(st.characters(exclude_characters="`\0", exclude_categories=["Cs"])))
def test_no_host_leaves_its_word_in_a_command(host: str) -> None:
    """The shell takes the name as one word, whatever it contains."""
    command = SuggestedFix("Run `ssh -- $host true`.").render(host).split("`")[1]

    assert shlex.split(command) == ["ssh", "--", host, "true"]


@tried(300)
@given(text=st.text(st.sampled_from("$hostx{}` ")), host=st.text(st.sampled_from("a$`{}' ")))
def test_a_text_that_is_accepted_can_be_written(text: str, host: str) -> None:
    """A text is refused at once or never fails later."""
    try:
        fix = SuggestedFix(text)
    except ValueError:
        return

    assert isinstance(fix.render(host), str)


def test_texts_are_compared_by_their_words() -> None:
    """Two equal texts are equal values, so a reload can see whether anything changed."""
    one, same, other = SuggestedFix("a"), SuggestedFix("a"), SuggestedFix("b")

    assert one == same
    assert one != other
    assert one != "a"
    assert len({one, same, other}) == 2
    assert repr(one) == "SuggestedFix('a')"
