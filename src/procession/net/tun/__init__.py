"""Interfaces whose other end is a program: tun and tap."""
