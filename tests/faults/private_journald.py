"""Rig R1: a real journald of our own, in a mount namespace that the test itself is in for as long as it lasts.

There the journal is reached by its namespace's name, as `Reader(namespace=…)` and `journalctl --namespace=…` do, and
what a test starts sees the same. Nothing of it is seen by others, nor outlives the test.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import itertools
import os
import shutil
import signal
import socket
import struct
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from systemd import journal

from fleet_health.config.loading import load
from fleet_health.files import hanging_calls
from fleet_health.files.hanging_calls import DaemonThreads
from tests.rig.mount_namespace import MAKE_PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleet_health.config.schema import JournalSettings
    from tests.conftest import Eventually

UNIT = "cis490-receiver.service"
NAME = "faults"

_JOURNALD = "/lib/systemd/systemd-journald"
_RUN = Path(f"/run/systemd/journal.{NAME}")
_CONFIGURATION = "[Journal]\nStorage=persistent\nSyncIntervalSec=1h\nRateLimitIntervalSec=0\nRateLimitBurst=0\n"

# <sched.h>, <asm/socket.h>
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_SO_SNDBUFFORCE = 32
# https://systemd.io/JOURNAL_FILE_FORMAT: of a file's header, and of an object's.
_STATE_ARCHIVED = b"\x02"
_ENTRY = 3
_libc = ctypes.CDLL(None, use_errno=True)


class RigUnavailable(Exception):  # noqa: N818 - a circumstance, not an error
    """This machine cannot have a private journald; the message says why."""


class PrivateJournald:
    """A journald, and a receiver that logs to it.

    To journald this process is the receiver's unit: it opens the stream that a service's stdout is, says which unit
    it is, and journald believes that of root where control groups tell nothing else.
    """

    def __init__(self, eventually: Eventually) -> None:
        self._eventually = eventually
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: socket.socket | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # As root beyond the limit, so that a message of megabytes is one datagram.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 16 << 20)
        self._numbers = itertools.count()
        self._sent: str | None = None  # the latest message of the unit, as long as it is in the journal
        machine = Path("/etc/machine-id").read_text("ascii").strip()
        self.directory = Path(f"/var/log/journal/{machine}.{NAME}")
        """Where its files are; there from the first start on."""
        self.settings: JournalSettings = load(None, {"journal.namespace": ("", NAME)}).receivers[0].journal
        """The settings to follow the receiver in it."""

    @property
    def pid(self) -> int:
        """The pid of the journald; it must run."""
        assert self._process is not None
        return self._process.pid

    @property
    def archived(self) -> list[Path]:
        """Its archived files, the oldest first."""
        return sorted(self.directory.glob("system@*.journal"))

    def start(self) -> None:
        """Start it; return when it takes messages."""
        assert self._process is None
        for name in ("socket", "stdout"):
            (_RUN / name).unlink(missing_ok=True)
        # In a control group namespace of its own, where whatever group we are in is the root and no unit.
        self._process = subprocess.Popen(["unshare", "--cgroup", _JOURNALD, NAME], stderr=subprocess.DEVNULL)
        self._eventually(self._is_up, "the sockets of a private journald")
        self.sync()

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RigUnavailable(f"a private journald ends with status {self._process.returncode}")
        return (
            (_RUN / "socket").exists() and (_RUN / "stdout").exists() and (self.directory / "system.journal").exists()
        )

    def stop(self) -> None:
        """End it, if it runs."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait()
            self._process = None
        self._sent = None

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self._socket.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it stand still for as long as the context lasts, with so much in its socket that no more goes in."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            self._socket.settimeout(0)
            while True:
                try:
                    self.noise()
                except BlockingIOError:
                    break
            yield
        finally:
            self._socket.settimeout(None)
            os.kill(self.pid, signal.SIGCONT)

    def send(self, *messages: bytes | str) -> None:
        """Log messages as the receiver's unit."""
        self._become_the_unit()
        for message in messages:
            self._send({"MESSAGE": message})
            if isinstance(message, str):
                self._sent = message

    def output(self, *lines: str) -> None:
        """Write lines to the receiver's output; return when the last of them, a short one, is in the journal."""
        self._become_the_unit()
        assert self._stream is not None
        self._stream.sendall("".join(f"{line}\n" for line in lines).encode())
        self._eventually(lambda: self.has(MESSAGE=lines[-1]), "the last line")

    def send_fields(self, fields: dict[str, bytes | str | Sequence[bytes | str]]) -> None:
        """Log one entry as the receiver's unit; a list is a field that occurs several times."""
        self._become_the_unit()
        self._send(fields)

    def send_as(self, pid: int, fields: dict[str, bytes | str | Sequence[bytes | str]]) -> None:
        """Log one entry as another process that runs, which only root may."""
        self._send(fields, pid)

    def noise(self) -> None:
        """Log one entry as somebody else."""
        self._send({"MESSAGE": "noise of another"}, self.pid)

    def sync(self) -> None:
        """Return when everything sent so far is in the journal."""
        mark = f"{os.getpid()}-{next(self._numbers)}"
        self._send({"MESSAGE": "a mark", "TEST_MARK": mark}, self.pid)
        self._eventually(lambda: self.has(TEST_MARK=mark), "a mark in the journal")
        # Else a follower of the unit reads nothing of it.
        assert self._sent is None or self.has(_SYSTEMD_UNIT=UNIT, MESSAGE=self._sent), self._why_not_of_the_unit()

    def _why_not_of_the_unit(self) -> str:
        fields = ("__REALTIME_TIMESTAMP", "_TRANSPORT", "_PID", "_SYSTEMD_UNIT", "_SYSTEMD_CGROUP", "MESSAGE")
        with journal.Reader(path=str(self.directory)) as reader:
            entries = "\n".join(" ".join(f"{one.get(field)!s:.60}" for field in fields) for one in reader)
        return f"journald forgot that process {os.getpid()} is our unit; in the journal, by {fields}:\n{entries}"

    def has(self, **fields: str) -> bool:
        """Return whether an entry with such fields is in the journal."""
        with journal.Reader(path=str(self.directory)) as reader:
            reader.add_match(**fields)
            return bool(reader._next())

    def rotate(self) -> None:
        """Archive the active file."""
        before = len(self.archived)
        os.kill(self.pid, signal.SIGUSR2)
        self._eventually(lambda: len(self.archived) > before, "an archived file")
        # journald syncs it and cuts it to its size in a thread of its own; before that, its size is not its own.
        self._eventually(lambda: all(map(_is_archived, self.archived)), "the end of the archiving")
        self.sync()

    def vacuum(self, *, leave: int = 1) -> None:
        """Delete the oldest archived files until so many files are left."""
        subprocess.run(
            ["journalctl", f"--namespace={NAME}", f"--vacuum-files={leave}"], capture_output=True, check=True
        )
        self._sent = None

    def _become_the_unit(self) -> None:
        if self._stream is None:
            # Of 3,000 streams, journald recorded the first line of one without a process, and so without our unit.
            self._eventually(self._is_known_by_a_new_stream, "a stream that journald knows as the unit's")

    def _is_known_by_a_new_stream(self) -> bool:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.connect(str(_RUN / "stdout"))
        hello = f"the receiver starts {next(self._numbers)}"
        stream.sendall(f"uvicorn\n{UNIT}\n6\n0\n0\n0\n0\n{hello}\n".encode())
        # From its first line on journald knows of which unit this process is, also in datagrams.
        self._eventually(lambda: self.has(MESSAGE=hello), "the receiver's first line")
        if not self.has(_SYSTEMD_UNIT=UNIT, MESSAGE=hello):
            stream.close()
            return False
        self._stream = stream
        return True

    def _send(self, fields: dict[str, bytes | str | Sequence[bytes | str]], pid: int | None = None) -> None:
        datagram = bytearray()
        for name, value in fields.items():
            for one in [value] if isinstance(value, bytes | str) else value:
                data = one.encode() if isinstance(one, str) else one
                datagram += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        credentials = struct.pack("3i", os.getpid() if pid is None else pid, 0, 0)
        self._socket.sendmsg(
            [datagram], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)], 0, str(_RUN / "socket")
        )


