"""Delivers to destinations what the daemon decides to notify: a process of its own, allowed to use the network."""
