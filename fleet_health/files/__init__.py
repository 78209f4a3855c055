"""Files in directories that somebody else may write to, and files that are rotated."""
