"""The alert log: on real files, disks that are really full, and beside other real processes."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.alert import Alert, dedup_key
from fleet_health.detectors.spec import Finding
from fleet_health.errors import SinkTaken, SinkUnavailable
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.model.instant import HOUR_US
from fleet_health.records import log_lock
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.log_lock import BATCH, LogLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

NOBODY = 65_534
AT = 1_795_000_000_000_000 // HOUR_US * HOUR_US + 1_000_000


def alert(host: str = "a", symptom: str = "silent", *, at: int = AT, detail: str = "no upload for 31 min") -> Alert:
    """Make an alert."""
    return Alert(Finding(host, symptom, detail, "look there"), at)


def hosts(path: Path) -> list[str]:
    """Read the host of each row."""
    return [json.loads(line)["host"] for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the alert log is; not there yet."""
    return tmp_path / "alerts.jsonl"


@pytest.fixture
def log(path: Path) -> AlertLog:
    """The alert log."""
    return AlertLog(path)


def test_an_alert_is_a_row_with_six_keys(log: AlertLog, path: Path) -> None:
    """Other programs rely on these keys and their form."""
    one = alert("pi-01")

    assert log.append([one]) == [one]
    assert path.read_bytes().endswith(b"\n")
    assert json.loads(path.read_bytes()) == {
        "host": "pi-01",
        "symptom": "silent",
        "detail": "no upload for 31 min",
        "suggested_fix": "look there",
        "detected_at_wall": "2026-11-18T11:00:01+00:00",
        "dedup_key": dedup_key("pi-01", "silent", AT),
    }


def test_rows_are_strict_json_in_one_line(log: AlertLog, path: Path) -> None:
    """Newlines, quotes and line separators in a text stay within the row."""
    detail = 'a\nb "c" \\ \u2028 \x00 grün'
    log.append([alert(detail=detail)])
    (line,) = path.read_bytes().split(b"\n")[:-1]

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    assert json.loads(line, parse_constant=refuse)["detail"] == detail


def test_a_batch_is_appended_to_what_is_there(log: AlertLog, path: Path) -> None:
    """Earlier rows stay, and the new ones keep their order."""
    log.append([alert("a")])
    log.append([alert("b"), alert("c")])

    assert hosts(path) == ["a", "b", "c"]


def test_nothing_to_append_touches_nothing(log: AlertLog, path: Path) -> None:
    """Without alerts no file is created."""
    assert log.append([]) == []
    assert not path.exists()


def test_an_alert_is_written_once_in_its_hour(log: AlertLog, path: Path) -> None:
    """A key that the file already has is not written again until the next hour."""
    later, next_hour = alert("a", at=AT + 60_000_000), alert("a", at=AT + HOUR_US)

    assert log.append([alert("a"), alert("b")]) == [alert("a"), alert("b")]
    assert log.append([later, alert("c", at=AT + 60_000_000)]) == [alert("c", at=AT + 60_000_000)]
    assert log.append([next_hour]) == [next_hour]
    assert hosts(path) == ["a", "b", "c", "a"]


def test_a_key_under_another_hour_suppresses_nothing(log: AlertLog, path: Path) -> None:
    """A row written by hand, or by a wrong clock, suppresses no alert."""
    row = alert("a").row()
    for moment in ("2026-11-18T10:59:59+00:00", "2026-11-18T12:00:00+00:00", "2036-01-01T00:00:00+00:00"):
        with path.open("a") as file:
            file.write(json.dumps(row | {"detected_at_wall": moment}) + "\n")

    assert log.append([alert("a")]) == [alert("a")]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        pytest.param("2026-11-18T12:00:01+01:00", [], id="the same hour with another offset suppresses"),
        pytest.param("2026-11-18T11:00:01+01:00", [alert("a")], id="the hour is counted in UTC"),
        pytest.param("2026-11-18T11:00:01", [alert("a")], id="a time without offset says nothing"),
    ],
)
def test_the_hour_is_the_utc_one(moment: str, expected: list[Alert], log: AlertLog, path: Path) -> None:
    """Whatever offset a row has."""
    path.write_text(json.dumps(alert("a").row() | {"detected_at_wall": moment}) + "\n")

    assert log.append([alert("a")]) == expected


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"not JSON\n", id="text"),
        pytest.param(b"\xff\xfe\x00\n", id="no UTF-8"),
        pytest.param(b"\0" * 5_000 + b"\n", id="NUL bytes"),
        pytest.param(b"{}\n[]\nnull\n1e999\n", id="JSON of other kinds"),
        pytest.param(b"[" * 100_000 + b"\n", id="nesting without end"),
        pytest.param(b'{"dedup_key": 7, "detected_at_wall": null}\n', id="wrong types"),
        pytest.param(b'{"dedup_key": "x", "detected_at_wall": "yesterday"}\n', id="no time"),
        pytest.param(b'{"dedup_key": "x", "detected_at_wall": "9999-12-31T23:59:59-23:59"}\n', id="a time beyond all"),
        pytest.param(b'{"dedup_key": "x", "detected_at_wall": "0001-01-01T00:00:00+23:59"}\n', id="a time before all"),
        pytest.param(b"\n\n\r\n", id="blank lines"),
        pytest.param(b"x" * 3_000_000 + b"\n", id="3 MB in one line"),
    ],
)
def test_garbage_never_stops_an_alert(garbage: bytes, log: AlertLog, path: Path) -> None:
    """Lines that are not rows are skipped and kept; the rows around them count."""
    log.append([alert("a")])
    with path.open("ab") as file:
        file.write(garbage)

    assert log.append([alert("a"), alert("b")]) == [alert("b")]
    assert sorted(key for key, _ in log.recent_keys(AT)) == sorted(alert(host).dedup_key for host in "ab")
    assert garbage in path.read_bytes()


