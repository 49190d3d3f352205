"""`python -m speechcli` is the command `speechcli`."""

import sys

from speechcli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
