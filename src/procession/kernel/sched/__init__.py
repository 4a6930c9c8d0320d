"""Who runs next (sched(7)): run queues, policies, priorities and the load."""
