"""Open, create and replace files in directories that other users may be able to change.

A path is walked directory by directory, each opened relative to its parent (openat(2)). A symbolic link among the
directories is followed only if only root or this user can have created it; a link as the last component is never
followed. A file must be a regular file with a single name, and belong to this user, to root, or to the owner of its
directory. Root writes only its own files, and creates none in a directory of another user (except by `replace_file`
with `is_for_caller`); see `fleet_health.cli.privileges` for commands of root.

This is not for the receiver's index, which is only read and whose path may be a link that is swapped.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

# The limit of the kernel (path_resolution(7)).
_LINK_LIMIT = 40
# How often to retry if a file is replaced between stat and open.
_TRIES = 10
_WALK = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO must not block, and a terminal must not become the controlling terminal.
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITING = os.O_WRONLY | os.O_RDWR

_EXCHANGED = "expected a file that stays in place, found another one at each try"

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnsafePathError(OSError):
    """A path is not of the required kind. `strerror` names the expected kind, the actual kind, and a remedy."""

    def __init__(self, path: Path | str, expected: str) -> None:
        super().__init__(errno.ELOOP, expected, str(path))


class SafeDirectory:
    """An open directory, reached without following links that other users can have created.

    Raises:
        OSError: In every method. `filename` is the whole path; an `UnsafePathError` says what is wrong with it.

    """

    def __init__(self, path: Path, *, create_mode: int | None = None) -> None:
        """Open a directory. With `create_mode`, first create it and its parents with this mode if they are missing."""
        self.path = path
        try:
            self.fd = _walk(path)
        except FileNotFoundError:
            if create_mode is None or not path.name:
                raise
            with SafeDirectory(path.parent, create_mode=create_mode) as parent:
                parent.refuse_root_elsewhere()
                with suppress(FileExistsError), _named(path):
                    os.mkdir(path.name, create_mode, dir_fd=parent.fd)
            self.fd = _walk(path)
        self._state = os.fstat(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory."""
        os.close(self.fd)

    @property
    def owner(self) -> tuple[int, int]:
        """The ids of the user and the group of the directory."""
        return self._state.st_uid, self._state.st_gid

    @property
    def is_shared(self) -> bool:
        """Whether users other than its owner may write to it, by mode or by access control list (the group bits)."""
        return bool(self._state.st_mode & 0o022)

    def refuse_root_elsewhere(self) -> None:
        """Raise UnsafePathError if this process runs as root and the directory belongs to another user."""
        if os.geteuid() == 0 and self._state.st_uid != 0:
            user = user_name(self._state.st_uid)
            raise UnsafePathError(
                self.path,
                f"expected a directory of root, found one of user {user}, where root does not write;"
                f" run this as {user}",
            )

    def open_file(self, name: str, flags: int, *, create_mode: int | None = None, is_ours_alone: bool = False) -> int:
        """Open a file and return its descriptor.

        Args:
            name: Its name, without a slash.
            flags: The flags of open(2), without O_CREAT and O_TRUNC.
            create_mode: The mode to create it with if it is missing; None if it must exist.
            is_ours_alone: Whether the file must belong to this user.

        """
        path, is_writing = self.path / name, bool(flags & _WRITING)
        if is_writing:
            self.refuse_root_elsewhere()
        owners = {os.geteuid()} if is_ours_alone or (is_writing and os.geteuid() == 0) else self._trusted_owners()
        for _ in range(_TRIES):
            try:
                with _named(path):
                    # Checked before it is opened, because opening a device can have side effects.
                    _refuse_odd(path, os.stat(name, dir_fd=self.fd, follow_symlinks=False), owners)
                    fd = os.open(name, flags | _OPEN, dir_fd=self.fd)
            except FileNotFoundError:
                if create_mode is None:
                    raise
                with suppress(FileExistsError), _named(path):
                    return os.open(name, flags | _OPEN | os.O_CREAT | os.O_EXCL, create_mode, dir_fd=self.fd)
                continue
            try:
                state = os.fstat(fd)
                if state.st_nlink:  # without a name, it has just been removed or replaced
                    _refuse_odd(path, state, owners)
                    os.set_blocking(fd, True)
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        raise UnsafePathError(path, _EXCHANGED)

    def read_file(self, name: str, limit: int) -> bytes:
        """Return the content of a file. Raise UnsafePathError if it has more than `limit` bytes."""
        with os.fdopen(self.open_file(name, os.O_RDONLY), "rb") as file:
            with _named(self.path / name):
                content = file.read(limit + 1)
            if len(content) > limit:
                raise UnsafePathError(
                    self.path / name, f"expected a file of at most {limit} bytes, found a larger one; move it away"
                )
            return content

    def replace_file(
        self, name: str, content: bytes, mode: int, *, temporary: str, is_for_caller: bool = False
    ) -> None:
        """Create a file atomically, in place of anything but a directory. A link is replaced, not followed.

        Args:
            name: The name.
            content: The content of the file.
            mode: Its mode.
            temporary: The name of the file until it is complete. Another file with that name is removed.
            is_for_caller: Whether the user of a command gets the file. If so, the umask applies to its mode, and root
                may create it in a directory of another user.

        """
        if not is_for_caller:
            self.refuse_root_elsewhere()
        try:
            with _named(self.path / temporary):
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=self.fd)
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, mode, dir_fd=self.fd)
            with os.fdopen(fd, "wb") as file, _named(self.path / name):
                if not is_for_caller:
                    os.fchmod(fd, mode)
                file.write(content)
                file.flush()
                os.fsync(fd)
                self.rename(temporary, name)
                self.sync()
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self.fd)
            raise

    def rename(self, old: str, new: str) -> None:
        """Rename a file or link, replacing any file with the new name."""
        with _named(self.path / old):
            os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def remove(self, name: str) -> None:
        """Remove a file or a link."""
        with _named(self.path / name):
            os.unlink(name, dir_fd=self.fd)

    def sync(self) -> None:
        """Sync the directory, so that its names survive a crash. Do nothing if it may not be read."""
        with suppress(PermissionError), _named(self.path):
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def names(self) -> list[str]:
        """Return the names in the directory."""
        with _named(self.path):
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                return os.listdir(fd)  # noqa: PTH208 - of a descriptor
            finally:
                os.close(fd)

    def state(self, name: str) -> os.stat_result:
        """Return the state of an entry; for a link, of the link itself."""
        with _named(self.path / name):
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def _trusted_owners(self) -> set[int]:
        return {os.geteuid(), 0, self._state.st_uid}


