"""What the tests of attacks share."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.config.pattern_values import pattern
from fleet_health.parsing.receiver_log import LogParser
from fleet_health.sources.journal.lines import log_parser
from tests.security.servers import RECIPES

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="session")
def recipes() -> Mapping[str, re.Pattern[str]]:
    """The patterns of another-receiver.md, by their names."""
    return {
        name: pattern("host", "status")(tomllib.loads(text)["journal"]["response"])
        for name, text in re.findall(r"```toml\n# (\w+)\n(.*?)```", RECIPES, re.DOTALL)
    }


@pytest.fixture(scope="session")
def parsers(recipes: Mapping[str, re.Pattern[str]]) -> Mapping[str, LogParser]:
    """Every pattern that is uploaded: the defaults, and those of another-receiver.md, by their names."""
    found = {name: LogParser(response, None, None) for name, response in recipes.items()}
    return {"default": log_parser(load(None).receivers[0].journal), **found}
