"""Report which hosts of a fleet are in trouble, from the journal and the index of their receiver."""

__version__ = "0.1.0"
"""The version in `pyproject.toml`; to look it up in the metadata of the package takes 1.3 MiB of modules."""
