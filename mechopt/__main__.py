"""`python -m mechopt` is the command `mechopt`."""

import sys

from mechopt.cli import main

if __name__ == "__main__":
    sys.exit(main())
