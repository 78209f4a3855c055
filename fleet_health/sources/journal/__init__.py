"""The journal as a source, to follow or to read once."""
