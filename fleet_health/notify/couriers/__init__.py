"""Couriers: each sends to one destination, and none waits for another."""
