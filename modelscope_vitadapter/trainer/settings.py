"""What a run is asked to do, beside the recipe."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunSettings:
    """How often a run reports, evaluates and saves.

    Attributes:
        work_dir: everything is written there.
        log_interval: steps between lines of the log.
        evaluation_interval: steps between evaluations; None for ten in a run, 0 for none.
        checkpoint_interval: steps between checkpoints; None for one after each evaluation.
        max_checkpoints: checkpoints that are kept.
        sample_pictures: pictures of the evaluation set that are drawn with every evaluation.
        workers: processes that read and augment pictures.
        tensorboard: write TensorBoard's files.
    """

    work_dir: Path
    log_interval: int = 50
    evaluation_interval: int | None = None
    checkpoint_interval: int | None = None
    max_checkpoints: int = 2
    sample_pictures: int = 4
    workers: int = 2
    tensorboard: bool = True

    def evaluates_every(self, max_iters: int, has_evaluation_set: bool) -> int:
        """Steps between evaluations; 0 for none."""
        if not has_evaluation_set:
            return 0
        if self.evaluation_interval is not None:
            return min(self.evaluation_interval, max_iters)
        return max(max_iters // 10, 1)

    def saves_every(self, max_iters: int) -> int:
        """Steps between checkpoints."""
        if self.checkpoint_interval is not None:
            return min(self.checkpoint_interval, max_iters)
        if self.evaluation_interval:
            return min(self.evaluation_interval, max_iters)
        return max(max_iters // 10, 1)
