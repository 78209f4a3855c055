"""The pure core: what was observed, and what follows from it at an instant that the caller names.

Nothing here awaits, opens a file, reads a clock or logs.
"""
