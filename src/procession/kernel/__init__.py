"""The kernel: tasks and what they live by, a file for each noun and verb."""
