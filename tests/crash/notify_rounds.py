"""Crash rounds of notifications: daemon, `notify` and destinations are killed, and what is between them fails.

    python tests/crash/notify_rounds.py --rounds 200 --seed 7

A round is planned from its seed. Hosts fall silent, are lost and come back, while each process is killed (SIGKILL) at
random instants, the network is cut (a namespace), the disk of the ledger is full, and the ledger is damaged. In the end
each destination must have each opening, loss and resolution once; or again with the same key, where a response was
lost. An Alertmanager, if one is installed, must show an alert for each host that stands, and for no other one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fleet_health.cli.client import target
from tests.crash.many_rounds import run_command, run_many
from tests.crash.notify_destinations import HOSTS, alertmanagers, mend, recorders
from tests.rig.api_client import ApiClient
from tests.rig.cut_network import Enclosure
from tests.rig.patience import PATIENCE_S, Patience
from tests.rig.service_process import Service, plain_environment
from tests.rig.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.crash.notify_destinations import Destination, Recorder, Taken

JOBS = 4
"""Rounds at a time: most of a round is waiting."""

_STEPS = {
    "fall silent": 8,
    "come back": 6,
    "kill daemon": 3,
    "kill notify": 4,
    "kill destination": 2,
    "cut the network": 2,
    "mend the network": 2,
    "fill the disk": 1,
    "free the disk": 2,
    "damage the ledger": 1,
}
_CONFIG = """
receiver.enabled = false
alerts.resolved = true
alerts.resolve_after = "1ms"
[detectors.silent]
lookback = "{lookback}"
[notify]
directory = "{disk}"
control = "{disk}/notify.sock"
{destinations}"""

SILENT_FOR_MIN = 45
UNRELIABLE_S = 4
"""For how long destinations still refuse and vanish after all else is mended, in seconds: much is sent only then."""
LONG, SHORT = "24h", "40m"
"""Lookbacks by which a silent host is not lost, and lost."""


def make_plan(seed: str) -> list[tuple[str, float]]:
    """Plan a round: what is done, and how many seconds are waited after it.

    In every second round the hosts that are silent are lost, after which no other one falls silent.
    """
    random = Random(seed)  # noqa: S311 - nothing here is secret
    steps = random.choices(list(_STEPS), list(_STEPS.values()), k=random.randint(14, 22))
    if random.random() < 1 / 2:
        after = {step: weight for step, weight in _STEPS.items() if step != "fall silent"}
        steps += ["lose the silent", *random.choices(list(after), list(after.values()), k=random.randint(2, 5))]
    return [(step, random.choice([0.0, 0.02, 0.1, 0.3, 0.6])) for step in ("fall silent", *steps)]


@dataclass
class Scene:
    """Daemon, `notify`, destinations, and what is between them.

    Attributes:
        site: What the daemon watches.
        seed: What the random choices depend on.
        enclosure: The network and the disk.
        stack: What ends with the round.
        silent: The hosts that are silent now.
        back: Those that were, and came back.
        counts: How often each step was done.

    """

    site: Site
    seed: str
    enclosure: Enclosure
    stack: ExitStack
    silent: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(f"{self.seed} scene")  # noqa: S311 - as above
        self.recorders = recorders(self.site.directory, self.enclosure, self.seed)
        self.alertmanagers = alertmanagers(self.site.directory, self.enclosure)
        self.destinations: list[Destination] = [*self.recorders, *self.alertmanagers]
        self._configure(LONG)
        self.site.begin_journal()
        self.site.upload("well")
        self.site.sync_journal()
        self.daemon = self._daemon()
        self.notify = self._notify()
        for one in self.destinations:
            one.start()
        # A destination is not sent what ended before it was known.
        patience = Patience()
        while not self._destinations():
            assert patience.is_left, "notify does not start"
            time.sleep(0.1)

    def do(self, step: str) -> None:
        """Do a step."""
        self.counts[step] += 1
        match step:
            case "cut the network":
                self.enclosure.cut()
            case "mend the network":
                self.enclosure.mend()
            case "fill the disk":
                self.enclosure.fill()
            case "free the disk":
                self.enclosure.free()
            case _:
                self._do(step)

    def _do(self, step: str) -> None:
        """Do a step to the hosts, to a process or to the ledger."""
        match step:
            case "fall silent" if self.counts[step] <= HOSTS:
                host = f"host-{self.counts[step]:02}"
                self.site.upload(host, minutes_ago=SILENT_FOR_MIN)
                self.silent.append(host)
            case "lose the silent":
                self._until(lambda: set(self.silent) <= self.notified, "the alerts")  # before they cannot be found
                self._configure(SHORT)
                self.daemon.until_ready().process.send_signal(signal.SIGHUP)
                self._until(lambda: "open" not in self.truth().values(), "the losses")
            case "come back" if self.silent:
                host = self.silent.pop(self.random.randrange(len(self.silent)))
                self.site.upload(host)
                self.back.append(host)
            case "kill daemon":
                self.daemon.stop(signal.SIGKILL)
                self.daemon = self._daemon()
            case "kill notify":
                self._kill_notify()
                self.notify = self._notify()
            case "kill destination":
                one = self.random.choice(self.destinations)
                one.kill()
                one.start()
            case "damage the ledger":
                self._kill_notify()
                self._damage()
                self.notify = self._notify()

    def settle(self) -> None:
        """Mend everything, and wait until everything has been sent."""
        self.enclosure.mend()
        self.enclosure.free()
        time.sleep(UNRELIABLE_S)
        mend(self.site.directory)
        patience = Patience(2 * PATIENCE_S)  # it may be a minute until the next attempt
        while not self._is_quiet():
            assert patience.is_left, f"still to come: {self._destinations()}, {self.truth()}"
            time.sleep(0.5)

    def close(self) -> None:
        """End the processes."""
        self._kill_notify()
        for one in self.destinations:
            one.kill()
        self.site.sync_journal()

    def truth(self) -> dict[str, str]:
        """Return how each host stands of which the daemon has notified: `open`, `lost` or `over`."""
        ends = {"lost": "lost", "resolved": "over"}
        rows = [row for row in self.site.alert_rows() if row["symptom"] == "silent"]
        return {row["host"]: ends.get(row.get("status", ""), "open") for row in rows}

    @property
    def notified(self) -> set[str]:
        """The hosts of which the daemon has notified; not one that came back before an evaluation saw it silent."""
        return set(self.truth())

    def _is_quiet(self) -> bool:
        """Return whether every destination has been sent everything that the daemon has notified."""
        truth = self.truth()
        if not set(self.silent) <= truth.keys():
            return False
        if any(truth.get(host, "over") != "over" for host in self.back):
            return False
        standing = sorted(host for host, state in truth.items() if state == "open")
        if any(one.firing() != standing for one in self.alertmanagers):
            return False
        states = [{one.host: STATES[one.kind] for one in recorder.taken()} for recorder in self.recorders]
        waiting = [one["waiting"] for one in self._destinations()]
        return all(one == truth for one in states) and bool(waiting) and not any(waiting)

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        patience = Patience()
        while not is_so():
            assert patience.is_left, f"{what} did not come"
            time.sleep(0.1)

    def _configure(self, lookback: str) -> None:
        tables = "".join(one.table() for one in self.destinations)
        self.site.configure(_CONFIG.format(lookback=lookback, disk=self.enclosure.directory, destinations=tables))

    def _destinations(self) -> list[dict[str, Any]]:
        """Return how each destination stands; nothing while `notify` does not respond."""
        try:
            with ApiClient(self.enclosure.disk / "notify.sock") as client:
                found: list[dict[str, Any]] = client.ask("GET", target("destinations"))[1].get("destinations", [])
        except (OSError, HTTPException):
            return []
        return found

    def _daemon(self) -> Service:
        return self.stack.enter_context(Service(self.site, {}))

    def _notify(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fleet_health", "notify", "--config", str(self.site.config)]
        with (self.site.directory / "notify.log").open("ab") as log:
            return subprocess.Popen(self.enclosure.inside(command), stderr=log, env=plain_environment())

    def _kill_notify(self) -> None:
        self.notify.kill()
        self.notify.wait()

    def _damage(self) -> None:
        """Damage the ledger, if there is one and room to do it."""
        ledger = self.enclosure.disk / "ledger.db"
        try:
            size = ledger.stat().st_size
            how = self.random.choice(["a page", "the beginning", "cut", "all"])
            with ledger.open("r+b", buffering=0) as file:
                if how == "cut":
                    file.truncate(size // 2)
                elif how == "all":
                    file.write(self.random.randbytes(size))
                else:
                    file.seek(0 if how == "the beginning" else self.random.randrange(max(1, size // 4096)) * 4096)
                    file.write(self.random.randbytes(4096))
        except OSError:
            self.counts["damage the ledger"] -= 1


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a round."""

    seed: str
    counts: Counter[str]
    again: int
    seconds: float
    problems: tuple[str, ...]
    directory: Path

    def __str__(self) -> str:
        """Return it in one line, and in several if it went wrong."""
        done = ", ".join(f"{count} x {step}" for step, count in sorted(self.counts.items()))
        verdict = "ok" if not self.problems else "FAILED"
        line = f"{verdict}: {self.again} sent again, {self.seconds:.1f} s (seed {self.seed}): {done}"
        return "\n  ".join([line, *self.problems, *([f"kept in {self.directory}"] if self.problems else [])])


