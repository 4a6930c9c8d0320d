"""Who waits for whom, through what: the graph of processes that talk to each other."""
