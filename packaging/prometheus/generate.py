#!/usr/bin/env python3
"""Writes what Prometheus and Alertmanager take beside this file, from the registry of detectors.

    generate.py           writes the files
    generate.py --check   ends with 1 if one of them is not what would be written

So a symptom that is added has its alert, and what inhibits what is declared once, by the detectors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Subject

if TYPE_CHECKING:
    from fleet_health.detectors.spec import DetectorSpec

HERE = Path(__file__).parent

GENERATED = "# Written by generate.py from the registry of detectors: change that, or your copy of this file.\n"

RULES = (
    GENERATED
    + """\
#
# Rules for Prometheus that evaluate a fleet by what fleet-health says on every machine with a receiver.
#
# The verdicts are fleet-health's own: each machine knows its limits, overrides, silences and mute windows. These rules
# add what no machine can know by itself: which of them a host uploaded to last, and which machine is gone.
#
# They take the metrics of every host (`[metrics] hosts = "all"`, the default), a scrape job that is called
# `fleet-health`, and clocks that agree to within a few seconds.

groups:
  - name: fleet-health
    rules:
      # When a host last uploaded to each machine. While a machine is down, or reads its sources after a start, what it
      # said last stands: that nothing is known is no reason to forget or to resolve anything. A machine that is no
      # longer scraped on purpose is forgotten.
      - record: fleet_health:host_last_upload_timestamp_seconds:kept
        expr: |
          (
            fleet_health_host_last_upload_timestamp_seconds
            and on (job, instance) fleet_health_last_evaluation_timestamp_seconds
          )
          or
          (
            fleet_health:host_last_upload_timestamp_seconds:kept
            unless on (job, instance) fleet_health_last_evaluation_timestamp_seconds
            and on (job, instance) up
          )

      # When it last uploaded to any of them.
      - record: fleet_health:host_last_upload_timestamp_seconds:max
        expr: max by (host) (fleet_health:host_last_upload_timestamp_seconds:kept)

      # Since when an incident is open that is not suppressed, in the same way.
      - record: fleet_health:incident_opened_timestamp_seconds:kept
        expr: |
          (
            max without (state) (
              fleet_health_incident_opened_timestamp_seconds{state=~"firing|unconfirmed|flapping"}
            )
            and on (job, instance) fleet_health_last_evaluation_timestamp_seconds
          )
          or
          (
            fleet_health:incident_opened_timestamp_seconds:kept
            unless on (job, instance) fleet_health_last_evaluation_timestamp_seconds
            and on (job, instance) up
          )

      # What of it holds for the whole: of a host, what the machine says that it last uploaded to. What the others say
      # is of a host that has moved away. If no machine knows an upload of it, what the first one of them says.
      - record: fleet_health:incident_opened_timestamp_seconds:whole
        expr: |
          fleet_health:incident_opened_timestamp_seconds:kept{host=""}
          or
          (
            bottomk by (host, symptom) (
              1,
              fleet_health:incident_opened_timestamp_seconds:kept{host!=""}
              unless on (host) fleet_health:host_last_upload_timestamp_seconds:max
            )
          )
          or
          (
            fleet_health:incident_opened_timestamp_seconds:kept{host!=""}
            and on (host, job, instance)
            (
              (
                fleet_health:host_last_upload_timestamp_seconds:kept
                and on (host) fleet_health:incident_opened_timestamp_seconds:kept
              )
              == on (host) group_left ()
              fleet_health:host_last_upload_timestamp_seconds:max
            )
          )

"""
)

HOST_ALERT = """\
      - alert: {name}
        expr: fleet_health:incident_opened_timestamp_seconds:whole{{symptom="{symptom}"}}
        # Until every machine was scraped, a host that moves is not known to have arrived.
        for: 2m
        labels:
          severity: warning
        annotations:
          summary: "Host {{{{ $labels.host }}}} is {symptom}, by {{{{ $labels.instance }}}}"
          description: "Since {{{{ $value | humanizeTimestamp }}}}. On {{{{ $labels.instance }}}},
            `fleet-health explain {{{{ $labels.host }}}}` shows why, and what to do."

"""
GENERAL_ALERT = """\
      - alert: {name}
        expr: fleet_health:incident_opened_timestamp_seconds:whole{{symptom="{symptom}"}}
        labels:
          severity: {severity}
        annotations:
          summary: "{symptom} on {{{{ $labels.instance }}}}{receiver}"
          description: "Since {{{{ $value | humanizeTimestamp }}}}. On {{{{ $labels.instance }}}},
            `fleet-health explain '*{at_receiver}'` shows why, and what to do."