STATES = {"opening": "open", "repeat": "open", "lost": "lost", "resolution": "over"}
"""The kind of a notification -> how the host stands after it."""


def verdict(scene: Scene) -> tuple[list[str], int]:
    """Return what is wrong with what the destinations have taken, and how often something came again with its key."""
    problems, again = list[str](), 0
    for recorder in scene.recorders:
        found, count = _verdict(scene, recorder)
        problems += [f"{recorder.name}: {problem}" for problem in found]
        again += count
    return problems, again


def _verdict(scene: Scene, recorder: Recorder) -> tuple[list[str], int]:
    taken, messages, truth = recorder.taken(), recorder.messages(), scene.truth()
    kills = sum(scene.counts[step] for step in ("kill notify", "kill destination", "damage the ledger"))
    lost = recorder.lost()
    problems = [
        f"a message came {count} times with key {key}"
        for key, count in messages.items()
        if count > 1 + lost[key] + kills + scene.counts["cut the network"] + scene.counts["fill the disk"]
    ]
    # What was lost with the ledger cannot be known: that something was sent.
    most = 2 if scene.counts["damage the ledger"] or scene.counts["fill the disk"] else 1
    by_host: dict[str, list[Taken]] = {}
    for one in taken:
        by_host.setdefault(one.host, []).append(one)
    problems += [f"{host}: the daemon has not notified of it" for host in by_host.keys() - truth.keys()]
    for host, state in sorted(truth.items()):
        sent = by_host.get(host, [])
        openings = sum(one.kind == "opening" or one.is_unannounced for one in sent)
        if not 1 <= openings <= most:
            problems.append(f"{host}: {openings} openings, expected one")
        for kind in ("lost", "resolution"):
            count, is_expected = sum(one.kind == kind for one in sent), STATES[kind] == state
            if count > most or (is_expected and not count):
                problems.append(f"{host}: {count} x {kind}, expected {int(is_expected)}")
        states = [STATES[one.kind] for one in sent]
        if states[-1:] != [state]:
            problems.append(f"{host}: it is {state}, and the last that was sent says {states[-1:]}")
    return problems, sum(messages.values()) - len(messages)


