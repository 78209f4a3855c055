"""Processes of `fleet-health` that start in milliseconds: forked from one that has imported everything already.

A new interpreter and its imports cost nearly half a second of processor time, and the suite starts hundreds. What is
forked is a process like any other: its own pid, environment, directory and descriptors; it can be signalled and killed.
What an interpreter is started with for good, such as libfaketime, has a zygote of its own. What else depends on how an
interpreter starts (PYTHON*, LD_*, the locale) is for `subprocess`.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import io
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.__main__ import NOT_NEEDED
from tests.rig.patience import lift_all_timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REQUEST_LIMIT = 1 << 20
_STDERR = 2
_ROOT = Path(__file__).resolve().parents[2]
_AT_START = (
    *("LD_PRELOAD", "PYTHONPATH", "NO_FAKE_STAT"),
    *("FAKETIME_DONT_FAKE_MONOTONIC", "FAKETIME_FORCE_MONOTONIC_FIX", "FAKETIME_NO_CACHE"),
)
"""The variables that a zygote is started with. libfaketime looks up FAKETIME_TIMESTAMP_FILE whenever it is asked."""
_OF_AN_INTERPRETER = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_")


def needs_an_interpreter(environment: Mapping[str, str]) -> bool:
    """Return whether some variable matters only to an interpreter that is just starting, and no zygote is for it."""
    return any(name.startswith(_OF_AN_INTERPRETER) and name not in _AT_START for name in environment)


class ForkedProcess:
    """A process of `fleet-health`, with the part of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
        cwd: str | None = None,
        prelude: str = "",
    ) -> None:
        """Start `fleet-health` with arguments.

        Args:
            arguments: What follows `fleet-health` on the command line.
            env: The whole environment.
            stdin: A descriptor, which the caller closes afterwards; so are the next two.
            stdout: The same.
            stderr: The same.
            cwd: The working directory; None for the caller's.
            prelude: Python code that the process executes first, to alter the product or what it runs on.

        """
        self.returncode: int | None = None
        self.pid, self._status = _zygote(_surroundings(), _at_start(env)).fork(
            {"arguments": list(arguments), "env": dict(env), "cwd": cwd or str(Path.cwd()), "prelude": prelude},
            (stdin, stdout, stderr),
        )

    def poll(self) -> int | None:
        """Return the exit status, or the negative number of the signal that killed it; None while it runs."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raise TimeoutExpired if it does not come in time."""
        status = self._wait(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("fleet-health", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            readable, _, _ = select.select([self._status], [], [], timeout)
            if readable:
                self.returncode = int(self._status.read())
                self._status.close()
        return self.returncode


def run(
    arguments: Sequence[str], *, env: Mapping[str, str], timeout: float, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run `fleet-health` to its end and return its status and output; raise TimeoutExpired after so many seconds."""
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(Path(os.devnull).open("rb")).fileno() if stdin == subprocess.DEVNULL else stdin
        out, err = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdout", "stderr"))
        for fd in (out, err):
            stack.callback(os.close, fd)
        process = ForkedProcess(arguments, env=env, stdin=given, stdout=out, stderr=err)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = [os.pread(fd, os.fstat(fd).st_size, 0).decode() for fd in (out, err)]
    return subprocess.CompletedProcess(list(arguments), status, *texts)


class _Zygote:
    """Our end of the zygote."""

    def __init__(self, at_start: tuple[tuple[str, str], ...]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.rig.zygote", str(theirs.fileno())],
            cwd=_ROOT,
            env={name: value for name, value in os.environ.items() if name not in _AT_START} | dict(at_start),
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        atexit.register(self.close)

    def close(self) -> None:
        """End it, and whatever still runs of what it has forked."""
        self._socket.close()
        self._process.wait()

    def fork(self, request: Mapping[str, Any], fds: tuple[int, int, int]) -> tuple[int, io.BufferedReader]:
        """Return a new process's id, and what its exit status can be read from when it has ended."""
        read_end, write_end = os.pipe()
        with self._turn:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [*fds, write_end])
            os.close(write_end)
            pid = int(self._socket.recv(32))
        return pid, os.fdopen(read_end, "rb")


@cache
def _zygote(_surroundings: tuple[object, ...], at_start: tuple[tuple[str, str], ...]) -> _Zygote:
    return _Zygote(at_start)


def _at_start(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, environment[name]) for name in _AT_START if name in environment)


def _surroundings() -> tuple[object, ...]:
    """Return what a process inherits that a test may have changed: a zygote from before would not have it."""
    namespaces = tuple(link.readlink() for link in sorted(Path("/proc/self/ns").iterdir()))
    limits = tuple(resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_"))
    return namespaces, limits, os.getresuid(), os.getresgid(), os.getgroups().__repr__()


# --- in the zygote ---------------------------------------------------------------------------------------------------


def _serve(control_fd: int) -> None:
    """Fork a process for each request that comes by a socket, and report the status of each that has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_everything()
    control = socket.socket(fileno=control_fd)
    ended_read, ended_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(ended_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    statuses: dict[int, int] = {}
    while True:
        readable, _, _ = select.select([control_fd, ended_read], [], [])
        if ended_read in readable:
            os.read(ended_read, 1 << 16)
            _report_ended(statuses)
        if control_fd in readable:
            size = array.array("i").itemsize * 4
            message, fds, _, _ = socket.recv_fds(control, _REQUEST_LIMIT, size)
            if not message:
                break
            *standard, status = fds
            pid = os.fork()
            if not pid:
                _become(json.loads(message), standard)
            statuses[pid] = status
            for fd in standard:
                os.close(fd)
            control.send(str(pid).encode())
    for pid in statuses:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _import_everything() -> None:
    # As fleet_health.__main__ does for the service.
    for module in NOT_NEEDED["run"]:
        sys.modules[module] = None  # type: ignore[assignment]
    from fleet_health.cli import main as parser  # noqa: F401, PLC0415 - this is what takes the time
    from fleet_health.cli.commands import run  # noqa: F401, PLC0415 - this is what takes the time
    from fleet_health.daemon import composition  # noqa: F401, PLC0415

    # The processes are for tests that are not about a timeout.
    lift_all_timeouts()


def _report_ended(statuses: dict[int, int]) -> None:
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        fd = statuses.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(fd, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(fd)


def _become(request: Mapping[str, Any], standard: Sequence[int]) -> None:
    """Be `fleet-health`; never return."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for target, fd in enumerate(standard):
            os.dup2(fd, target)
        os.closerange(3, 1 << 16)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        sys.stdin, sys.stdout, sys.stderr = _standard_streams()
        arguments = request["arguments"]
        sys.argv = ["fleet-health", *arguments]
        if arguments[:1] != ["run"]:
            for module in NOT_NEEDED["run"]:
                del sys.modules[module]
        exec(compile(request["prelude"], "<prelude>", "exec"), {"sys": sys})  # noqa: S102 - a test's own
        from fleet_health.__main__ import main  # noqa: PLC0415 - not before the fork: it is what runs

        status = main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:  # noqa: BLE001 - what the interpreter would do
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(status)


def _standard_streams() -> list[io.TextIOWrapper]:
    """Open the three standard streams as an interpreter does when it starts."""
    return [
        io.TextIOWrapper(
            os.fdopen(fd, mode, closefd=False),
            encoding="utf-8",
            errors="backslashreplace" if fd == _STDERR else "surrogateescape",
            line_buffering=fd == _STDERR or os.isatty(fd),
        )
        for fd, mode in ((0, "rb"), (1, "wb"), (_STDERR, "wb"))
    ]


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