def test_an_unfinished_last_line_is_ended_first(log: AlertLog, path: Path) -> None:
    """After a writer was killed in the middle of a line, the next row begins a line of its own."""
    path.write_bytes(b'{"host": "to')
    log.append([alert("a")])
    torn, row = path.read_bytes().splitlines()

    assert torn == b'{"host": "to'
    assert json.loads(row)["host"] == "a"


def test_a_last_row_without_newline_still_counts(log: AlertLog, path: Path) -> None:
    """A whole row that lacks only its newline was written."""
    path.write_text(json.dumps(alert("a").row()))

    assert log.append([alert("a"), alert("b")]) == [alert("b")]
    assert hosts(path) == ["a", "b"]


def test_what_was_given_this_hour_is_read_back(log: AlertLog, path: Path) -> None:
    """All keys of this hour, whatever the file's size; earlier keys may be missing."""
    old = [alert(f"old-{number}", at=AT - 26 * HOUR_US + number * 1_000_000) for number in range(7_000)]
    path.write_bytes(b"".join(json.dumps(one.row()).encode() + b"\n" for one in old))
    recent = [alert(f"new-{number}", at=AT + number) for number in range(3)]
    for one in recent:
        log.append([one])
    given = log.recent_keys(AT + 60_000_000)

    assert path.stat().st_size > 1 << 20
    assert given[-3:] == [(one.dedup_key, one.detected_at) for one in recent]
    assert len(given) < 3_500  # entered by bisection


@pytest.mark.parametrize("name", ["alerts.jsonl.1", "alerts.jsonl-20261118", "alerts.jsonl.old"])
def test_what_was_rotated_away_this_hour_still_counts(name: str, log: AlertLog, path: Path) -> None:
    """Rotation by rename causes no second alert."""
    log.append([alert("a")])
    path.rename(path.with_name(name))

    assert log.append([alert("a"), alert("b")]) == [alert("b")]
    assert hosts(path) == ["b"]
    assert sorted(key for key, _ in log.recent_keys(AT)) == sorted(alert(host).dedup_key for host in "ab")


