"""S13: the state file, and that of the silences, as hostile input."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.flapping import Flap
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.errors import SinkUnavailable
from fleet_health.model.coverage import Gap
from fleet_health.model.history import History, HistorySnapshot, long_strip_of, strip_of
from fleet_health.records import state_file
from fleet_health.records.salvage import salvage
from fleet_health.records.silence_file import SilenceFile
from fleet_health.records.state_file import StateFile, encoded
from fleet_health.service.examining import examined
from fleet_health.service.saved_state import SavedState
from fleet_health.service.silencing import Silencing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.conftest import Site, StartService

NOW = 1_795_000_000_000_000
PAIR = ["pi-01", "silent"]


def opened(**changes: Any) -> dict[str, Any]:
    """Make an incident as it stands in the file."""
    return {"host": "pi-01", "symptom": "silent", "opened_at": NOW} | changes


IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "openings without an instant": {"incidents": {"openings": [[PAIR, []]]}},
    "openings of no number": {"incidents": {"openings": [[PAIR, ["yesterday"]]]}},
    "a negative opening": {"incidents": {"openings": [[PAIR, [-5]]]}},
    "an opening after the end of time": {"incidents": {"openings": [[PAIR, [10**30]]]}},
    "openings beyond number": {"incidents": {"openings": [[PAIR, [NOW] * 20_000]]}},
    "a pair of one": {"incidents": {"openings": [[["pi-01"], [NOW]]]}},
    "a pair twice": {"incidents": {"openings": [[PAIR, [NOW]], [PAIR, [NOW, NOW]]]}},
    "a flap for nothing": {"incidents": {"flapping": [[PAIR, {"changed_at": NOW, "is_notified": False}]]}},
    "a flap of no kind": {"incidents": {"flapping": [[PAIR, 7]]}},
    "an incident twice": {"incidents": {"open": [opened(), opened(opened_at=NOW + 1)]}},
    "an unknown symptom": {"incidents": {"open": [opened(symptom="hungry")]}},
    "an open flapping": {"incidents": {"open": [opened(symptom="flapping")]}},
    "a host with a newline": {"incidents": {"open": [opened(host="a\nb")]}},
    "a host with an escape": {"incidents": {"open": [opened(host="\x1b[2J")]}},
    "a host with half an escape": {"incidents": {"open": [opened(host="a%4")]}},
    "a host without a name": {"incidents": {"open": [opened(host="")]}},
    "a host of a thousand characters": {"incidents": {"open": [opened(host="a" * 1_000)]}},
    "an opening before all time": {"incidents": {"open": [opened(opened_at=-(10**18))]}},
    "told in the year 300000": {"incidents": {"open": [opened(last_notified_at=9_400_000_000_000_000_000)]}},
    "it inhibits what is none": {"incidents": {"open": [opened(inhibits=[["a\n", "silent"]])]}},
    "an instant with a fraction": {"incidents": {"at": 1.5}},
    "the state of a list": {"incidents": []},
    "a gap that ends before it begins": {"journal_gaps": [{"since": NOW, "until": NOW - 1, "reason": "x"}]},
    "a gap of no end": {"journal_gaps": [{"since": NOW, "reason": "x"}]},
    "a upload before all time": {"uploads": {"pi-01": -1}},
    "a upload of a text": {"uploads": {"pi-01": "now"}},
    "a upload of nobody": {"uploads": {"$(id)": NOW}},
    "marks beyond their bits": {"history": {"noted_at": NOW, "watched": 1, "marks": {"pi-01": 1 << 200}}},
    "long marks beyond their bits": {
        "history": {"noted_at": NOW, "long_watched": 1 << 200, "long_marks": {"pi-01": 1 << 200}}
    },
    "marks below zero": {"history": {"noted_at": NOW, "watched": -1, "marks": {"pi-01": -1}}},
    "a history of the year 300000": {"history": {"noted_at": 9_400_000_000_000_000_000, "watched": 1}},
    "a silence without a name": {"silences": {"": {}}},
    "a silence of no kind": {"silences": {"abc123": []}},
    "a rhythm that is none": {"cadence": {"until": NOW, "hosts": {"pi-01": [5, "AAAA"]}}},
    "a rhythm of nobody": {"cadence": {"until": NOW, "hosts": {"a\nb": [5, "eJxjBAAAAgAC"]}}},
    "a rhythm of the year 300000": {"cadence": {"until": NOW, "hosts": {"pi-01": [10**15, "eJxjBAAAAgAC"]}}},
    "rhythms up to before all time": {"cadence": {"until": -(10**18), "outages": [5, "eJxjBAAAAgAC"]}},
    "the journal seen before all time": {"journal_seen_until": -(10**18)},
}

GOOD = SavedState(
    incidents=Snapshot(
        at=NOW,
        open=[Incident("pi-09", "silent", NOW - 5)],
        openings=[(("pi-09", "silent"), [NOW - 5])],
        flapping=[(("pi-09", "silent"), Flap(NOW, is_notified=True))],
    ),
    journal_seen_until=NOW,
    history=HistorySnapshot(NOW, 1, {"pi-09": 1}),
    uploads={"pi-09": NOW},
)


def merged(good: Any, bad: Any) -> Any:
    """Put the bad parts between the good ones."""
    if isinstance(good, dict) and isinstance(bad, dict):
        return good | {key: merged(good.get(key), value) for key, value in bad.items()}
    return [*good, *bad] if isinstance(good, list) and isinstance(bad, list) else bad


def use(memory: SavedState) -> None:
    """Go on from a state, as the service does at its start and its first ticks."""
    incidents = Incidents()
    incidents.restore(memory.incidents)
    history = History(memory.history)
    for host in memory.history.marks:
        strip_of(history.snapshot, host)
        long_strip_of(history.snapshot, host)
    for later in (1, 400_000_000, 10**14):
        incidents.update(Evaluation(at=NOW + later, findings=(), failures=(), over=frozenset(), evaluated=frozenset()))
    encoded(SavedState(incidents=incidents.snapshot(), silences=memory.silences))


@pytest.mark.parametrize("impossible", IMPOSSIBLE)
@pytest.mark.parametrize("release", ["this", "an earlier one"])
@pytest.mark.fault("S13", rig="files")
def test_S13_what_cannot_be_is_left_out_and_the_rest_is_kept(
    impossible: str,
    release: str,
    tmp_path: Path,
) -> None:
    """It is named, the whole is kept beside it, and nothing fails that goes on from the rest."""
    bad = IMPOSSIBLE[impossible]
    document = merged(json.loads(json.dumps(_plain(GOOD))), bad)
    body = json.dumps(document).encode()
    content = _with_header(body) if release == "this" else body
    file = StateFile(tmp_path, SavedState)
    file.path.write_bytes(content)

    memory = file.load(examined)

    assert memory is not None
    assert file.problems
    assert all(problem.partition(":")[0].split(".")[0].split("[")[0] in bad for problem in file.problems)
    assert (tmp_path / "state.damaged").read_bytes() == content
    use(memory)
    for part in ("incidents", "uploads", "journal_seen_until"):
        if part not in bad:
            assert getattr(memory, part) == getattr(GOOD, part)
    if isinstance(bad.get("incidents"), dict) and "at" not in bad["incidents"]:
        assert {one.host for one in memory.incidents.open} >= {"pi-09"}


def _plain(memory: SavedState) -> Any:
    document = json.loads(encoded(memory))
    return {key: value for key, value in document.items() if key not in ("version", "sha256")}


def _with_header(body: bytes) -> bytes:
    import hashlib  # noqa: PLC0415

    rest = body[1:]
    return b'{"version":2,"sha256":"%b",%b\n' % (hashlib.sha256(rest).hexdigest().encode(), rest)


@pytest.mark.fault("S13", rig="files")
def test_S13_a_state_that_fits_is_read_back_whole(tmp_path: Path) -> None:
    """The control: no problem, no copy; also as an earlier release wrote it."""
    file = StateFile(tmp_path, SavedState)
    for content in (encoded(GOOD), json.dumps(_plain(GOOD)).encode()):
        file.path.write_bytes(content)

        assert file.load(examined) == GOOD
        assert file.problems == []
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.fault("S13", rig="files")
def test_S13_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    """Wherever it is: it is said, or the file is given up; never does anything fail."""
    content = encoded(GOOD)
    file = StateFile(tmp_path, SavedState)
    chance = random.Random(7)  # noqa: S311 - the same each time
    for place in range(len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(7)
        file.path.write_bytes(changed)
        try:
            memory = file.load(examined)
        except SinkUnavailable:
            assert file.path.with_suffix(".damaged").exists()
        else:
            assert memory is not None
            assert file.problems
            use(memory)


KEYS = sorted({*SavedState.__struct_fields__, *Snapshot.__struct_fields__, *HistorySnapshot.__struct_fields__})
KEYS += [*Incident.__struct_fields__, *Flap.__struct_fields__, *Gap.__annotations__, "pi-01"]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.just("pi-01")
        | st.just("silent"),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=6,
            )
        ),
        max_leaves=30,
    ),
    st.sampled_from(list(IMPOSSIBLE)),
)
@pytest.mark.fault("S13", rig="core")
def test_S13_no_json_whatever_makes_a_start_fail(odd: Any, impossible: str) -> None:
    """Property: what is left after the examination can be used."""
    document = merged(IMPOSSIBLE[impossible], odd if isinstance(odd, dict) else {"incidents": odd})
    memory, _ = salvage(document, SavedState)
    assert memory is not None
    memory, _ = examined(memory)
    use(memory)


@pytest.mark.parametrize(
    "put",
    [
        pytest.param(os.mkfifo, id="FIFO"),
        pytest.param(lambda path: path.mkdir(), id="directory"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="link to a device"),
        pytest.param(lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)), id="device"),
        pytest.param(lambda path: path.symlink_to(path.parent / "other"), id="link"),
        pytest.param(lambda path: path.symlink_to(path), id="link to itself"),
        pytest.param(lambda path: os.link(path.parent / "other", path), id="hard link"),
        pytest.param(lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 65 << 20), id="65 MiB of nothing"),
        pytest.param(lambda path: path.write_text("[" * 1_000_000), id="nested without end"),
        pytest.param(lambda path: path.write_text('{"incidents": {"at": NaN}}'), id="NaN"),
        pytest.param(lambda path: path.write_text('{"version":9,"sha256":"' + "0" * 64 + '"}'), id="a later version"),
    ],
)
@pytest.mark.fault("S13", rig="service")
def test_S13_whatever_is_at_its_path_the_service_starts(
    put: Callable[[Path], object], site: Site, start_service: StartService
) -> None:
    """It says what is wrong, gives its alerts, and saves a good state; what a link led to is as it was."""
    if os.geteuid() != 0:
        pytest.skip("only root can make devices")
    state = site.directory / "state"
    state.mkdir()
    other = state / "other"
    other.write_text('{"uploads": {"theirs": 1}}')
    put(state / "state.json")
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until(lambda: _is_saved(state / "state.json"), "a good state")
        logged = [*service.events("state file not readable, started without saved incidents")]
        logged += service.events("state file damaged, undamaged part restored")

        assert len(logged) == 1
        assert "state.json" in str(logged[0])
    assert other.read_text() == '{"uploads": {"theirs": 1}}'


def _is_saved(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 20:
        return False
    return len(json.loads(path.read_bytes()).get("incidents", {}).get("open", ())) == 3


def test_the_limit_is_far_above_what_a_fleet_in_trouble_takes() -> None:
    """Ten thousand hosts, each with two incidents and its flapping."""
    hosts = [f"host-{number:05}.example.org" for number in range(10_000)]
    pairs = [(host, symptom) for host in hosts for symptom in ("silent", "fatal-only")]
    memory = SavedState(
        incidents=Snapshot(
            at=NOW,
            open=[Incident(*pair, NOW, NOW, NOW, NOW, was_silenced=True) for pair in pairs],
            openings=[(pair, [NOW] * 5) for pair in pairs],
            flapping=[(pair, Flap(NOW)) for pair in pairs],
        ),
        history=HistorySnapshot(NOW, 1, dict.fromkeys(hosts, 1)),
        uploads=dict.fromkeys(hosts, NOW),
    )

    assert len(encoded(memory)) * 4 < state_file.SIZE_LIMIT


ROW = {
    "id": "abc123",
    "hosts": "pi-*",
    "symptom": None,
    "starts_at_wall": "2026-11-26T06:00:00+00:00",
    "ends_at_wall": "2026-11-26T07:00:00+00:00",
    "reason": "x",
    "author": "me",
}


ODD_SILENCES: dict[str, dict[str, object]] = {
    "it ends before it begins": {"ends_at_wall": "2026-11-26T05:00:00+00:00"},
    "it never ends": {"ends_at_wall": "2199-11-26T05:00:00+00:00"},
    "a reason without end": {"reason": "x" * 1_000_000},
    "a glob without end": {"hosts": "*a" * 100_000},
    "a name without end": {"id": "x" * 100_000},
    "a time of nonsense": {"ends_at_wall": "soon"},
    "hosts of a number": {"hosts": 7},
}


def row_with(change: Mapping[str, object]) -> Callable[[Path], object]:
    """Return what puts a silence with something odd about it at a path."""
    return lambda path: path.write_text(json.dumps({"version": 1, "silences": [{**ROW, **change}]}))


@pytest.mark.parametrize(
    "put",
    [pytest.param(row_with(change), id=name) for name, change in ODD_SILENCES.items()]
    + [
        pytest.param(os.mkfifo, id="FIFO"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="link to a device"),
        pytest.param(lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 17 << 20), id="17 MiB of nothing"),
        pytest.param(lambda path: path.write_text('{"version": 1, "silences": NaN}'), id="NaN"),
    ],
)
@pytest.mark.fault("S13", rig="service")
def test_S13_odd_silences_neither_end_the_service_nor_keep_an_alert_quiet(
    put: Callable[[Path], object], site: Site, start_service: StartService
) -> None:
    """It is a problem in the status, and nothing is silenced by what cannot be."""
    state = site.directory / "state"
    state.mkdir()
    put(state / "silences.json")
    silencing = Silencing(SilenceFile(state))
    asyncio.run(silencing.refresh(NOW))
    assert re.search(r"silences\.json: (expected|damaged|silences ignored)", silencing.problem)
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until(lambda: "silences.json" in service.notify.status, "the status")
