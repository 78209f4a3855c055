"""Access to files despite other users, rotation, compression, and disks that hang."""
