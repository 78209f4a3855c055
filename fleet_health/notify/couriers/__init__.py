"""A courier for each destination: none waits for another."""
