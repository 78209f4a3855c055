"""A detector that is declared in a module of its own, this one, is all that a new symptom takes.

The programs here list it in the registry before anything else of `fleet_health` is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.cli.plot import style
from fleet_health.detectors.spec import (
    INDEX,
    Condition,
    DetectorSpec,
    Finding,
    Kind,
    Lookback,
    Rule,
    Setting,
    Sign,
    Stage,
    Subject,
)
from fleet_health.model.instant import HOUR_US, describe
from fleet_health.model.subject import EVERY_HOST
from tests.rig.api_client import ApiClient
from tests.rig.patience import PATIENCE_S
from tests.rig.service_process import plain_environment
from tests.rig.site import iso, now_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from tests.conftest import Site, StartAlteredService

SYMPTOM = "tardy"


@dataclass(frozen=True, slots=True)
class TardyLimits:
    """When a host is tardy: its last upload is longer ago than `after_us`; and for how long that is no alert."""

    after_us: int
    suggested_fix: SuggestedFix
    grace_us: int | None = None


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="5b1f0c6d2e7a4f3899d4c2b1a0e6f7d8",
    subject=Subject.HOST,
    needs=INDEX,
    is_of_absence=True,
    switches=("detectors.tardy.enabled",),
    limits=TardyLimits,
    is_by_host=True,
    settings=(
        Setting("detectors.tardy.after", Kind.DURATION, "5m", "after_us", "A host is tardy after this."),
        Setting("detectors.tardy.suggested_fix", Kind.SUGGESTED_FIX, "Wake $host.", "suggested_fix", "What to do."),
        Setting("detectors.tardy.grace", Kind.DURATION, None, "grace_us", "It is alerted after this."),
    ),
    sign=Sign.MISSED,
    stage=Stage.MANY_REFUSED,
    grace_us=lambda limits, host: limits[SYMPTOM].of(host).grace_us or 0,
    build=lambda configured: Tardy(configured.limits[SYMPTOM]),
)


class Tardy(Rule):
    """Finds the hosts whose last upload is a while ago."""

    spec = SPEC
    lookback = Lookback(uploads_us=HOUR_US)

    def __init__(self, limits: HostLimits[TardyLimits]) -> None:
        self._limits = limits

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return how long ago it uploaded last."""
        last_at = fleet.uploads.last_at(host)
        if host == EVERY_HOST or last_at is None:
            return ()
        after_us = self._limits.of(host).after_us
        ago, limit = f"{describe(now - last_at)} ago", f"longer ago than {describe(after_us)}"
        return (Condition("last upload", ago, limit, "detectors.tardy.after", now - last_at > after_us),)

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Say that it is."""
        del fleet, now
        return Finding(host, SYMPTOM, "it takes its time", self._limits.of(host).suggested_fix.render(host))

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether it has uploaded of late."""
        last_at = fleet.uploads.last_at(host)
        return last_at is not None and now - last_at <= self._limits.of(host).after_us

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return its last upload."""
        return fleet.uploads.last_at(host)

    def limits_of(self, host: str) -> str:
        """Return the limit."""
        return str(self._limits.of(host).after_us)


LISTED = """
from fleet_health.detectors import registry
from tests.test_added_detector import SPEC
registry.DETECTORS = (*registry.DETECTORS, SPEC)
"""

CONFIG = """
[[overrides]]
hosts = ["patient"]
detectors.tardy.after = "30m"
"""


def program(code: str, *arguments: object) -> str:
    """Run a program with the detector listed, to its end; return its stdout."""
    command = [sys.executable, "-c", f"import sys\n{LISTED}\n{code}", *map(str, arguments)]
    done = subprocess.run(
        command, env=plain_environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def command(*arguments: object) -> str:
    """Run `fleet-health` with the detector listed; return its stdout."""
    return program("from fleet_health.__main__ import main\nsys.exit(main())", *arguments)


def documents(text: str) -> list[dict[str, Any]]:
    """Read JSON a line."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def late(site: Site) -> Site:
    """A site with two hosts that uploaded ten minutes ago, one of which may."""
    site.configure(CONFIG)
    site.upload("late", "patient", minutes_ago=10)
    site.upload("well")
    site.answer("well", 201)
    site.sync_journal()
    return site


def test_its_settings_are_keys_with_overrides_help_and_a_switch(late: Site) -> None:
    """In `config show`, for a host, in the manual page, and where a value is wrong."""
    shown = command("config", "show", "--config", late.config)
    of_host = command("config", "show", "--config", late.config, "patient")
    page = program(
        "from pathlib import Path\n"
        "from fleet_health.cli.docs.configuration_manual import configuration_page\n"
        "print(configuration_page(Path('config.example.toml').read_text(), 'fleet-health 0'))"
    )

    assert 'detectors.tardy.after = "5m"  # default\n' in shown
    assert "detectors.tardy.enabled = true  # default\n" in shown
    assert 'detectors.tardy.after = "30m"  # overrides[1], patient\n' in of_host
    assert "A host is tardy after this." in page


