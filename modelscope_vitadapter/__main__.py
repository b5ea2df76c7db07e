"""`python -m modelscope_vitadapter`, the same as the command `vitadapter`."""

import sys

from modelscope_vitadapter.command.main import main

if __name__ == "__main__":
    sys.exit(main())
