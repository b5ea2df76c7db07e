"""Run by `torchrun`: evaluates plain pairs, may stop early, and writes what each process found."""

import json
import sys
from pathlib import Path

from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.evaluation.measuring import measure
from modelscope_vitadapter.evaluation.processes import joined_processes
from modelscope_vitadapter.evaluation.saved_counts import SavedCounts
from tests.evaluation.makers import plain_pairs


def main(folder: Path, pictures: int, stop_after: int) -> None:
    seen = 0

    def segment(images):
        nonlocal seen
        for image in images:
            if seen == stop_after:
                raise SystemExit(0)
            seen += 1
            yield image[:, :, 0]

    with joined_processes("cpu") as processes:
        data = open_labelled(plain_pairs(pictures))
        saved = SavedCounts(folder / "state", "this")
        try:
            counts = measure(segment, data, 3, saved=saved, ahead=0).counts.tolist()
        except SystemExit:
            counts = None
        result = {"seen": seen, "counts": counts, "processes": processes.count}
        (folder / f"result{processes.rank}.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
