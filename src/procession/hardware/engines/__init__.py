"""Processors that the kernel can run on."""
