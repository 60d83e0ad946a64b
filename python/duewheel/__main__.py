"""`python -m duewheel`: the command line."""

import sys

from duewheel.cli import main

if __name__ == "__main__":
    sys.exit(main())
