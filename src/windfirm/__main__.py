"""``python -m windfirm``: the command line."""

import sys

from windfirm.cli import main

if __name__ == "__main__":
    sys.exit(main())
