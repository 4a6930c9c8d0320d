"""Looking at a running machine: typed events, stopping at them, its processes, its files."""
