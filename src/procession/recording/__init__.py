"""Recordings: everything that a run depends on in one small file, and the same run again from it."""
