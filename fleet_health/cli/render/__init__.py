"""Format the output of the commands."""
