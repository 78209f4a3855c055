"""The entry point of the command line."""

from __future__ import annotations

import signal
import sys

_BY_STRUCTLOG_AND_MSGSPEC = ("rich", "typing_extensions")
NOT_NEEDED = {"run": (*_BY_STRUCTLOG_AND_MSGSPEC, "ssl"), "notify": _BY_STRUCTLOG_AND_MSGSPEC}
"""Process -> modules that others import if they are there, up to 13 MiB of memory; asyncio imports `ssl`."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    is_process, arguments = arguments is None, sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in NOT_NEEDED:
        # Before the slow imports: a SIGHUP during the start would kill the process. The daemon handles the signal as
        # soon as it can, and reads its configuration only then.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for module in NOT_NEEDED[arguments[0]]:
            sys.modules[module] = None  # type: ignore[assignment]
    if (
        is_process
        and arguments[:1] in (["check"], ["replay"], ["suggest"])
        and sys.stdout is not None
        and sys.stderr is not None
    ):
        from fleet_health.files.hang_watch import work_in_a_child  # noqa: PLC0415 - no other command needs it

        if (status := work_in_a_child()) is not None:
            return status
    if arguments[:1] == ["__complete"]:
        # A shell completes a word while a user waits, so do not import the parser.
        from fleet_health.cli.names import print_names  # noqa: PLC0415 - likewise

        return print_names(arguments[1:])
    from fleet_health.cli.main import run_command  # noqa: PLC0415 - see above

    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
