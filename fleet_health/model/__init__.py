"""What is known: observations, and the tables that hold them. Pure: no file, no clock, no loop."""
