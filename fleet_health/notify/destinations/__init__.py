"""The types of destinations, one module for each."""
