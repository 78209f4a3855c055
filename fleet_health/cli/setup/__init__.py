"""Find a receiver on this machine, and write a configuration for it."""
