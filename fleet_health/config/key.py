"""A key of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Key:
    """One setting.

    Attributes:
        read: Turns what TOML gave into the value; raises ValueError with what was expected.
        default: As it would be written in the file; None if the key is absent by default.
        help: What it means, for the manual, where the example's comments do not say so.
        is_shown: Whether an invalid value may be shown: it may be a secret.

    """

    read: Callable[[Any], Any]
    default: Any
    help: str = ""
    is_shown: bool = True
