"""Who may do what: credentials(7), capabilities(7), and access to other tasks."""
