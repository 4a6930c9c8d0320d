"""Time (time(7)): the clocks, what work costs by them, and the queue of what they wake."""
