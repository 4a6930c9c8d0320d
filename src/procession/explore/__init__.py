"""The search of schedules: every order in which a program's processes may go on, and which of them fail."""

from __future__ import annotations