def test_a_copy_that_was_truncated_still_counts(log: AlertLog, path: Path) -> None:
    """Rotation by copytruncate causes no second alert either."""
    log.append([alert("a")])
    path.with_name("alerts.jsonl.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)

    assert log.append([alert("a"), alert("b")]) == [alert("b")]


@pytest.mark.parametrize("name", ["alerts.jsonl.1.gz", "alerts.jsonl.1.xz", "alerts.jsonl.d", "alerts.jsonl.lnk"])
def test_odd_neighbours_are_no_obstacle(name: str, log: AlertLog, path: Path) -> None:
    """A compressed file, a directory or a dangling link beside the log stops no alert."""
    neighbour = path.with_name(name)
    match neighbour.suffix:
        case ".d":
            neighbour.mkdir()
        case ".lnk":
            neighbour.symlink_to("nothing")
        case _:
            neighbour.write_bytes(b"\x1f\x8b\0")

    assert log.append([alert("a")]) == [alert("a")]


def test_a_neighbour_that_may_not_be_read_is_no_obstacle(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """An administrator's private copy beside the log stops no alert."""
    path = public_directory / "alerts.jsonl"
    os.chown(public_directory, NOBODY, NOBODY)
    copy = path.with_name("alerts.jsonl.bak")
    copy.touch()
    copy.chmod(0o600)

    with as_nobody():
        assert AlertLog(path).append([alert("a")]) == [alert("a")]
    assert hosts(path) == ["a"]


def test_the_file_at_the_path_is_the_one_that_is_written(log: AlertLog, path: Path) -> None:
    """After a rotation the next batch creates a new file."""
    log.append([alert("a")])
    path.rename(path.with_name("elsewhere"))
    log.append([alert("b")])

    assert [hosts(path.with_name("elsewhere")), hosts(path)] == [["a"], ["b"]]


def test_a_relative_path_is_relative_to_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `check --alerts-path` takes it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    for name in ("alerts.jsonl", "logs/alerts.jsonl", "logs/../other.jsonl"):
        log = AlertLog(type(tmp_path)(name))
        assert log.append([alert("a")]) == [alert("a")]
        assert log.append([alert("a")]) == []
        assert hosts(tmp_path / name) == ["a"]


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    """The name of its lock file is even longer."""
    for length in (250, 255, 300):
        with pytest.raises(SinkUnavailable, match="File name too long"):
            AlertLog(tmp_path / ("x" * length)).probe()


def test_the_lock_file_is_no_rotated_log(log: AlertLog) -> None:
    """Its name begins with a dot, so logrotate ignores it as well."""
    log.append([alert("a")])
    log.lock_path.write_text(json.dumps(alert("b").row()) + "\n")

    assert [key for key, _ in log.recent_keys(AT)] == [alert("a").dedup_key]


def test_a_full_disk_takes_all_of_a_batch_or_nothing(small_disk: Path) -> None:
    """A partial write is undone, and the same alerts are written once there is room."""
    path = small_disk / "alerts.jsonl"
    log = AlertLog(path)
    log.append([alert("a")])
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        file.write(b"x" * (3 * 4096))  # the log's own page is the fourth, and takes the batch's beginning
    before = path.read_bytes()
    batch = [alert("b", detail="x" * 3_000), alert("c", detail="x" * 3_000)]

    # The control: this disk does tear a write.
    with path.open("ab", buffering=0) as file:
        torn = file.write(b"y" * 6_000)
    os.truncate(path, len(before))
    assert 0 < torn < 6_000

    with pytest.raises(SinkUnavailable, match=r"alerts.jsonl: (the disk is full|No space left on device)"):
        log.append(batch)
    assert path.read_bytes() == before
    filler.unlink()
    assert log.append(batch) == batch
    assert hosts(path) == ["a", "b", "c"]


def test_a_disk_mounted_read_only_is_said(small_disk: Path) -> None:
    """With the system's reason; the alerts are written once it is writable."""
    log = AlertLog(small_disk / "alerts.jsonl")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for attempt in (log.probe, lambda: log.append([alert("a")])):
        with pytest.raises(SinkUnavailable, match=r"\.alerts\.jsonl\.lock: Read-only file system"):
            attempt()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)

    assert log.append([alert("a")]) == [alert("a")]


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    """It is not created, because its owner is not known."""
    log = AlertLog(tmp_path / "missing" / "alerts.jsonl")
    for attempt in (log.probe, lambda: log.append([alert("a")])):
        with pytest.raises(SinkUnavailable, match=r"missing/alerts.jsonl: No such file or directory"):
            attempt()

    assert log.recent_keys(AT) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "FIFO", "device"])
def test_what_is_not_a_regular_file_is_refused(kind: str, log: AlertLog, path: Path) -> None:
    """No alert goes where it will not be found, and nothing hangs."""
    match kind:
        case "directory":
            path.mkdir()
        case "FIFO":
            os.mkfifo(path)
        case _:
            path.symlink_to("/dev/null")

    with pytest.raises(SinkUnavailable, match=r"alerts.jsonl: (expected a regular file|Is a directory)"):
        log.append([alert("a")])
    with pytest.raises(SinkUnavailable):
        log.probe()


