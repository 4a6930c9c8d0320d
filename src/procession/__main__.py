"""`python -m procession`: the same as the `procession` command."""

from __future__ import annotations

from procession.cli import main

if __name__ == "__main__":
    main()
