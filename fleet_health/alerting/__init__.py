"""What is said about it: incidents from their opening to their end, and what suppresses their alerts. Pure."""
