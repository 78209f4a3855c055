"""`[[destinations]]`: to whom notifications are sent. One module for each type declares its keys, without its code."""
