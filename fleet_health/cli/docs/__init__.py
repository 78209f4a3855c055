"""The manual pages, made from the parser and from the configuration's keys."""
