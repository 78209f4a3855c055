"""The configuration: its keys (`schema`), the kinds of values (`values`), and how it is loaded (`loading`)."""
