"""The sources of observations. A source delivers observations and reports its own state, and knows no detectors."""
