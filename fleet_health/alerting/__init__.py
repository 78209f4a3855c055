"""Incidents from their opening to their end, the notifications about them, and what suppresses those. Pure."""
