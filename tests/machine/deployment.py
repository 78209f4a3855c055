"""The reference deployment on a machine: the receiver, and fleet-health as its installer leaves it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.machine.machine import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.machine.machine import Machine

RECEIVER = "cis490-receiver.service"
SERVICE = "fleet-health.service"
CONFIG = "/etc/fleet-health/config.toml"
ALERTS = "/var/lib/fleet-health/alerts.jsonl"
DROP_INS = f"/etc/systemd/system/{SERVICE}.d"

# Where the machine sees the host's directories.
CHECKOUT = "/srv/checkout"
WHEELHOUSE = "/srv/wheelhouse"
RECEIVER_PACKAGES = "/srv/receiver"
PACKAGES = "/srv/packages"

REFUSED_HOST = "refused-host"

_RECEIVER_UNIT = f"""
[Service]
User=cis490
StateDirectory=%(name)s
StateDirectoryMode=0755
Environment=PYTHONPATH={CHECKOUT}:{RECEIVER_PACKAGES}
Environment=RECEIVER_INDEX=/var/lib/%(name)s/index.jsonl
Environment=RECEIVER_REFUSE={REFUSED_HOST}
ExecStart=/usr/bin/python3 -m uvicorn fleet_health.demo.receiver:app --host 127.0.0.1 --port %(port)d
"""

# What takes half an hour by default takes seconds.
STATE = "/var/lib/fleet-health/state.json"

QUICK_CONFIG = f"""
tick = "1s"
# Within seconds everybody here is silent now and then, and it is the hosts that most tests are about.
receiver.enabled = false
# Each test has hosts of its own that are refused and never uploaded, and each is to be alerted by itself.
detectors.unknown-hosts.enabled = false

[alerts]
path = "{ALERTS}"

[detectors.silent]
after = "4s"

[detectors.fatal-only]
min_count = 3

