"""The control socket, and what is answered on it."""