def led_astray(path: Path, opened: os.stat_result) -> str:
    """Return how another user may have led root to a file that is not theirs; empty if no user has.

    `opened` is the state of the file that was opened at the path. Use this for files that may be links and whose
    content may be shown. The result is always empty for a process that does not run as root, because it can read only
    what its user can.
    """
    if os.geteuid() != 0:
        return ""
    for _ in range(_LINK_LIMIT):
        try:
            with SafeDirectory(path.parent) as directory:
                found, (owner, _), is_shared = directory.state(path.name), directory.owner, directory.is_shared
                is_link = stat.S_ISLNK(found.st_mode)
                target = os.readlink(path.name, dir_fd=directory.fd) if is_link else ""
        except UnsafePathError as error:
            return f"{error.filename}: {error.strerror}"
        except (FileNotFoundError, NotADirectoryError):
            return _EXCHANGED
        is_roots = owner == 0 and not is_shared
        if not (is_link and is_roots and found.st_uid == 0):
            break
        path = path.parent / target  # a link of root; its target may be another link
    # The file at the path may have been exchanged since it was opened.
    if not is_link and not os.path.samestat(found, opened):
        return _EXCHANGED
    culprit = found.st_uid if is_link else owner
    if opened.st_uid == culprit or (not is_link and (is_roots or opened.st_nlink <= 1)):
        return ""
    names = user_name(culprit), user_name(opened.st_uid)
    return f"expected a file of user {names[0]}, found a link to one of user {names[1]}; run this as {names[0]}"


