"""Peak memory of large pictures, many windows and many classes; `--help` says more."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # The folder of a script comes first in the import path; its parent holds the packages.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.peaks import main

    sys.exit(main())