"""

ITSELF = """\
  - name: fleet-health-itself
    rules:
      - alert: FleetHealthGone
        expr: up{job="fleet-health"} == 0
        for: 3m
        labels:
          severity: critical
        annotations:
          summary: "{{ $labels.instance }} cannot be scraped"
          description: "The machine, its network, or fleet-health on it is down. What it said last stands. On it,
            `systemctl status fleet-health fleet-health-http.socket` shows which."

      - alert: FleetHealthNotScraped
        expr: absent(up{job="fleet-health"})
        for: 3m
        labels:
          severity: critical
        annotations:
          summary: "No machine with fleet-health is scraped"
          description: "Prometheus has no target in the job fleet-health, so nobody watches the fleet here."

      - alert: FleetHealthStarting
        expr: |
          fleet_health_build_info
          unless on (job, instance) fleet_health_last_evaluation_timestamp_seconds
        for: 15m
        labels:
          severity: warning
        annotations:
          summary: "fleet-health on {{ $labels.instance }} has not evaluated anything yet"
          description: "It still reads its sources after a start. On {{ $labels.instance }},
            `systemctl status fleet-health` shows how far it is."

      # Also of a file that node_exporter goes on serving.
      - alert: FleetHealthStuck
        expr: |
          time() - fleet_health_last_evaluation_timestamp_seconds
          > 60 + 3 * fleet_health_tick_seconds
        labels:
          severity: critical
        annotations:
          summary: "fleet-health on {{ $labels.instance }} does not evaluate"
          description: "The last evaluation is {{ $value | humanizeDuration }} ago. On {{ $labels.instance }},
            `systemctl status fleet-health` shows why."

      - alert: FleetHealthSourceBehind
        expr: time() - fleet_health_source_read_until_timestamp_seconds > 900
        labels:
          severity: warning
        annotations:
          summary: "The {{ $labels.source }} on {{ $labels.instance }} is read {{ $value | humanizeDuration }} late"
          description: "Nothing later is known from it. On {{ $labels.instance }}, `fleet-health status` shows why."

      - alert: FleetHealthNotDelivering
        expr: fleet_health_notifications_waiting > 0
        for: 5m
        labels:
          severity: warning
        annotations:
          summary: "fleet-health on {{ $labels.instance }} cannot write its alert log"
          description: "{{ $value }} notifications wait. On {{ $labels.instance }}, `fleet-health status` shows why."

      - alert: FleetHealthProblem
        expr: fleet_health_problems > 0
        for: 15m
        labels:
          severity: warning
        annotations:
          summary: "fleet-health on {{ $labels.instance }} has a problem with itself"
          description: "On {{ $labels.instance }}, `fleet-health status` shows it."

      - alert: FleetHealthNotifyFailing
        expr: fleet_health_notify_destination_up == 0
        for: 15m
        labels:
          severity: warning
        annotations:
          summary: "{{ $labels.destination }} does not take what {{ $labels.instance }} notifies"
          description: "On {{ $labels.instance }}, `fleet-health notify status` shows why, and what waits."

      # Of a file that node_exporter goes on serving.
      - alert: FleetHealthNotifyStopped
        expr: time() - fleet_health_notify_reported_timestamp_seconds > 600
        labels:
          severity: critical
        annotations:
          summary: "Nothing is notified by {{ $labels.instance }}"
          description: "fleet-health notify wrote its metrics {{ $value | humanizeDuration }} ago. On
            {{ $labels.instance }}, `systemctl status fleet-health-notify` shows why."

  # An error budget: of all responses, one in a hundred may be a refusal. What counts is how fast the budget of 30 days
  # is used up, over a long window, and over a short one so that the alert ends soon after the refusals do. Below 100
  # responses in the long window, nothing is said. For another objective, change 0.01 in both alerts.
  - name: fleet-health-error-budget
    rules:
"""

RATIO = """\
      - record: fleet_health:refused_responses:ratio_rate{window}
        expr: |
          sum by (job, instance, receiver) (rate(fleet_health_responses_total{{class!="2xx"}}[{window}]))
          /
          (sum by (job, instance, receiver) (rate(fleet_health_responses_total[{window}])) > 0)