def link_target(path: Path) -> Path | None:
    """Return the final target of the link at a path, even if it does not exist; None if the path is not a link.

    Root follows the link of another user only to directories of that user, and gets None otherwise.
    """
    if not path.is_symlink():
        return None
    if os.geteuid() != 0:
        return Path(os.path.realpath(path))
    for _ in range(_LINK_LIMIT):
        with SafeDirectory(path.parent) as directory:
            try:
                link = directory.state(path.name)
            except FileNotFoundError:
                return path
            if not stat.S_ISLNK(link.st_mode):
                return path
            target = path.parent / os.readlink(path.name, dir_fd=directory.fd)
            is_roots = directory.owner[0] == link.st_uid == 0 and not directory.is_shared
        if not is_roots:
            with SafeDirectory(target.parent) as directory:
                if directory.owner[0] != link.st_uid:
                    return None
        path = target
    return None


def place_of(error: OSError, path: Path) -> str:
    """Return the path to name in a message: the path at fault, or `path` itself for ordinary errors of its parents."""
    found = Path(error.filename or path)
    return str(path if found in path.parents and not isinstance(error, UnsafePathError) else found)


def user_name(uid: int) -> str:
    """Return the name of a user; the number if there is no name."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _walk(path: Path) -> int:
    """Open the directory at a path and return its descriptor."""
    here = Path("/" if path.is_absolute() else ".")
    # With O_PATH the directory need not be readable.
    fd = os.open(here, _WALK & ~os.O_NOFOLLOW)
    pending, links = [*reversed(_names(path))], 0
    try:
        while pending:
            name = pending.pop()
            with _named(here / name):
                try:
                    deeper = os.open(name, _WALK, dir_fd=fd)
                except NotADirectoryError:
                    target = _trusted_target(fd, here, name)
                    links += 1
                    if links > _LINK_LIMIT:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
                    pending += reversed(_names(target))
                    if not target.is_absolute():
                        continue
                    here, deeper = Path("/"), os.open("/", _WALK)
                else:
                    here /= name
            os.close(fd)
            fd = deeper
    except BaseException:
        os.close(fd)
        raise
    return fd


def _names(path: Path) -> list[str]:
    return [part for part in path.parts if part not in {"/", "//"}]


def _trusted_target(fd: int, here: Path, name: str) -> Path:
    """Return the target of a link in an open directory. Raise if a user besides root or this one may have made it."""
    link, directory = os.stat(name, dir_fd=fd, follow_symlinks=False), os.fstat(fd)
    if not stat.S_ISLNK(link.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    trusted = {0, os.geteuid()}
    # If an access control list allows others to write, the group bits show it, because they are its mask (acl(5)).
    if link.st_uid not in trusted or directory.st_uid not in trusted or directory.st_mode & 0o022:
        culprit = directory.st_uid if link.st_uid in trusted else link.st_uid
        raise UnsafePathError(
            here / name,
            f"expected a directory, found a symbolic link that user {user_name(culprit)} or others can change;"
            " name the directory itself",
        )
    return Path(os.readlink(name, dir_fd=fd))


def _refuse_odd(path: Path, state: os.stat_result, owners: set[int]) -> None:
    if not stat.S_ISREG(state.st_mode):
        found = _KINDS.get(stat.S_IFMT(state.st_mode), "something else")
        raise UnsafePathError(path, f"expected a regular file, found {found}; move it away")
    if state.st_nlink > 1:
        raise UnsafePathError(
            path,
            f"expected a file with one name, found one with {state.st_nlink} (hard links); move it away,"
            " or replace it by a copy",
        )
    if state.st_uid not in owners:
        expected = " or ".join(sorted(map(user_name, owners)))
        raise UnsafePathError(
            path,
            f"expected a file of user {expected}, found one of user {user_name(state.st_uid)};"
            f" run this as {user_name(state.st_uid)}, or move the file away",
        )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the whole path into errors of calls that were given only its last component."""
    try:
        yield
    except UnsafePathError:
        raise
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
