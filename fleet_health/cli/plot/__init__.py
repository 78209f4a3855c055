"""Draw the picture of `fleet-health replay --plot`."""
