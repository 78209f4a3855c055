"""Make the files of an installation that are not in the repository: the manual pages and the completion scripts.

`python -m fleet_health.cli.setup.made EXAMPLE DIRECTORY` writes them; `packaging/files` lists them as `made/NAME`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from fleet_health.cli.commands.completion import completion
from fleet_health.cli.commands.manual import write_pages
from fleet_health.cli.main import build_parser

_SHELLS = ("bash", "zsh")


def write_made(example: Path, directory: Path) -> None:
    """Write the manual pages and, if shtab is installed, the completion script of each shell.

    Args:
        example: The example configuration, from which one of the pages is made.
        directory: An existing directory for the files.

    """
    write_pages(example, directory)
    if importlib.util.find_spec("shtab") is not None:
        for shell in _SHELLS:
            (directory / f"completion.{shell}").write_text(completion(build_parser(), shell), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - the name of the program, and two more
        sys.exit(f"usage: {Path(sys.executable).name} -m fleet_health.cli.setup.made EXAMPLE-CONFIGURATION DIRECTORY")
    write_made(Path(sys.argv[1]), Path(sys.argv[2]))