@contextmanager
def mount_namespace(scratch: Path) -> Iterator[None]:
    """Be in a mount namespace with an empty /run and /var/log, and a configuration of our journald.

    Raises:
        RigUnavailable: That cannot be had.

    """
    if os.geteuid() != 0:
        raise RigUnavailable("mount namespaces need root")
    missing = [tool for tool in ("mount", "unshare", "journalctl", _JOURNALD) if shutil.which(tool) is None]
    if missing:
        raise RigUnavailable(f"there is no {', '.join(missing)}")
    logs, configuration = scratch / "log", scratch / "etc"
    for directory in (logs, configuration):
        directory.mkdir()
        directory.chmod(0o755)
    (configuration / f"journald@{NAME}.conf").write_text(_CONFIGURATION)
    with ExitStack() as stack:
        home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, home)
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        _call(_libc.unshare, _CLONE_NEWNS)
        stack.callback(_return_to, home, root, Path.cwd())
        # A thread stays in the namespace in which it was started.
        stack.enter_context(patch.object(hanging_calls, "DAEMON_THREADS", DaemonThreads()))
        for command in (
            ("sh", "-c", MAKE_PRIVATE),
            ("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"),
            ("mount", "--bind", str(logs), "/var/log"),
            ("mount", "--bind", str(configuration), "/etc/systemd"),
            # journald asks the control groups who its clients are. The unified hierarchy is there on every kernel, but
            # may not be mounted twice at one place: so it is put on an empty directory, whatever was there before.
            ("mount", "-t", "tmpfs", "tmpfs", "/sys/fs/cgroup"),
            ("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"),
        ):
            mounted = subprocess.run(command, capture_output=True, text=True, check=False)
            if mounted.returncode:
                raise RigUnavailable(f"{' '.join(command)}: {mounted.stderr.strip()}")
        yield


