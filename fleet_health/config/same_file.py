"""Whether two paths lead to the same file, by symbolic links, hard links or mounts."""

from __future__ import annotations

import os
import time
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from pathlib import Path

LIMIT_S = 2.0
"""How long to wait for all paths together, in seconds: a configuration is valid though a disk it names hangs."""


_asked: dict[Path, _Question] = {}
"""The latest question about each path. No other begins while it hangs."""


def identities(paths: Iterable[Path]) -> dict[Path, Hashable]:
    """Return for each path what is equal only for paths to the same file; while nothing is there, to the same place.

    A path that does not respond within `LIMIT_S` seconds is compared by its name.
    """
    questions = {path: _ask(path) for path in paths}
    until = time.monotonic() + LIMIT_S
    for question in questions.values():
        question.join(max(0.0, until - time.monotonic()))
    return {path: question.answer for path, question in questions.items()}


def _ask(path: Path) -> _Question:
    if (question := _asked.get(path)) is None or not question.is_alive():
        question = _asked[path] = _Question(path)
    return question


class _Question(Thread):
    """Looks up the identity of a path; the name of the path until then."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self.answer: Hashable = str(path)
        self.start()

    def run(self) -> None:
        try:
            status = self._path.stat()
            self.answer = (status.st_dev, status.st_ino)
        except OSError:
            self.answer = os.path.realpath(self._path)
