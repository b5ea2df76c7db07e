from modelscope_vitadapter.training.run_directory import (
    BEST,
    PERIODIC,
    checkpoint_files,
    latest_checkpoint,
    saved_checkpoints,
)


def test_whole_checkpoints_of_a_run_in_order_of_their_steps(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nothing") is None
    best = ["best_iter9_mIoU0.1000", "best_iter10_mIoU0.0900"]
    for name in ["iter_9", "iter_10", *best, "iter_900_backup", "my_iter_900"]:
        for path in checkpoint_files(tmp_path / name):
            path.touch()
    (tmp_path / "iter_11_trainer_state.pth").touch()
    (tmp_path / "iter_12.pth").touch()
    found = {names: saved_checkpoints(tmp_path, names) for names in (PERIODIC, BEST)}
    assert found[PERIODIC] == [(9, tmp_path / "iter_9"), (10, tmp_path / "iter_10")]
    assert found[BEST] == [(9, tmp_path / best[0]), (10, tmp_path / best[1])]
    assert latest_checkpoint(tmp_path) == tmp_path / "iter_10"


def test_a_checkpoint_may_be_named_by_its_weights(tmp_path):
    for name in ("iter_9", "best_iter9_mIoU0.1000"):
        files = checkpoint_files(tmp_path / name)
        assert [path.name for path in files] == [f"{name}.pth", f"{name}_trainer_state.pth"]
        assert checkpoint_files(files[0]) == files
