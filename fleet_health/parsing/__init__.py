"""From bytes to observations, or to a counted rejection. Pure: no file, no clock."""
