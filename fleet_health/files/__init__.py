"""Access to files in shared directories, rotated and compressed files, and files on disks that hang."""
