"""Incidents from opening to resolution, their notifications, and the suppression of notifications. Pure."""
