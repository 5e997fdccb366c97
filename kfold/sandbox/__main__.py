"""`python -m kfold.sandbox`."""

import sys

from kfold.sandbox.command import main

if __name__ == "__main__":
    sys.exit(main())
