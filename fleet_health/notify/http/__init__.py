"""HTTP requests of destinations: what urllib3 may do, and what a response means."""
