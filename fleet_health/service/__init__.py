"""The parts of the daemon."""
