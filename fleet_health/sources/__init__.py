"""The sources of observations. A source knows no detector: it delivers what it reads, and its own state."""
