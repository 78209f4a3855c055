"""The HTTP API on the control socket and the read-only listener, with the page and the metrics."""