def test_check_finds_it_and_a_switch_stops_that(late: Site) -> None:
    """By its default, and for the host that has an override not."""
    found = [
        row["host"]
        for row in documents(command("check", "--config", late.config, "--dry-run", "--json"))
        if is_tardy(row)
    ]
    late.configure("detectors.tardy.enabled = false")
    without = [
        row for row in documents(command("check", "--config", late.config, "--dry-run", "--json")) if is_tardy(row)
    ]

    assert (found, without) == (["late"], [])


def is_tardy(row: dict[str, Any]) -> bool:
    """Return whether a row is of this symptom."""
    return row.get("symptom") == SYMPTOM


def test_the_service_alerts_explains_silences_and_resolves_it(
    late: Site, start_altered_service: StartAlteredService
) -> None:
    """As it does with any other."""
    with start_altered_service(late, LISTED, is_first=True) as service:
        service.until_ready()
        service.until(lambda: ("late", SYMPTOM) in late.alerted(), "the alert")
        explained = json.loads(command("explain", "late", "--config", late.config, "--json"))
        metrics = asked(late, "/metrics")
        command("silence", "late", "--symptom", SYMPTOM, "--for", "1h", "--reason", "known", "--config", late.config)
        listed = command("silence", "list", "--config", late.config)
        late.upload("late")
        service.until(lambda: late_incidents(late) == [], "the end")
        assert service.stop() == 0

    (verdict,) = [one for one in explained["detectors"] if is_tardy(one)]
    (figure,) = verdict["figures"]
    assert (verdict["is_found"], figure["is_met"], figure["setting"]) == (True, True, '"5m"')
    assert f"late {SYMPTOM} until" in listed
    assert 'fleet_health_incidents{symptom="tardy",state="firing"} 1\n' in metrics
    assert 'fleet_health_symptom_evaluated{symptom="tardy"' in metrics
    assert ("patient", SYMPTOM) not in late.alerted()


def asked(site: Site, path: str) -> str:
    """Return what the service responds."""
    with ApiClient(site.directory / "control.sock") as client:
        client.request("GET", path)
        return client.getresponse().read().decode()


def late_incidents(site: Site) -> list[str]:
    """Name the symptoms of the incidents of `late`."""
    document = json.loads(asked(site, "/v1/hosts/late"))
    return [one["symptom"] for one in document["detectors"] if one["incident"] is not None]


