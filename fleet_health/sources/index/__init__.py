"""The index as a source, to follow or to read once."""
