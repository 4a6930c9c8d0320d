"""The virtual file system: names, inodes, open files, and the file systems themselves."""
