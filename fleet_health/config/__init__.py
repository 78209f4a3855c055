"""The configuration: what can be set (`schema`), how a value is written (`values`), and how it is read (`loading`)."""
