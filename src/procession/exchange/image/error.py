"""What is wrong with an image."""

from __future__ import annotations


class ImageError(ValueError):
    """An image can't be used; the text says why."""
