"""Where alerts and state are written. Nothing here decides whether there is something to write."""
