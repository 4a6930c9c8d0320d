"""Control groups, version 2: the hierarchy of groups of tasks, and the controllers of what they use."""
