"""What several floors' tests share, as fixtures: waiting for a condition, files of a receiver, the service at work."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from tests.rig import zygote
from tests.rig.hanging_mount import HangingMount, MountUnavailable
from tests.rig.patience import LOOKING_S, PATIENCE_S, POLL_S, Patience, lift_timeouts
from tests.rig.properties import PROFILE
from tests.rig.service_process import Service, plain_environment
from tests.rig.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from fleet_health.sources.follower import Follower

__all__ = [  # the types of what the fixtures give
    "AsyncEventually",
    "DoWithout",
    "Eventually",
    "Finished",
    "Following",
    "HangingMount",
    "RunCommand",
    "Service",
    "Site",
    "StartAlteredService",
    "StartService",
]

hypothesis.settings.load_profile(PROFILE)

# Whoever runs the tests in the background ignores Ctrl-C; the commands that are tested must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.rig.fleets", "tests.rig.local_zone"]

T = TypeVar("T")


_SLOW_FIRST = (
    # The first waits for an installation, the second for the package, and the third for neither.
    *("machine/test_install_attacks.py", "machine/test_debian_package.py", "machine/test_units.py"),
    *("machine/test_install.py", "machine"),
    *("security/test_s04_clock_behind.py", "faults/test_g_hangs.py", "simulation", "bench", "cli/test_replay.py"),
    *("soak", "test_added_detector.py", "crash", "demo", "security", "faults", "cli", "service", "sources", "files"),
    "oracle",
)
"""The files and directories whose tests take long: what begins late and takes long is waited for by idle processors."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage neither while the tests are collected nor, later on, among what is kept of them.

    It is a million objects that stay until the end. Each look at all of them would take half a second, and a test that
    counts descriptors looks twice.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(here) if here in item.path.parents else item.path
        return next((rank for rank, name in enumerate(_SLOW_FIRST) if path.is_relative_to(name)), len(_SLOW_FIRST))

    items.sort(key=rank)  # stable


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Keep the product's timeouts from any test that does not set one itself."""
    lift_timeouts()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Where several processes share the tests, keep those of a file together."""
    return LoadFileScheduling(config, log)


_NOBODY = 65_534


class Eventually(Protocol):
    """Waits until a probe gives something true, and gives that."""

    def __call__(self, probe: Callable[[], T], what: str = "the condition") -> T:
        """Wait."""


class AsyncEventually(Protocol):
    """The same within a running loop."""

    async def __call__(self, probe: Callable[[], T], what: str = "the condition") -> T:
        """Wait."""


class StartAlteredService(Protocol):
    """Starts a service after some Python code."""

    def __call__(self, site: Site, code: str, *, is_first: bool = False) -> Service:
        """Start it.

        Args:
            site: Its site.
            code: The code.
            is_first: Whether the code must run before any module of the product is loaded. The timeouts of the product
                are then as usual, because lifting them loads its modules.

        """


class DoWithout(Protocol):
    """Skips a test for want of something; in CI, where nothing may be wanting, it fails."""

    def __call__(self, reason: str) -> NoReturn:
        """Skip or fail."""


class HasFollower(Protocol):
    """A test's own way to hold a follower, with what it has delivered."""

    @property
    def follower(self) -> Follower:
        """The follower."""


R = TypeVar("R", bound=HasFollower)


class Following(Protocol):
    """Lets a follower follow on its own for as long as a context lasts; closes it at the end."""

    def __call__(self, rig: R) -> contextlib.AbstractAsyncContextManager[R]:
        """Follow."""


class StartService(Protocol):
    """Starts a service for a site; it ends with the context."""

    def __call__(self, site: Site, **environment: str) -> Service:
        """Start."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line on stdout."""
        return self.stdout.splitlines()[-1] if self.stdout else ""

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Stdout, as JSON a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


