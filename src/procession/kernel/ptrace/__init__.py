"""Tracing one task by another: ptrace(2)."""
