"""The parts of the daemon: what runs, and how it speaks with systemd."""
