"""Observations, and the tables that hold them. Pure: no file, no clock, no loop."""
