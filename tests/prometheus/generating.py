"""The program that writes what is in packaging/prometheus, as a module: it is a script beside the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def _loaded() -> ModuleType:
    path = Path(__file__).parents[2] / "packaging/prometheus/generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate: Any = _loaded()
