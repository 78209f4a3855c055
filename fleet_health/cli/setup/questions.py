"""Ask questions at a terminal, repeatedly until the answer is valid."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class AnswerError(ValueError):
    """An invalid answer. `str()` is a message with the reason."""


def ask(question: str, default: str, read: Callable[[str], T]) -> T:
    """Ask until the answer is valid, and return its value.

    Args:
        question: The question, without a question mark.
        default: The meaning of an empty answer.
        read: Parses an answer. Raises AnswerError if it is invalid.

    Raises:
        EOFError: The input has ended.

    """
    while True:
        sys.stdout.flush()
        answer = input(f"{question} [{default}]: ").strip() or default
        try:
            return read(answer)
        except AnswerError as error:
            sys.stdout.write(f"  {error}\n")


def agrees(question: str, *, default: bool) -> bool:
    """Ask for yes or no, and return whether the answer is yes."""

    def read(answer: str) -> bool:
        word = answer.casefold()
        if word not in {"y", "yes", "n", "no"}:
            raise AnswerError(f"expected yes or no, found {answer!r}")
        return word.startswith("y")

    return ask(question, "yes" if default else "no", read)


def some_of(question: str, default: str, count: int) -> list[int]:
    """Ask for some of `count` items, which are numbered from 1. Return their indexes, from 0."""

    def read(answer: str) -> list[int]:
        words = answer.replace(",", " ").split()
        if not words or not all(word.isdecimal() and 1 <= int(word) <= count for word in words):
            raise AnswerError(f"expected numbers from 1 to {count}, found {answer!r}")
        return list(dict.fromkeys(int(word) - 1 for word in words))

    return ask(question, default, read)
