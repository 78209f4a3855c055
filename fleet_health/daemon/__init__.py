"""The service as one process: its parts, and how they start, are reconfigured, report and stop."""
