"""Signals (signal(7)): sent, kept pending, masked, delivered, and what stops and continues."""
