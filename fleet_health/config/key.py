"""A key of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Key:
    """One key, with its kind and default.

    Attributes:
        read: Converts the value in TOML to the setting. Raises ValueError with the expected kind.
        default: The default, as written in the file; None if the key is absent by default.
        help: Its meaning for the manual, if the example does not contain it.
        is_shown: Whether an invalid value may be shown. False if it may be a secret.

    """

    read: Callable[[Any], Any]
    default: Any
    help: str = ""
    is_shown: bool = True
