"""The service as one process: how its parts start, reload, report and stop."""
