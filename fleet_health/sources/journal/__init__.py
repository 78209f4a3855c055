"""The journal as a source: followed, or read once."""
