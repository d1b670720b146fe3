"""``python -m export``."""

import sys

from export.cli.main import main

if __name__ == "__main__":  # conversions start processes that import this file again
    sys.exit(main())
