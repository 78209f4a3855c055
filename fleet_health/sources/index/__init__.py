"""The index as a source: followed, or read once."""
