"""System V's shared memory, semaphores and messages, and the notices of POSIX message queues."""
