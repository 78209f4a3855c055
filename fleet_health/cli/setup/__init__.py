"""Looking for a receiver on this machine, and writing the configuration that watches it."""
