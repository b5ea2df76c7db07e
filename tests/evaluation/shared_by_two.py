"""Run by `torchrun`: evaluates plain pairs, may stop early, and writes what each process found."""

import contextlib
import json
import sys
from pathlib import Path

from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.distributed import joined_processes, process_index
from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.evaluation.resume import SavedCounts
from tests.evaluation.makers import plain_pairs


def main(folder: Path, images: int, stop_after: int) -> None:
    seen = 0

    def segment(given):
        nonlocal seen
        for image in given:
            if seen == stop_after:
                raise SystemExit(0)
            seen += 1
            yield image[:, :, 0]

    counts = None
    with joined_processes(on_gpu=False):
        dataset, saved = open_dataset(plain_pairs(images)), SavedCounts(folder / "state", "this")
        with contextlib.suppress(SystemExit):
            counts = confusion_matrix(segment, dataset, 3, saved=saved).counts.tolist()
        text = json.dumps({"seen": seen, "counts": counts})
        (folder / f"result{process_index()}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
