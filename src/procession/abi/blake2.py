"""The hash function by which states, frames and code are told apart, without what module hashlib loads.

That is OpenSSL: milliseconds of each start, more than the first snapshot of a small machine takes.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:
    # A Python may be built without a function of its own.
    from hashlib import blake2b

__all__ = ["blake2b"]