def test_a_replay_by_several_processes_ends_what_began_in_another_span(site: Site) -> None:
    """It is found last at the end of the second span, and never in the third, which has to say that it is over."""
    minute = 60_000_000
    since = (now_us() // (10 * minute) - 18) * 10 * minute
    site.configure("detectors.tardy.after = '15m'", tick="10m")
    for at in (10 * minute, *(100 * minute + 1 + late * minute for late in (0, 10, 20, 30, 40))):
        site.upload("late", at_us=since + at)
    site.answer("late", 201)
    site.sync_journal()

    document = json.loads(
        program(
            "from fleet_health.__main__ import main\n"
            "from fleet_health.cli.commands import replay\n"
            "replay.processors, replay._WORTH_IT_US = lambda: 3, 0\n"
            "sys.exit(main())",
            *("replay", "--config", site.config, "--since", iso(since), "--until", iso(since + 150 * minute), "--json"),
        )
    )

    (episode,) = [one for one in document["incidents"] if is_tardy(one)]
    assert episode["ended_wall"] is not None


def test_it_is_notified_after_the_grace_that_it_declares(late: Site) -> None:
    """Until then it is pending, and others are not."""
    late.configure("detectors.tardy.grace = '1h'")

    reasons = program(
        "import json\n"
        "from pathlib import Path\n"
        "from fleet_health.alerting.incidents import Incidents\n"
        "from fleet_health.config.loading import load\n"
        "from fleet_health.detectors.evaluation import Evaluation\n"
        "from fleet_health.detectors.spec import Finding\n"
        "found = [Finding('late', symptom, '', '') for symptom in ('slow', 'tardy')]\n"
        "outcome = Incidents(load(Path(sys.argv[1])).policy).update(Evaluation(1, tuple(found)))\n"
        "print(json.dumps([one.reason for one in outcome.decisions]))",
        late.config,
    )

    assert json.loads(reasons) == ["within grace", "first"]


OPENED = """
import json
from dataclasses import replace
from fleet_health.detectors.spec import Finding, Sign
registry.DETECTORS += (
    replace(SPEC, symptom="crowd", sign=Sign.LATER, stage=None, is_group=True),
    replace(SPEC, symptom="storm", sign=Sign.LATER, stage=None, stops_uploads=True),
    replace(SPEC, symptom="awaited", sign=Sign.FIRST, stage=None, is_of_expected=True),
)
from fleet_health.alerting.causes import consequences
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.scope import Scope
from fleet_health.detectors.evaluation import Evaluation

GROUP = Finding("*", "crowd", "", "", frozenset({("late", "tardy")}))
LATE, STORM = Finding("late", "tardy", "", ""), Finding("*", "storm", "", "")

def after(*findings, **evaluation):
    incidents = Incidents()
    incidents.update(Evaluation(1_000, findings, **evaluation))
    return incidents

"""


DECLARED: dict[str, tuple[str, object]] = {
    "a new upload ends it, however late it is read": (
        "Incident('late', 'tardy', 1_000, sign_at=500).is_ended_by(600)",
        True,
    ),
    "a known upload does not": ("Incident('late', 'tardy', 1_000, sign_at=500).is_ended_by(500)", False),
    "a sign of another kind must be later than the opening": (
        "Incident('late', 'crowd', 1_000, sign_at=500).is_ended_by(600)",
        False,
    ),
    "the first sign ends what was never seen": (
        "Incident('late', 'awaited', 1_000, sign_at=500).is_ended_by(400)",
        True,
    ),
    "at an earlier stage of one fault it is the cause": (
        "sorted(map(list, consequences({('late', 'silent'): 1, ('late', 'tardy'): 1})[('late', 'tardy')]))",
        [["late", "silent"]],
    ),
    "the members of a group are saved with it": (
        "[one.symptom for one in after(GROUP, LATE).snapshot().open]",
        ["crowd"],
    ),
    "what stops all uploads is the cause for a host that is gone": (
        "sorted(map(list, after(STORM, gone={'late': 900}).open['*', 'storm'].inhibits))",
        [["late", "silent"], ["late", "tardy"]],
    ),
    "an expected host is in scope": ("Scope(expected=frozenset({'late'})).includes('late', 'awaited')", True),
    "one that is no longer expected is not": (
        "Scope(expected=frozenset({'late'})).includes('other', 'awaited')",
        False,
    ),
    "unless the symptom is not about expected hosts": (
        "Scope(expected=frozenset({'late'})).includes('other', 'tardy')",
        True,
    ),
}


def test_its_incidents_go_by_what_it_declares() -> None:
    """No module of `alerting` knows its name."""
    codes = {name: code for name, (code, _) in DECLARED.items()}
    found = program(
        f"{OPENED}print(json.dumps({{name: eval(code) for name, code in json.loads(sys.argv[1]).items()}}))",
        json.dumps(codes),
    )

    assert json.loads(found) == {name: expected for name, (_, expected) in DECLARED.items()}


def test_its_alerts_have_its_message_id_in_the_journal() -> None:
    """The fields that go to journald name it."""
    fields = program(
        "import json\n"
        "from fleet_health.alerting.alert import Alert\n"
        "from fleet_health.detectors.spec import Finding\n"
        "from fleet_health.records.journal_sink import fields_of\n"
        "print(json.dumps(fields_of(Alert(Finding('late', 'tardy', 'detail', 'fix'), 1))))"
    )

    assert json.loads(fields)["MESSAGE_ID"] == SPEC.message_id


PUBLISHED = """
import json
from fleet_health.notify.destinations.ntfy import build
from tests.rig.destinations import configured, made, message
from tests.rig.unruly_server import UnrulyServer, answering

with UnrulyServer([answering(body=b"{}")]) as server:
    for keys in ({}, {"priorities": {"tardy": 5}}):
        ntfy = build(configured("ntfy", server=server.url, topic="fleet", **keys))
        ntfy.send(message(made(symptom="tardy")))
        ntfy.close()
    published = [json.loads(one.body) for one in server.requests]
print(json.dumps([[one["priority"], one["tags"]] for one in published]))
"""


def test_ntfy_publishes_it_with_a_tag_and_a_priority_that_can_be_configured() -> None:
    """Without a priority of its own it has the middle one, 3 of 5."""
    assert json.loads(program(PUBLISHED)) == [[3, ["warning", "tardy"]], [5, ["warning", "tardy"]]]


DRAWN = """
from pathlib import Path
from fleet_health.cli.plot.plot import draw
from fleet_health.replay.timeline import Episode, Timeline

timeline = Timeline(0, 3_600_000_000, bins=10)
timeline.add("late", 0, 0)
timeline.episodes.append(Episode("late", "tardy", 0, 1_800_000_000, 1, ""))
draw([timeline], Path(sys.argv[1]))
"""


def test_a_plot_shows_it_in_a_colour_with_a_legend(tmp_path: Path) -> None:
    """Without a colour of its own it is grey."""
    program(DRAWN, tmp_path / "plot.svg")
    picture = (tmp_path / "plot.svg").read_text()

    assert "tardy (1)" in picture
    assert style.OTHER_SYMPTOM in picture