def test_a_log_that_may_not_be_written_is_said(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """The error has the path."""
    path = public_directory / "alerts.jsonl"
    path.touch()
    lock = path.with_name(".alerts.jsonl.lock")
    lock.touch(mode=0o600)
    os.chown(lock, NOBODY, NOBODY)
    with as_nobody(), pytest.raises(SinkUnavailable, match=r"alerts.jsonl: Permission denied"):
        AlertLog(path).append([alert("a")])
    lock.unlink()
    with as_nobody(), pytest.raises(SinkUnavailable, match=r"Permission denied; user nobody needs a lock file there"):
        AlertLog(path).append([alert("a")])

    assert path.read_bytes() == b""


def test_probing_changes_nothing(log: AlertLog, path: Path) -> None:
    """The rows stay as they are."""
    log.append([alert("a")])
    before = path.read_bytes()
    log.probe()

    assert path.read_bytes() == before


def test_a_lock_that_is_kept_is_given_up_on(log: AlertLog, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that keeps the lock delays us by some seconds, not for ever."""
    monkeypatch.setattr("fleet_health.files.lock_wait.PATIENCE_S", 0.1)
    with path.with_name(".alerts.jsonl.lock").open("wb") as file:
        # As the log does it: of the open file, for this very process holds it here.
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        with pytest.raises(SinkUnavailable, match="another process has held its lock"):
            log.append([alert("a")])

    assert log.append([alert("a")]) == [alert("a")]


WRITER = """
import sys
from pathlib import Path
from fleet_health.alerting.alert import Alert
from fleet_health.detectors.spec import Finding
from fleet_health.records.alert_log import AlertLog

log, count = AlertLog(Path(sys.argv[1])), 0
print("ready", flush=True)
sys.stdin.readline()
for batch in range(30):
    alerts = [Alert(Finding(f"h{batch}-{n}", "silent", "x" * 200, "y"), int(sys.argv[2]) + batch) for n in range(5)]
    count += len(log.append(alerts))
print(count)
"""


def test_two_writers_at_once_write_each_alert_once(path: Path) -> None:
    """A service and a `check` with the same alerts at the same time."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(AT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    counts = [int(writer.communicate()[0]) for writer in writers]
    written = [json.loads(line)["dedup_key"] for line in path.read_bytes().splitlines()]

    assert sum(counts) == 150
    assert len(written) == len(set(written)) == 150


def test_what_returns_after_its_resolution_is_written_with_the_same_key(log: AlertLog, path: Path) -> None:
    """Alerts up to the resolution belong to another incident; two writers still write the new one once."""
    first = alert(at=AT)
    back = replace(alert(at=AT + 30), after=AT + 20)

    assert log.append([first]) == [first]
    assert log.append([replace(alert(at=AT + 10), after=AT - 1)]) == []
    assert log.append([back]) == [back]
    assert AlertLog(path).append([replace(back, detected_at=AT + 40)]) == []
    assert hosts(path) == ["a", "a"]
    assert [entry.detected_at for entry in log.entries_since(AT)] == [AT, AT + 30]


def test_the_lock_of_a_dying_service_is_taken_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a new lock file, if the byte range lock may still be held."""
    first, second = AlertLog(path, is_service=True), AlertLog(path, is_service=True)
    first.probe()
    with (
        SafeDirectory(path.parent) as directory,
        LogLock(path).held(directory, BATCH),
        monkeypatch.context() as patched,
    ):
        patched.setattr(log_lock, "is_dying", [os.getpid()].__contains__)
        second.probe()

    assert second.append([alert("a")]) == [alert("a")]
    with pytest.raises(SinkTaken):
        first.probe()
    first.close()
    second.close()


def test_a_lock_of_a_dying_service_that_cannot_be_taken_away_keeps_no_service_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log belongs to no other service; it only cannot be written yet."""
    first, second = AlertLog(path, is_service=True), AlertLog(path, is_service=True)
    first.probe()
    monkeypatch.setattr(log_lock, "is_dying", [os.getpid()].__contains__)

    def refuse(_: SafeDirectory, name: str) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(SafeDirectory, "remove", refuse)
    expected = rf"\.alerts\.jsonl\.lock: locked by process {os.getpid()}, which was killed but cannot exit"
    with pytest.raises(SinkUnavailable, match=expected) as raised:
        second.probe()

    assert not isinstance(raised.value, SinkTaken)
    first.close()


def test_only_one_takes_a_lock_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process leaves the new lock file alone."""
    first, second, third = (AlertLog(path, is_service=True) for _ in range(3))
    first.probe()
    with monkeypatch.context() as patched:
        patched.setattr(log_lock, "is_dying", [os.getpid()].__contains__)
        second.probe()

    with pytest.raises(SinkTaken):
        third.probe()
    first.close()
    second.close()
