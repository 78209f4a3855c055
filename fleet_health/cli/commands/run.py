"""`fleet-health run`: run the service."""

from __future__ import annotations

import asyncio
import os
import threading
from itertools import chain
from typing import TYPE_CHECKING

import structlog

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import EXIT_CONFIG, Subparsers, add_common_options, config_path
from fleet_health.config.loading import load
from fleet_health.config.pattern_trust import REMEDY, warnings
from fleet_health.daemon.composition import Daemon
from fleet_health.errors import ConfigError, RestartNeeded, SinkTaken
from fleet_health.files.rotation import allow_many_files
from fleet_health.service import logging as logs

if TYPE_CHECKING:
    import argparse

    from fleet_health.config.schema import Settings

EXIT_RETRY = 1
"""The exit status if a restart may help: the alert log was taken, the saved state is readable, or a part failed."""

_EXIT_TIME = 0.3

_log = structlog.get_logger("fleet_health.config")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "run",
        help=SUMMARIES["run"],
        description="Watch the fleet until SIGTERM. SIGHUP reloads the configuration, as a whole or not at all.",
    )
    add_common_options(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the service, and return the exit status."""
    logs.configure(options.log_level)
    allow_many_files()
    try:
        asyncio.run(_serve(options))
    except ConfigError as error:
        for problem in error.problems:
            logs.complain(f"{error.path}: {problem}")
        return EXIT_CONFIG
    except (SinkTaken, RestartNeeded) as error:
        logs.complain(str(error))
        return EXIT_RETRY
    except Exception:  # noqa: BLE001 - the error is logged
        _log.exception("service failed")
        return EXIT_RETRY
    return 0


async def _serve(options: argparse.Namespace) -> None:
    await Daemon(lambda: _load(options)).run()
    _exit_without_threads()


def _load(options: argparse.Namespace) -> Settings:
    settings = load(config_path(options))
    for warning in chain.from_iterable(warnings(receiver.journal) for receiver in settings.receivers):
        _log.warning("pattern can be forged by a client", warning=warning, remedy=REMEDY)
    return settings


def _exit_without_threads() -> None:
    """Exit without waiting for threads, because a thread may wait for a dead disk.

    All files have been written and closed by now, so a normal exit would only wait for threads.
    """
    exit_anyway = threading.Timer(_EXIT_TIME, os._exit, (0,))
    exit_anyway.daemon = True
    exit_anyway.start()
