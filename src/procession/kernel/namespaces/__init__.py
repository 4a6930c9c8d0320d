"""What a task sees of the machine as its own (namespaces(7))."""
