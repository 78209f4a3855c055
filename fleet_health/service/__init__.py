"""The daemon: what runs, in which order it starts and stops, and how it speaks with systemd."""
