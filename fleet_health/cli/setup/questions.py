"""Asks questions at a terminal. An invalid answer is asked for again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class AnswerError(ValueError):
    """An invalid answer; `str()` says what is wrong."""


def ask(question: str, default: str, read: Callable[[str], T]) -> T:
    """Ask until an answer can be read.

    Args:
        question: The question, without a mark at its end.
        default: The meaning of an empty answer.
        read: Reads an answer; raises AnswerError.

    Raises:
        EOFError: There will be no more answers.

    """
    while True:
        sys.stdout.flush()
        answer = input(f"{question} [{default}]: ").strip() or default
        try:
            return read(answer)
        except AnswerError as error:
            sys.stdout.write(f"  {error}\n")


def agrees(question: str, *, default: bool) -> bool:
    """Ask for a yes or a no."""

    def read(answer: str) -> bool:
        word = answer.casefold()
        if word not in {"y", "yes", "n", "no"}:
            raise AnswerError(f"expected yes or no, found {answer!r}")
        return word.startswith("y")

    return ask(question, "yes" if default else "no", read)


def some_of(question: str, default: str, count: int) -> list[int]:
    """Ask for some of a number of items, which are shown from 1; return their indexes, from 0."""

    def read(answer: str) -> list[int]:
        words = answer.replace(",", " ").split()
        if not words or not all(word.isdecimal() and 1 <= int(word) <= count for word in words):
            raise AnswerError(f"expected numbers from 1 to {count}, found {answer!r}")
        return list(dict.fromkeys(int(word) - 1 for word in words))

    return ask(question, default, read)
