"""How long a test waits for what must come."""

PATIENCE_S = 60.0
"""It is never reached when all is well, however busy the machine."""

POLL_S = 0.01
"""The wait between two looks."""
