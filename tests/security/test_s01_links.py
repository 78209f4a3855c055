"""S1: links in a directory of somebody else lead neither root nor the service to another file. The attacks, as root."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.alerting.alert import Alert
from fleet_health.api.requests import Request, Response
from fleet_health.api.server import ControlSocket
from fleet_health.cli.plot.plot import draw
from fleet_health.detectors.spec import Finding
from fleet_health.errors import SinkUnavailable, SourceRefused
from fleet_health.files.safe_files import led_astray
from fleet_health.model.instant import isoformat
from fleet_health.records.alert_log import AlertLog
from fleet_health.replay.timeline import Timeline
from fleet_health.sources.index import tail
from tests.rig.site import index_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.conftest import DoWithout, Finished, RunCommand, Site, StartService

NOBODY, MALLORY = 65_534, 64_999
AT = 1_795_000_000_000_000
SCRIPT = "umask 022\n"


def alert(host: str = "a") -> Alert:
    """Make an alert."""
    return Alert(Finding(host, "silent", "no upload", "look there"), AT)


def tree(directory: Path) -> dict[str, tuple[Any, ...]]:
    """Return everything about the files of a directory that an attack could change."""
    found = {}
    for path in sorted([directory, *directory.rglob("*")]):
        state = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (state.st_mode, state.st_uid, state.st_gid, state.st_size, state.st_mtime_ns, content)
    return found


@pytest.fixture
def victim(public_directory: Path, do_without: DoWithout) -> Path:
    """Make a directory that is root's, as /etc/profile.d is."""
    if os.geteuid() != 0:
        do_without("only root can be attacked like this")
    directory = public_directory / "profile.d"
    directory.mkdir(mode=0o755)
    (directory / "site.sh").write_text(SCRIPT)
    return directory


@pytest.fixture
def receivers(public_directory: Path) -> Path:
    """Make the receiver's directory, which belongs to the receiver's user: to nobody."""
    directory = public_directory / "receiver"
    directory.mkdir(mode=0o755)
    os.chown(directory, NOBODY, NOBODY)
    return directory


@pytest.fixture
def strangers_site(public_directory: Path, receivers: Path, make_site: Callable[[Path], Site]) -> Site:
    """Configure an alert log in the receiver's directory; somebody has uploaded as a host with a hostile name."""
    inputs = public_directory / "inputs"
    inputs.mkdir()
    site = make_site(inputs)
    site.alerts = receivers / "alerts.jsonl"
    site.configure()
    site.upload("$(touch /tmp/owned)", minutes_ago=45)
    site.answer("$(touch${IFS}/tmp/owned)", 412, times=12)
    site.sync_journal()
    return site


def link(place: Path, target: Path) -> None:
    """Put a symbolic link of the receiver's user somewhere."""
    place.symlink_to(target)
    os.lchown(place, NOBODY, NOBODY)