class RunCommand(Protocol):
    """Runs `fleet-health` to its end."""

    def __call__(self, *arguments: str | Path) -> Finished:
        """Run."""


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Wait for a condition."""

    def wait(probe: Callable[[], T], what: str = "the condition") -> T:
        patience = Patience()
        while not (found := probe()):
            if not patience.is_left:
                pytest.fail(f"{what}: it did not come")
            time.sleep(POLL_S)
        return found

    return wait


@pytest.fixture(scope="session")
def async_eventually() -> AsyncEventually:
    """Wait for a condition, letting the loop run."""

    async def wait(probe: Callable[[], T], what: str = "the condition") -> T:
        patience = Patience()
        while not (found := probe()):
            if not patience.is_left:
                pytest.fail(f"{what}: it did not come")
            await asyncio.sleep(POLL_S)
        return found

    return wait


@pytest.fixture(scope="session")
def following() -> Following:
    """Follow in the background."""

    @contextlib.asynccontextmanager
    async def follow(rig: R) -> AsyncIterator[R]:
        task = asyncio.create_task(rig.follower.follow())
        try:
            yield rig
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await rig.follower.close()

    return follow


@pytest.fixture(scope="session")
def do_without() -> DoWithout:
    """Say that this machine cannot have what a test needs."""

    def skip(reason: str) -> NoReturn:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to have it: {reason}", pytrace=False)
        pytest.skip(reason)

    return skip


@pytest.fixture
def as_nobody(do_without: DoWithout) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Be an unprivileged user for as long as a context lasts."""
    if os.geteuid() != 0:
        do_without("only root can become somebody else")

    @contextlib.contextmanager
    def change() -> Iterator[None]:
        groups = os.getgroups()
        os.setgroups([])
        # The real ids too, for access(2) goes by them; the saved ones lead back.
        os.setresgid(_NOBODY, _NOBODY, 0)
        os.setresuid(_NOBODY, _NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)
            os.setgroups(groups)

    return change


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """Make a directory that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="fleet-health-test-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture
def small_disk(tmp_path: Path, do_without: DoWithout) -> Iterator[Path]:
    """Mount a disk of 16 KiB that can really be full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        do_without(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def hanging_mount(tmp_path: Path, do_without: DoWithout) -> Iterator[HangingMount]:
    """Mount a directory that can hang."""
    try:
        mount = HangingMount(tmp_path)
    except MountUnavailable as unavailable:
        do_without(str(unavailable))
    yield mount
    mount.close()


@pytest.fixture(scope="session")
def make_site() -> Iterator[Callable[[Path], Site]]:
    """Make sites; their journals are closed at the end."""
    sites: list[Site] = []

    def make(directory: Path) -> Site:
        sites.append(Site(directory))
        return sites[-1]

    yield make
    for one in sites:
        one.sync_journal()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A receiver's files, none of them there yet, and a configuration of defaults with a tick of 100 ms."""
    # What is alerted once an hour is alerted twice in a test that goes from one hour into the next.
    if (left_s := 3_600 - time.time() % 3_600) < LOOKING_S:
        time.sleep(left_s)
    one = Site(tmp_path)
    one.configure()
    yield one
    one.sync_journal()


@pytest.fixture(scope="session")
def start_service() -> StartService:
    """Start services as processes."""

    def start(site: Site, **environment: str) -> Service:
        return Service(site, environment)

    return start


@pytest.fixture(scope="session")
def start_altered_service() -> StartAlteredService:
    """Start services after some Python code: for what cannot be had otherwise, such as a part that hangs."""

    def start(site: Site, code: str, *, is_first: bool = False) -> Service:
        if not is_first:
            return Service(site, {}, prelude=code)
        program = f"import sys\n{code}\nfrom fleet_health.__main__ import main\nsys.exit(main())"
        return Service(site, {}, "-c", program)

    return start


@pytest.fixture(scope="session")
def run_command() -> RunCommand:
    """Run `fleet-health` with arguments, to its end."""

    def run(*arguments: str | Path) -> Finished:
        done = zygote.run([str(argument) for argument in arguments], env=plain_environment(), timeout=PATIENCE_S)
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def check(site: Site, run_command: RunCommand) -> RunCommand:
    """Run `fleet-health check` on the site."""
    return partial(run_command, "check", "--config", site.config)
