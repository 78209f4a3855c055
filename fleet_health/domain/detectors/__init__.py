"""Detectors find: each looks at the fleet at one instant and says which hosts show its symptom."""