ATTACKS: dict[str, Callable[[Path, Path], None]] = {
    "the alert log is a link to a script": lambda log, victim: link(log, victim / "site.sh"),
    "the alert log is a link to nothing yet": lambda log, victim: link(log, victim / "new.sh"),
    "the alert log is a hard link": lambda log, victim: os.link(victim / "site.sh", log),
    "the lock is a link": lambda log, victim: link(log.with_name(".alerts.jsonl.lock"), victim / "site.sh"),
    "the lock is a link to nothing yet": lambda log, victim: link(log.with_name(".alerts.jsonl.lock"), victim / "x"),
    "the lock is a hard link": lambda log, victim: os.link(victim / "site.sh", log.with_name(".alerts.jsonl.lock")),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.fault("S1", rig="second user")
def test_S1_check_as_root_writes_nowhere_else(
    attack: str, strangers_site: Site, victim: Path, run_command: RunCommand
) -> None:
    """Root runs `check`; no file outside of the receiver's directory is made, changed, or given away."""
    ATTACKS[attack](strangers_site.alerts, victim)
    before = tree(victim)

    done = run_command("check", "--config", strangers_site.config)

    assert tree(victim) == before
    assert done.status == 1
    assert "The alert log cannot be written" in done.stderr
    assert "expected " in done.stderr


@pytest.mark.fault("S1", rig="second user")
@pytest.mark.parametrize("levels", ["the directory", "its parent"])
def test_S1_check_as_root_does_not_enter_a_directory_over_a_strangers_link(
    levels: str, strangers_site: Site, receivers: Path, victim: Path, run_command: RunCommand
) -> None:
    """Whoever owns a directory can put a link in the place of any below it."""
    (victim / "deeper").mkdir()
    before = tree(victim)
    link(receivers / "logs", victim)
    directory = receivers / "logs" if levels == "the directory" else receivers / "logs" / "deeper"
    strangers_site.configure(alerts=directory / "alerts.jsonl")

    done = run_command("check", "--config", strangers_site.config)

    assert tree(victim) == before
    assert done.status == 1
    assert f"{receivers}/logs: expected a directory, found a symbolic link that user nobody" in done.stderr


@pytest.mark.fault("S1", rig="second user")
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_S1_check_as_root_becomes_the_owner_of_the_directory(
    options: tuple[str, ...], strangers_site: Site, receivers: Path, run_command: RunCommand
) -> None:
    """Without an attack it writes there, as the user to whom the directory belongs, and with its evidence."""
    done = run_command("check", "--config", strangers_site.config, *options)

    assert (done.status, "Traceback" in done.stderr) == (0, False)
    if options:
        assert list(receivers.iterdir()) == []
        return
    rows = {row["symptom"]: row for row in strangers_site.alert_rows()}
    assert set(rows) == {"silent", "fatal-only"}
    assert len(rows["fatal-only"]["samples"]) == 3
    assert {(path.name, path.stat().st_uid, path.stat().st_gid) for path in receivers.iterdir()} == {
        ("alerts.jsonl", NOBODY, NOBODY),
        (".alerts.jsonl.lock", NOBODY, NOBODY),
    }


@pytest.mark.fault("S1", rig="second user")
def test_S1_root_in_a_directory_for_all_writes_no_file_of_another(
    public_directory: Path, strangers_site: Site, run_command: RunCommand
) -> None:
    """In one like /tmp, root stays root, and refuses what somebody else has put there first."""
    shared = public_directory / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for name in ("alerts.jsonl", ".alerts.jsonl.lock"):
        log = shared / name
        log.touch()
        os.chown(log, NOBODY, NOBODY)
        strangers_site.configure(alerts=shared / "alerts.jsonl")

        done = run_command("check", "--config", strangers_site.config)

        assert done.status == 1
        assert f"{log}: expected a file of user root, found one of user nobody" in done.stderr
        assert log.read_bytes() == b""
        log.unlink()
        (shared / ".alerts.jsonl.lock").unlink(missing_ok=True)
        (shared / "alerts.jsonl").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda log, other: log.symlink_to(other), id="link"),
        pytest.param(lambda log, other: os.link(other, log), id="hard link"),
        pytest.param(lambda log, other: log.with_name("alerts.jsonl.1").symlink_to(other), id="rotated link"),
        pytest.param(lambda log, _: os.mkfifo(log), id="FIFO"),
        pytest.param(lambda log, _: log.mkdir(), id="directory"),
        pytest.param(lambda log, _: log.symlink_to(log), id="link to itself"),
        pytest.param(lambda log, _: log.symlink_to("/dev/zero"), id="link to a device"),
        pytest.param(lambda log, _: os.mknod(log, stat.S_IFCHR | 0o666, os.makedev(1, 5)), id="device"),
        pytest.param(lambda log, _: _bind(log), id="socket"),
    ],
)
@pytest.mark.fault("S1", rig="second user")
def test_S1_the_service_writes_to_no_file_that_another_has_chosen(
    attack: Callable[[Path, Path], object],
    receivers: Path,
    public_directory: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    """In a directory where others can write too; nor does it read alerts out of such a file, nor hang."""
    os.chown(receivers, MALLORY, MALLORY)
    receivers.chmod(0o777)
    own = public_directory / "own"
    own.mkdir()
    other = own / "state.json"
    other.write_text(json.dumps(alert("victim").row()) + "\n")
    for path in (own, other):
        os.chown(path, NOBODY, NOBODY)
    before = tree(own)
    log = receivers / "alerts.jsonl"
    attack(log, other)

    with as_nobody():
        if log.is_symlink() or log.exists():
            for use in (lambda: AlertLog(log).append([alert("victim")]), lambda: AlertLog(log).recent_keys(AT)):
                with pytest.raises(
                    SinkUnavailable, match=r"alerts\.jsonl: expected a (regular file|file with one name)"
                ):
                    use()
        else:
            assert AlertLog(log).recent_keys(AT) == []  # a rotated file is skipped, and does not suppress an alert
            assert AlertLog(log).append([alert("victim")]) == [alert("victim")]

    assert tree(own) == before


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.fault("S1", rig="second user")
def test_S1_a_parent_that_becomes_a_link_while_the_service_runs_is_noticed(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """What was safe at the start need not stay so."""
    mallorys, own = public_directory / "mallorys", public_directory / "own"
    logs = mallorys / "logs"
    logs.mkdir(parents=True)
    own.mkdir()
    (own / "alerts.jsonl").touch()
    os.chown(mallorys, MALLORY, MALLORY)
    for path in (logs, own, own / "alerts.jsonl"):
        os.chown(path, NOBODY, NOBODY)
    with as_nobody():
        log = AlertLog(logs / "alerts.jsonl", is_service=True)
        log.append([alert("before")])
    logs.rename(mallorys / "moved")
    logs.symlink_to(own)
    os.lchown(logs, MALLORY, MALLORY)
    before = tree(own)

    with as_nobody():
        with pytest.raises(SinkUnavailable, match=rf"{logs}: expected a directory, found a symbolic link that user"):
            log.append([alert("after")])
        log.close()

    assert tree(own) == before


@pytest.mark.fault("S1", rig="service")
def test_S1_a_reload_to_a_link_is_refused(victim: Path, site: Site, start_service: StartService) -> None:
    """The alert log that it has stays in force, and takes the next alerts."""
    before = tree(victim)
    moved = site.directory / "moved.jsonl"
    moved.symlink_to(victim / "site.sh")
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        site.configure(alerts=moved)
        service.reload()
        assert f"{moved}: expected a regular file, found a symbolic link" in service.notify.status
        site.answer("another", 412, times=12)
        site.sync_journal()
        service.until(lambda: ("another", "fatal-only") in site.alerted(), "another alert")

    assert tree(victim) == before


@pytest.mark.parametrize("name", ["silences.json", "silences.new", "silences.lock"])
@pytest.mark.parametrize("kind", ["link", "link to nothing yet", "hard link"])
@pytest.mark.fault("S1", rig="second user")
def test_S1_silence_as_root_writes_nowhere_else(  # noqa: PLR0917 - fixtures
    name: str, kind: str, public_directory: Path, victim: Path, strangers_site: Site, run_command: RunCommand
) -> None:
    """Whoever owns the state directory, the service's user, gains nothing of root; and owns what is written there."""
    state = public_directory / "inputs" / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    if kind == "hard link":
        os.link(victim / "site.sh", state / name)
    else:
        link(state / name, victim / ("site.sh" if kind == "link" else "new.sh"))
    before = tree(victim)

    done = run_command("silence", "a", "--for", "1h", "--reason", "x", "--config", strangers_site.config)

    assert tree(victim) == before
    assert (done.status == 0) == (name == "silences.new"), done.stderr
    if done.status == 0:
        assert {path.name: path.stat().st_uid for path in state.iterdir()} == {
            "silences.json": NOBODY,
            "silences.lock": NOBODY,
        }
    else:
        assert "expected a " in done.stderr


@pytest.mark.parametrize("name", ["week.svg", "week.svg.new"])
@pytest.mark.fault("S1", rig="second user")
def test_S1_a_plot_replaces_a_link(name: str, receivers: Path, victim: Path) -> None:
    """Root draws into the directory of another: the link goes, what it leads to stays."""
    link(receivers / name, victim / "site.sh")
    before = tree(victim)

    draw([Timeline(AT, AT + 3_600_000_000, bins=4)], receivers / "week.svg")

    assert tree(victim) == before
    assert [(path.name, path.is_symlink()) for path in receivers.iterdir()] == [("week.svg", False)]


async def nobody_asks(_request: Request) -> Response:
    """Answer nothing."""
    return Response(200, b"")


@pytest.mark.fault("S1", rig="second user")
async def test_S1_the_mode_of_the_control_socket_is_given_to_nothing_else(
    receivers: Path,
    public_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    """Somebody who can write its directory exchanges the new socket for a link, just when its mode is to be set."""
    os.chown(receivers, MALLORY, MALLORY)
    receivers.chmod(0o777)  # noqa: ASYNC240 - nothing else runs
    secret = public_directory / "secret"
    os.close(os.open(secret, os.O_CREAT, 0o600))
    os.chown(secret, NOBODY, NOBODY)
    listen = socket.socket.bind

    def bind_and_lose(self: socket.socket, address: str) -> None:
        listen(self, address)
        place = receivers / address.rpartition("/")[2]
        place.unlink()
        place.symlink_to(secret)

    monkeypatch.setattr("socket.socket.bind", bind_and_lose)
    control = ControlSocket(nobody_asks)
    with as_nobody():
        await control.open(receivers / "control.sock")

    assert secret.stat().st_mode & 0o777 == 0o600
    assert "expected our own socket, found something else" in control.problem


@pytest.mark.fault("S1", rig="second user")
def test_S1_root_asks_no_socket_that_a_link_leads_to(
    receivers: Path, public_directory: Path, strangers_site: Site, run_command: RunCommand
) -> None:
    """Such as that of another daemon, which takes root's word for an order."""
    other = public_directory / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(other))
        listener.listen()
        listener.settimeout(0)
        link(receivers / "control.sock", other)
        config = strangers_site.config.read_text()
        strangers_site.config.write_text(
            "\n".join(line for line in config.splitlines() if not line.startswith("control."))
            + f"\ncontrol.path = {json.dumps(str(receivers / 'control.sock'))}\n"
        )

        done = run_command("status", "--config", strangers_site.config)

        with pytest.raises(BlockingIOError):
            listener.accept()
    assert done.status == 4
    assert "expected a socket, found a symbolic link" in done.stderr


@pytest.mark.parametrize("kind", ["link", "hard link", "link at its directory"])
@pytest.mark.fault("S1", rig="second user")
def test_S1_root_lends_nobody_its_eyes(
    kind: str, receivers: Path, public_directory: Path, strangers_site: Site, run_command: RunCommand
) -> None:
    """The index is a link to what only root can read: `check` quotes nothing of it, neither on stderr nor in a file."""
    private = public_directory / "private"
    private.mkdir(mode=0o700)
    (private / "index.jsonl").write_text("root:$y$j9T$secret:19000::::::\n")
    index = receivers / "index.jsonl"
    if kind == "link":
        link(index, private / "index.jsonl")
    elif kind == "hard link":
        os.link(private / "index.jsonl", index)
    else:
        link(receivers / "data", private)
        index = receivers / "data" / "index.jsonl"

    strangers_site.configure(index=index)
    done = run_command("check", "--config", strangers_site.config)

    assert done.status == 2
    assert "secret" not in done.stderr + done.stdout
    assert f"{index}: " in done.stderr


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.fault("S1", rig="second user", says="the index is a link to nothing, beside a rotated file of root")
def test_S1_root_looks_for_rotated_files_only_where_the_links_owner_is_at_home(
    receivers: Path, public_directory: Path, strangers_site: Site, run_command: RunCommand, *, chain: bool
) -> None:
    """Beside the target of a link, rotated files are read if the directory is that user's own, and else not."""
    private, index = public_directory / "private", receivers / "index.jsonl"
    private.mkdir(mode=0o700)
    (private / "index.jsonl.1").write_bytes(b"root:secret\n" + index_row("roots", AT))
    home = receivers / "home"
    home.mkdir()
    own = home / "index.jsonl.1"
    own.write_bytes(index_row("own", AT))
    for path in (home, own):
        os.chown(path, NOBODY, NOBODY)
    link(index, home / "index.jsonl" if chain else private / "index.jsonl")
    if chain:
        link(home / "index.jsonl", private / "index.jsonl")
    strangers_site.configure(index=index)
    at = ("--now", isoformat(AT + 60_000_000), "--json", "--dry-run", "--log-level", "debug")
    done = run_command("check", "--config", strangers_site.config, *at)
    (index if not chain else home / "index.jsonl").unlink()
    link(index, home / "index.jsonl") if not chain else None
    done_at_home = run_command("check", "--config", strangers_site.config, *at)

    assert "secret" not in done.stdout + done.stderr
    assert done.status == 2
    assert json.loads(done_at_home.stdout.splitlines()[-1])["hosts_checked"] == 1


class Exchanging:
    """Somebody who exchanges what is at two paths, as soon as the one has been looked at, and again and again."""

    def __init__(self, one: Path, other: Path) -> None:
        self.one, self.other = one, other

    def __call__(self) -> None:
        """Exchange them."""
        spare = self.one.with_name("spare")
        self.one.rename(spare)
        self.other.rename(self.one)
        spare.rename(self.other)


@pytest.mark.parametrize("kind", ["a file", "nothing", "a directory of root"])
@pytest.mark.fault("S1", rig="second user")
def test_S1_a_link_that_is_exchanged_after_it_was_followed_leads_nowhere(
    kind: str, receivers: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands at the path when it is looked at is good, and not what was opened."""
    (receivers / "data").mkdir()
    index, good = receivers / "data" / "index.jsonl", receivers / "good"
    link(index, victim / "site.sh")
    if kind == "a file":
        good.write_text("{}\n")
        os.chown(good, NOBODY, NOBODY)
        exchange: Callable[[], object] = Exchanging(index, good)
    elif kind == "nothing":
        exchange = lambda: index.rename(good) if index.is_symlink() else None  # noqa: E731
    else:
        os.chown(receivers / "data", NOBODY, NOBODY)
        good.mkdir()
        (good / "index.jsonl").write_text("{}\n")
        exchange = Exchanging(receivers / "data", good)

    def exchanged(path: Path, opened: os.stat_result) -> str:
        exchange()
        return led_astray(path, opened)

    monkeypatch.setattr(tail, "led_astray", exchanged)

    with pytest.raises(SourceRefused, match=f"{index}: expected a file that stays in place"):
        tail.Tail(index).read()


@pytest.mark.fault("S1", rig="second user")
def test_S1_a_link_of_root_to_a_strangers_link_leads_nowhere(receivers: Path, victim: Path) -> None:
    """Root trusts its own link, and not what it leads to."""
    (victim / "index.jsonl").symlink_to(receivers / "index.jsonl")
    link(receivers / "index.jsonl", victim / "site.sh")

    with pytest.raises(SourceRefused, match="found a link to one of user root; run this as nobody"):
        tail.Tail(victim / "index.jsonl").read()


@pytest.mark.fault("S1", rig="second user")
def test_S1_what_is_no_file_is_not_even_opened(receivers: Path, victim: Path) -> None:
    """To open a device, such as a watchdog, does something; and whoever waits at a FIFO of root's would go on."""
    os.mkfifo(victim / "fifo", 0o600)
    link(receivers / "index.jsonl", victim / "fifo")
    writer = subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True); open({str(victim / 'fifo')!r}, 'wb')"], stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(20):
            with pytest.raises(SourceRefused):
                tail.Tail(receivers / "index.jsonl").read()
            time.sleep(0.02)
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.communicate()


@pytest.mark.fault("S1", rig="second user")
def test_S1_an_index_that_is_the_receivers_own_link_is_read(
    receivers: Path, strangers_site: Site, run_command: RunCommand
) -> None:
    """The path may be a link that is swapped (B11), as long as it leads to a file of whoever made it."""
    own = receivers / "index-2026.jsonl"
    own.write_bytes(strangers_site.index.read_bytes())
    os.chown(own, NOBODY, NOBODY)
    link(receivers / "index.jsonl", own)
    strangers_site.configure(index=receivers / "index.jsonl")

    done = run_command("check", "--dry-run", "--config", strangers_site.config)

    assert done.status == 0
    assert "silent" in done.stdout


DROP = """
import os, sys
from pathlib import Path
from fleet_health.cli.privileges import become_owner_of
become_owner_of(Path(sys.argv[1]))
for way_back in (lambda: os.setresuid(-1, 0, -1), lambda: os.setgroups([0]), lambda: os.setresgid(-1, 0, -1)):
    try:
        way_back()
        sys.exit("there is a way back")
    except PermissionError:
        pass
print(*os.getresuid(), *os.getresgid(), 0 in os.getgroups())
"""


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        pytest.param((NOBODY, NOBODY), f"{NOBODY} {NOBODY} {NOBODY} {NOBODY} {NOBODY} {NOBODY} False", id="a user"),
        pytest.param((54_321, 54_322), "54321 54321 54321 54322 54322 54322 False", id="a user without a name"),
        pytest.param((54_321, 0), f"54321 54321 54321 {NOBODY} {NOBODY} {NOBODY} False", id="never the group of root"),
    ],
)
@pytest.mark.fault("S1", rig="second user")
def test_S1_root_is_given_up_for_good(
    owner: tuple[int, int], expected: str, public_directory: Path, do_without: DoWithout
) -> None:
    """All ids and groups are the owner's, and nothing leads back."""
    if os.geteuid() != 0:
        do_without("only root can give up root")
    directory = public_directory / "owned"
    directory.mkdir()
    os.chown(directory, *owner)

    done = subprocess.run([sys.executable, "-c", DROP, directory], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == (expected, "")


@pytest.mark.fault("S1", rig="a real shell")
def test_S1_a_shell_obeys_nothing_in_the_alert_log(tmp_path: Path, site: Site, check: Callable[..., Finished]) -> None:
    """Should the alert log, or our own log, be fed to a shell after all, what strangers wrote in it stays text."""
    owned = tmp_path / "owned"
    commands = [
        f"$(touch {owned})",
        f"`touch {owned}`",
        f"; touch {owned} ;",
        f"\ntouch {owned}\n",
        f"| touch {owned} #",
    ]
    for number, command in enumerate(commands):
        for _ in range(12):
            # What a trusted proxy's X-Forwarded-For held stands before the request.
            client = command.replace("\n", "")
            site.journal.append(f'INFO:     {client}:0 - "PUT /v1/episodes/h{number}/e HTTP/1.1" 412')
        site.answer(command.replace("/", "_"), 412, times=12)
    site.sync_journal()
    site.upload(*commands, minutes_ago=45)
    with site.index.open("a") as index:
        index.writelines(f"not a row {command}\n" for command in reversed(commands))
    raw = tmp_path / "raw"
    raw.write_text(f'{{"sample": "{commands[0]}"}}\n')

    done = check("--log-level", "debug")
    log = tmp_path / "log"
    log.write_text(done.stderr)

    assert any(row.get("samples") for row in site.alert_rows())
    assert "latest" in done.stderr
    for fed in (site.alerts, log):
        subprocess.run(["sh", fed], capture_output=True, check=False)
        subprocess.run(
            ["sh", "-c", f'while read -r line; do eval "echo $line"; done < {fed}'], capture_output=True, check=False
        )
        assert not owned.exists(), fed
    subprocess.run(["sh", raw], capture_output=True, check=False)
    assert owned.exists()  # the control: this is how it would have happened


def bytes_read() -> int:
    """Return how much this process has read so far, by the kernel's count."""
    (line,) = [line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar: ")]
    return int(line.split()[1])


@pytest.mark.fault("S1", rig="files", says="an alert log with a hole of gigabytes")
def test_S1_a_huge_hole_in_the_alert_log_holds_no_alert_up(tmp_path: Path) -> None:
    """Whoever owns the directory can make one at once. What is read of it is bounded, and the rows behind it count."""
    log = AlertLog(tmp_path / "alerts.jsonl")
    with log.path.open("wb") as file:
        file.truncate(2 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + json.dumps(alert().row()).encode() + b"\n")
    before = bytes_read()

    given = log.recent_keys(AT)

    assert [at for _, at in given] == [AT]
    assert bytes_read() - before < 80 << 20
