"""The name, kind and description of each metric. Pure."""

from __future__ import annotations

from fleet_health.api.exposition import Family

BUILD = Family("fleet_health_build_info", "gauge", "The running version; always 1.")
STARTED = Family("process_start_time_seconds", "gauge", "Start of the service, as a Unix time.")
CPU = Family("process_cpu_seconds_total", "counter", "Processor time that the service has used.")
MEMORY = Family("process_resident_memory_bytes", "gauge", "Resident memory of the service.")
DESCRIPTORS = Family("process_open_fds", "gauge", "Open file descriptors.")
MOST_DESCRIPTORS = Family("process_max_fds", "gauge", "The limit of open file descriptors.")

TICK = Family("fleet_health_tick_seconds", "gauge", "The interval between evaluations.")
EVALUATIONS = Family("fleet_health_evaluations_total", "counter", "Finished evaluations.")
LAST_EVALUATION = Family(
    "fleet_health_last_evaluation_timestamp_seconds", "gauge", "Unix time of the latest evaluation."
)
NEXT_EVALUATION = Family(
    "fleet_health_next_evaluation_timestamp_seconds", "gauge", "Unix time at which the next evaluation is due."
)
DURATION = Family("fleet_health_evaluation_duration_seconds", "histogram", "The duration of evaluations.")
EVALUATED = Family(
    "fleet_health_symptom_evaluated",
    "gauge",
    "Whether the latest evaluation looked for a symptom; 0 if it could not.",
)
PROBLEMS = Family("fleet_health_problems", "gauge", "Problems that the service reports about itself.")

SOURCE_UP = Family("fleet_health_source_up", "gauge", "Whether a source can be read and is understood.")
SOURCE_READ_UNTIL = Family(
    "fleet_health_source_read_until_timestamp_seconds", "gauge", "Unix time up to which a source has been read."
)
SOURCE_NEWEST = Family(
    "fleet_health_source_newest_timestamp_seconds", "gauge", "Unix time of the newest entry of a source."
)
READ = Family("fleet_health_source_entries_total", "counter", "Rows and journal entries that were read.")
REJECTED = Family(
    "fleet_health_source_rejections_total", "counter", "Rows and lines that were not understood, by reason."
)
GAPS = Family("fleet_health_source_gaps_total", "counter", "Gaps that were found in a source.")
RETRIES = Family("fleet_health_retries_total", "counter", "Retries after failures.")
RELOADS = Family("fleet_health_reloads_total", "counter", "Reloads of the configuration, by outcome.")

RESPONSES = Family(
    "fleet_health_responses_total",
    "counter",
    "Responses of a receiver to uploads since the service started, by the class of their status.",
)
HOSTS = Family("fleet_health_hosts", "gauge", "Hosts by state.")
INCIDENTS = Family("fleet_health_incidents", "gauge", "Open incidents by symptom and state.")
DECIDED = Family("fleet_health_notifications_total", "counter", "Notifications that were decided, by symptom and kind.")
DELIVERED = Family(
    "fleet_health_deliveries_total",
    "counter",
    "Notifications by destination and outcome; failed ones are retried.",
)
WAITING = Family("fleet_health_notifications_waiting", "gauge", "Notifications that wait for the alert log.")
INCIDENT = Family(
    "fleet_health_incident_opened_timestamp_seconds",
    "gauge",
    "Unix time at which an open incident opened.",
)

HOST_UPLOADED = Family(
    "fleet_health_host_last_upload_timestamp_seconds", "gauge", "Unix time of the latest upload of a host."
)
HOST_RESPONSES = Family(
    "fleet_health_host_responses_total",
    "counter",
    "Responses to a host since the service started, by the class of their status.",
)
HOST_STATE = Family("fleet_health_host_state", "gauge", "The state that a host is in; always 1.")

FAMILIES: tuple[Family, ...] = tuple(one for one in list(globals().values()) if isinstance(one, Family))
"""All metrics."""
