"""Report which hosts of a fleet are in trouble, from the journal and the index of their receiver."""
