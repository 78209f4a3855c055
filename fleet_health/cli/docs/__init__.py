"""Make the manual pages from the parser and from the keys of the configuration."""
