"""Crash rounds of notifications: daemon, `notify` and destination are killed at random, and what is between them fails.

    python tests/crash/notify_rounds.py --rounds 200 --seed 7

A round is planned from its seed. Hosts fall silent and come back, while each of the three is killed (SIGKILL) at random
instants, the network is cut (a namespace), the disk of the ledger is full, and the ledger is damaged. In the end the
destination must have each opening and each resolution once; or again with the same key, where a response was lost.
"""

from __future__ import annotations

import json
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
from tests.rig.api_client import ApiClient
from tests.rig.cut_network import Enclosure
from tests.rig.patience import PATIENCE_S, Patience
from tests.rig.service_process import Service, plain_environment
from tests.rig.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

JOBS = 4
"""Rounds at a time: most of a round is waiting."""

PORT = 8000
"""Where the destination listens, in a network of its own."""

# What the destination does with a message, by chance.
_DESTINATION = r"""
import http.server, json, os, random, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
chance = random.Random(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        what = chance.choices(["take", "refuse", "take and reset", "reset"], [6, 2, 1, 1])[0]
        if os.path.exists(sys.argv[1] + ".mended"):
            what = "take"
        body = self.rfile.read(int(self.headers["content-length"]))
        if what.startswith("take"):
            os.write(log, body.strip() + b"\n")
        if what.endswith("reset"):
            os.write(log, b'{"lost": "' + self.headers["webhook-id"].encode() + b'"}\n')
            self.connection.shutdown(2)
            self.close_connection = True
            return
        self.send_response(503 if what == "refuse" else 200)
        if what == "refuse":
            self.send_header("retry-after", "0")
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
Server(("127.0.0.1", int(sys.argv[3])), Handler).serve_forever(0.05)
"""

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
alerts.resolve_after = "1ms"
[notify]
directory = "{disk}"
control = "{disk}/notify.sock"
[[destinations]]
name = "it"
type = "webhook"
url = "http://127.0.0.1:{port}/"
timeout = "2s"
"""


def make_plan(seed: str) -> list[tuple[str, float]]:
    """Plan a round: what is done, and how many seconds are waited after it."""
    random = Random(seed)  # noqa: S311 - nothing here is secret
    steps = random.choices(list(_STEPS), list(_STEPS.values()), k=random.randint(14, 22))
    return [(step, random.choice([0.0, 0.02, 0.1, 0.3, 0.6])) for step in ("fall silent", *steps)]


@dataclass
class Scene:
    """The three, and what is between them.

    Attributes:
        site: What the daemon watches.
        seed: What chance goes by.
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
        self.log = self.site.directory / "taken"
        self.site.configure(_CONFIG.format(disk=self.enclosure.directory, port=PORT))
        self.site.begin_journal()
        self.site.upload("well")
        self.site.sync_journal()
        self.daemon = self._daemon()
        self.notify = self._notify()
        self.destination = self._destination()
        # What ends before a destination is known is none of its affairs.
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
        """Do a step to the hosts, or to one of the three."""
        match step:
            case "fall silent":
                host = f"host-{self.counts[step]:02}"
                self.site.upload(host, minutes_ago=45)
                self.silent.append(host)
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
                self.destination.kill()
                self.destination.wait()
                self.destination = self._destination()
            case "damage the ledger":
                self._kill_notify()
                self._damage()
                self.notify = self._notify()

    def settle(self) -> None:
        """Mend everything, and wait until nothing is to come any more."""
        self.enclosure.mend()
        self.enclosure.free()
        self.log.with_name("taken.mended").touch()
        patience = Patience(2 * PATIENCE_S)  # it may be a minute until the next attempt
        while not self._is_quiet():
            assert patience.is_left, f"still to come: {self._destinations()}"
            time.sleep(0.2)

    def taken(self) -> list[dict[str, Any]]:
        """Return what the destination has taken, and what of it was not answered."""
        text = self.log.read_bytes() if self.log.exists() else b""
        return [json.loads(line) for line in text.splitlines()]

    def close(self) -> None:
        """End all of it."""
        self.notify.kill()
        self.destination.kill()
        self.notify.wait()
        self.destination.wait()
        self.site.sync_journal()

    @property
    def notified(self) -> set[str]:
        """The hosts of which the daemon has notified; not one that came back before an evaluation saw it silent."""
        return {row["host"] for row in self.site.alert_rows() if row["symptom"] == "silent"}

    def _is_quiet(self) -> bool:
        """Return whether all is known that is to come, and has come."""
        told = [one for one in self.taken() if "kind" in one]
        ended = {one["host"] for one in told if one["kind"] == "resolution"}
        if not set(self.silent) <= self.notified <= {one["host"] for one in told}:
            return False
        if not self.notified & set(self.back) <= ended:
            return False
        destinations = self._destinations()
        return bool(destinations) and not any(one["waiting"] for one in destinations)

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

    def _destination(self) -> subprocess.Popen[bytes]:
        chance = f"{self.seed} {self.counts['kill destination']}"
        command = [sys.executable, "-I", "-c", _DESTINATION, str(self.log), chance, str(PORT)]
        with (self.site.directory / "destination.log").open("ab") as log:
            return subprocess.Popen(self.enclosure.inside(command), stderr=log)

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


def verdict(scene: Scene) -> tuple[list[str], int]:
    """Return what is wrong with what the destination has taken, and how often something came again with its key."""
    taken = [one for one in scene.taken() if "kind" in one and one["symptom"] == "silent"]
    first = {one["key"]: one for one in taken}
    kills = sum(scene.counts[step] for step in ("kill notify", "kill destination", "damage the ledger"))
    problems, opened, ended = [], Counter[str](), Counter[str]()
    for one in first.values():
        opened[one["host"]] += one["kind"] == "opening" or one["is_unannounced"]
        ended[one["host"]] += one["kind"] == "resolution"
    # What was lost with the ledger cannot be known: that the opening was sent, when its resolution reports it too.
    most = 2 if scene.counts["damage the ledger"] or scene.counts["fill the disk"] else 1
    for host in sorted(scene.notified):
        if not 1 <= opened[host] <= most:
            problems.append(f"{host}: {opened[host]} openings, expected one")
        if ended[host] != (host in scene.back):
            problems.append(f"{host}: {ended[host]} resolutions, expected {int(host in scene.back)}")
    problems += [f"{host}: the daemon has not notified of it" for host in opened.keys() - scene.notified]
    lost = Counter(one["lost"] for one in scene.taken() if "lost" in one)
    again = Counter(one["key"] for one in taken)
    for key, count in again.items():
        if count > 1 + lost[key] + kills + scene.counts["cut the network"] + scene.counts["fill the disk"]:
            problems.append(f"{first[key]['host']}: sent {count} times with key {key}")
    resolved = set[str]()
    for one in first.values():
        if one["kind"] == "opening" and one["host"] in resolved:
            problems.append(f"{one['host']}: an opening after its resolution")
        resolved |= {one["host"]} if one["kind"] == "resolution" else set()
    return problems, sum(again.values()) - len(again)


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
