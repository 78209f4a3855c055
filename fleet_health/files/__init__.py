"""Files in directories that other users may write to, rotated files, and disks that hang."""
