"""The two halves of `fleet-health check`: reading the fleet once, and sending the alerts."""
