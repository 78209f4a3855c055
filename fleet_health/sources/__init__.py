"""The sources of observations. A source knows no detectors: it delivers observations, and reports its own state."""
