"""Evaluate the past again at each tick, from both sources."""
