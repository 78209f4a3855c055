"""The past: what both sources show of it, evaluated again at each tick."""
