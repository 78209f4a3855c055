"""The parts of the daemon, and how they notify systemd."""
