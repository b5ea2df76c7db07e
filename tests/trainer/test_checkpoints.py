import pytest

from modelscope_vitadapter.plugin.trainer.checkpoints import (
    BEST,
    PERIODIC,
    latest_checkpoint,
    saved_checkpoints,
)


@pytest.fixture
def run(tmp_path):
    """A run's directory: name of the checkpoint to the endings that there are."""

    def write(name, *endings):
        for ending in endings:
            (tmp_path / f"{name}{ending}").touch()

    for name in ("iter_9", "iter_10", "best_iter9_mIoU0.1000", "best_iter10_mIoU0.0900"):
        write(name, ".pth", "_trainer_state.pth")
    write("iter_11", "_trainer_state.pth")
    write("iter_12", ".pth")
    write("iter_900_backup", ".pth", "_trainer_state.pth")
    write("my_iter_900", ".pth", "_trainer_state.pth")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (PERIODIC, ["iter_9", "iter_10"]),
        (BEST, ["best_iter9_mIoU0.1000", "best_iter10_mIoU0.0900"]),
    ],
)
def test_whole_checkpoints_of_a_run_in_order_of_their_steps(run, names, expected):
    assert saved_checkpoints(run, names) == [run / name for name in expected]


def test_the_latest_is_that_of_the_furthest_step(run):
    assert latest_checkpoint(run) == run / "iter_10"


def test_there_may_be_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nothing") is None
