"""Terminals (tty(4)): line disciplines, pseudo-terminals and devpts."""
