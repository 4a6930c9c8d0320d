"""Programs: what execve(2) does with a file of each format."""
