"""`python -m airloom.compat script.py args...`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from airloom import compat


def main() -> int:
    """Check the command line and run the script."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.stdout.write("usage: python -m airloom.compat script.py [args...]\n")
        return 0 if len(sys.argv) > 1 else 2
    script = sys.argv[1]
    if not Path(script).is_file():
        sys.stderr.write(f"airloom.compat: there is no file {script}\n")
        return 2
    # The command's user has no other way to see the next step.
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("airloom").setLevel(logging.INFO)
    compat.run(script, sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