"""

BUDGET = """\
      - alert: FleetHealthRefusals{speed}
        expr: |
          fleet_health:refused_responses:ratio_rate{long} > {factor} * 0.01
          and fleet_health:refused_responses:ratio_rate{short} > {factor} * 0.01
          and sum by (job, instance, receiver) (increase(fleet_health_responses_total[{long}])) >= 100
        labels:
          severity: {severity}
        annotations:
          summary: "{{{{ $value | humanizePercentage }}}} of the responses on {{{{ $labels.instance }}}} are refusals"
          description: "At this rate the error budget of 30 days is used up in {exhausted}.
            `fleet-health status` on {{{{ $labels.instance }}}} shows whether it is a few hosts or all of them."

"""

ALERTMANAGER = (
    GENERATED
    + """\
#
# An example for Alertmanager: groups and inhibits alerts as fleet-health does on one machine. Set your own receiver.

route:
  receiver: operators
  # Hosts with the same symptom on the same machine are one message.
  group_by: [alertname, instance]
  group_wait: 30s
  group_interval: 5m
  # fleet-health repeats an alert once an hour.
  repeat_interval: 1h

inhibit_rules:
  # What a machine says is as old as its last word, while it is gone or stuck: one alert for the machine.
  - source_matchers: [alertname=~"FleetHealthGone|FleetHealthStuck"]
    target_matchers: [symptom=~".+"]
    equal: [job, instance]
  - source_matchers: [alertname="FleetHealthGone"]
    target_matchers: [alertname=~"FleetHealth(Stuck|SourceBehind|NotDelivering|Problem|Starting|Refusals.*)"]
    equal: [job, instance]
  - source_matchers: [alertname="FleetHealthRefusalsFast"]
    target_matchers: [alertname="FleetHealthRefusalsSlow"]
    equal: [job, instance, receiver]
"""
)

INHIBITION = """\
  - source_matchers: [symptom="{cause}"]
    target_matchers: [symptom=~"{effects}"]
    equal: [{equal}]
"""

OPERATORS = """
receivers:
  - name: operators
    webhook_configs:
      - url: http://127.0.0.1:9099/alerts
"""


def name_of(symptom: str) -> str:
    """Return what the alert of a symptom is called."""
    return "FleetHealth" + "".join(part.capitalize() for part in symptom.split("-"))


def rules() -> str:
    """Return the rules."""
    budgets = (("Fast", "1h", "5m", 14.4, "critical", "two days"), ("Slow", "6h", "30m", 6, "warning", "five days"))
    return (
        "".join(
            [
                RULES,
                *map(_alert, DETECTORS),
                ITSELF,
                *(RATIO.format(window=window) for window in ("5m", "30m", "1h", "6h")),
                *(
                    BUDGET.format(
                        speed=speed, long=long, short=short, factor=factor, severity=severity, exhausted=exhausted
                    )
                    for speed, long, short, factor, severity, exhausted in budgets
                ),
            ]
        ).rstrip()
        + "\n"
    )


def _alert(spec: DetectorSpec) -> str:
    if spec.subject is Subject.HOST:
        return HOST_ALERT.format(name=name_of(spec.symptom), symptom=spec.symptom)
    is_of_receiver = spec.subject is Subject.RECEIVER
    return GENERAL_ALERT.format(
        name=name_of(spec.symptom),
        symptom=spec.symptom,
        severity="critical" if is_of_receiver else "warning",
        receiver="{{ with $labels.receiver }}, receiver {{ . }}{{ end }}" if is_of_receiver else "",
        at_receiver="{{ with $labels.receiver }}@{{ . }}{{ end }}" if is_of_receiver else "",
    )


def alertmanager() -> str:
    """Return the configuration of Alertmanager."""
    return "".join([ALERTMANAGER, *map(_inhibition, DETECTORS), OPERATORS])


def _inhibition(spec: DetectorSpec) -> str:
    if not spec.inhibits:
        return ""
    # What is found of the fleet as a whole bears no receiver's name.
    equal = "job, instance, receiver" if spec.subject is Subject.RECEIVER else "job, instance"
    return INHIBITION.format(cause=spec.symptom, effects="|".join(spec.inhibits), equal=equal)


FILES = {"fleet-health.rules.yml": rules, "alertmanager.yml": alertmanager}


def main() -> int:
    """Write the files, or check them."""
    outdated = []
    for name, make in FILES.items():
        path, text = HERE / name, make()
        if "--check" in sys.argv[1:]:
            outdated += [] if path.exists() and path.read_text() == text else [name]
        else:
            path.write_text(text)
    for name in outdated:
        sys.stderr.write(f"{name} is not what {Path(__file__).name} would write; run it\n")
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