[detectors.unstamped]
min_count = 3
"""


@dataclass(frozen=True)
class Installation:
    """A machine on which fleet-health was installed, and no receiver; other machines begin with it.

    Attributes:
        kept: What it has kept.
        before: What `everything` returned of it before the installation.
        said: All that the installer said.

    """

    kept: Path
    before: frozenset[str]
    said: str


@dataclass(frozen=True)
class Receiver:
    """A real uvicorn that serves the demo's receiver under a user of its own, and the hosts that upload to it.

    Attributes:
        machine: Where it runs.
        name: Where its index is, in /var/lib.
        unit: Its unit.
        port: Where it listens.

    """

    machine: Machine
    name: str = "cis490"
    unit: str = RECEIVER
    port: int = 8490

    def start(self) -> None:
        """Create its user and its unit, and return when it answers."""
        self.machine.run("useradd", "--system", "cis490", check=False)  # all of them run under it
        unit = _RECEIVER_UNIT % {"name": self.name, "port": self.port}
        self.machine.write(f"/etc/systemd/system/{self.unit}", unit)
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "start", self.unit)
        eventually(lambda: self.upload("first-host") == ["201"], "an answer of the receiver")

    def upload(self, host: str, *, times: int = 1, stamped: bool = True) -> list[str]:
        """Upload as `host`; return the statuses answered, fewer than `times` when the receiver is not there."""
        script = f"{CHECKOUT}/tests/machine/upload.py"
        stamp = [] if stamped else ["--unstamped"]
        return self.machine.run(
            "python3", script, host, str(times), f"--port={self.port}", *stamp, check=False
        ).stdout.split()


@dataclass(frozen=True)
class Service:
    """fleet-health, and what can be seen of it from outside."""

    machine: Machine

    def install(self, *arguments: str, find_links: str = WHEELHOUSE, umask: str = "022", check: bool = True) -> str:
        """Run the installer, without a network, and return all that it said."""
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": find_links, "PIP_CONFIG_FILE": "/dev/null"}
        installer = shlex.join([f"{CHECKOUT}/packaging/install.sh", "--no-apt", *arguments])
        result = self.machine.run("sh", "-c", f"umask {umask} && exec {installer}", environment=offline, check=check)
        return result.stdout + result.stderr

    def control(self, verb: str, *, check: bool = True) -> None:
        """Run `systemctl VERB` on the unit; it returns when systemd says that this is done."""
        self.machine.run("systemctl", verb, SERVICE, check=check)

    def configure(self, text: str) -> None:
        """Write its configuration; nothing takes effect before a reload or restart."""
        self.machine.write(CONFIG, text)

    def override(self, text: str) -> None:
        """Add a drop-in to the unit; it takes effect at the next start."""
        self.machine.write(f"{DROP_INS}/test.conf", f"[Service]\n{text}\n")
        self.machine.run("systemctl", "daemon-reload")

    def reset(self) -> None:
        """Start it anew with the quick configuration, no drop-ins, and no failures on record."""
        self.control("stop")
        self.machine.run("rm", "-rf", DROP_INS)
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "reset-failed")
        self.configure(QUICK_CONFIG)
        self.control("start")

    def forget_alerts(self) -> None:
        """Stop it, and remove its alert log and state: what it finds after its next start is alerted in any case."""
        self.control("stop")
        self.machine.run("rm", "-f", ALERTS, STATE)

    def property(self, name: str) -> str:
        """Return one property of the unit."""
        return self.machine.properties(SERVICE, name)[name]

    def rows(self, host: str, *paths: str) -> list[dict[str, Any]]:
        """Return the host's alerts in the alert log, or in the `paths` that it was rotated to."""
        files = [self.machine.path(path) for path in paths or [ALERTS]]
        rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [row for row in rows if row["host"] == host]

    def entries(self, host: str) -> list[dict[str, Any]]:
        """Return the host's alerts in the journal."""
        return self.machine.journal("SYSLOG_IDENTIFIER=fleet-health", f"FLEET_HOST={host}")

    def wait_for_alert(self, host: str, symptom: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the host's alert as a row of the alert log and as an entry of the journal, when it stands in both."""

        def both() -> tuple[dict[str, Any], dict[str, Any]] | None:
            rows = [row for row in self.rows(host) if row["symptom"] == symptom]
            entries = [entry for entry in self.entries(host) if entry["FLEET_SYMPTOM"] == symptom]
            pairs = ((row, entry) for row in rows for entry in entries if entry["FLEET_DETAIL"] == row["detail"])
            return next(pairs, None)

        return eventually(both, f"the alert that {host} is {symptom}")

    def log(self) -> str:
        """Return what it has written to its log since its last start."""
        invocation = self.property("InvocationID")
        return self.machine.run("journalctl", "--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}").stdout

    def assert_undisturbed(self) -> None:
        """Assert that it runs, as it was started, and that systemd has nothing to complain about."""
        seen = self.machine.properties(SERVICE, "ActiveState", "SubState", "Result", "NRestarts")

        expected = {"ActiveState": "active", "SubState": "running", "Result": "success", "NRestarts": "0"}
        assert seen == expected, seen


def dpkg(machine: Machine, *arguments: str) -> str:
    """Run dpkg as apt does on a machine that nobody watches; return what it said."""
    done = machine.run("dpkg", *arguments, environment={"DEBIAN_FRONTEND": "noninteractive"})
    return done.stdout + done.stderr


# What programs of the system note by the way, in caches, logs and backups of their own.
_NOTED = (
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-|/etc/\.pwd\.lock|/var/lib/(dpkg|systemd)(/.*)?"
    r"|/var/cache/(debconf|man)(/.*)?|/var/log/(journal(/.*)?|(alternatives|dpkg)\.log)"
    r"|/var/tmp/systemd-private-[0-9a-f]+-systemd-.*"
)


def everything(machine: Machine) -> frozenset[str]:
    """Return every path of a machine, and every user, group member, unit and catalog entry of it."""
    find = f"find %s -regextype posix-extended -not -regex '{_NOTED}'"
    queries = (
        find % "/etc /home /opt /usr /var /run/systemd/system /run/fleet-health*",
        # Whoever develops here has a whole toolchain in there; what an installation left would be near the top.
        find % "/root -maxdepth 3",
        "find / /run /tmp -maxdepth 1 -name '*fleet-health*'",
        "getent passwd",
        "getent group",
        "systemctl list-unit-files --no-legend --plain",
        "systemctl list-units --all --no-legend --plain 'fleet-health*'",
        "journalctl --list-catalog | grep -i fleet.health",
    )
    return frozenset(
        line
        for query in queries
        for line in machine.run("sh", "-c", f"{query} 2>/dev/null", check=False).stdout.splitlines()
    )


def added(machine: Machine, before: frozenset[str]) -> list[str]:
    """Return what a machine has and did not have before, sorted.

    A file that the host has as well was written there meanwhile: the root of a machine is an overlay of the host's.
    """
    return sorted(name for name in everything(machine) - before if not (machine.root / name.lstrip("/")).exists())


def assert_none_doubled(alerts: Sequence[dict[str, Any]]) -> None:
    """Assert that no two alerts, rows or entries, share their key: each was told once in its hour."""
    keys = [alert.get("dedup_key") or alert["FLEET_DEDUP_KEY"] for alert in alerts]

    assert sorted(set(keys)) == sorted(keys)