def run_round(seed: str) -> Result:
    """Do one round. Its files are removed if it went well."""
    started = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="fleet-health-notify-crash-"))
    again, counts = 0, Counter[str]()
    with ExitStack() as stack:
        enclosure = stack.enter_context(Enclosure(directory / "disk"))
        scene = Scene(Site(directory), seed, enclosure, stack)
        stack.callback(scene.close)
        try:
            for step, pause_s in make_plan(seed):
                scene.do(step)
                time.sleep(pause_s)
            scene.settle()
            problems, again = verdict(scene)
        except (AssertionError, subprocess.SubprocessError) as error:
            problems = [str(error)]
        counts = scene.counts
    if not problems:
        shutil.rmtree(directory)
    return Result(seed, counts, again, time.monotonic() - started, tuple(problems), directory)


def run_rounds(
    count: int, seed: int, *, jobs: int = JOBS, on_result: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Do rounds, several at a time; return their results in order."""
    return run_many(run_round, count, seed, jobs=jobs, on_result=on_result)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run_command(
        "Kill everybody who has a part in a notification; see what arrives.",
        run_round,
        jobs=JOBS,
        plan_of=lambda result: [f"{step}, {pause_s} s" for step, pause_s in make_plan(result.seed)],
        summed_up=_summed_up,
        arguments=arguments,
    )


def _summed_up(results: Sequence[Result]) -> str:
    total = sum((result.counts for result in results), Counter[str]())
    again = sum(result.again for result in results)
    steps = ", ".join(f"{count} x {step}" for step, count in sorted(total.items()))
    return f"{again} messages sent again with the same key; {steps}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