def _is_archived(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(17)[16:] == _STATE_ARCHIVED


def _return_to(namespace: int, root: int, directory: Path) -> None:
    # Threads that were started meanwhile share our root and directory; with these nobody may leave a namespace.
    _call(_libc.unshare, _CLONE_FS)
    _call(_libc.setns, namespace, _CLONE_NEWNS)
    # Entering a namespace leads to its own root: who runs in a changed one would be outside from here on.
    os.fchdir(root)
    os.chroot(".")
    os.chdir(directory)


def _call(function: ctypes._NamedFuncPointer, *arguments: int) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise RigUnavailable(f"{function.__name__}: {os.strerror(number)}")


def make_entry_unreadable(file: Path, at_us: int) -> None:
    """Make the data of an entry in a journal file unreadable, as a bad block does: the entry itself stays."""
    data = bytearray(file.read_bytes())
    # An entry object is type, size, seqnum, realtime, …, and its items.
    place = data.index(struct.pack("<Q", at_us)) - 24
    while data[place] != _ENTRY:
        place = data.index(struct.pack("<Q", at_us), place + 25) - 24
    (size,) = struct.unpack_from("<Q", data, place + 8)
    nowhere = struct.pack("<I", 1)
    data[place + 64 : place + size] = nowhere * ((size - 64) // 4)
    file.write_bytes(data)


def deleted_descriptors() -> list[str]:
    """Return the journal files that this process holds open after they were deleted; nobody's are closed first."""
    gc.collect()
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            targets.append(os.readlink(link))  # noqa: PTH115 - what the kernel says is no path
        except FileNotFoundError:
            continue  # the one that lists them
    return [target for target in targets if target.endswith(".journal (deleted)")]


def is_open(descriptor: int) -> bool:
    """Return whether a descriptor is open."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_GETFD)
    except OSError:
        return False
    return True
