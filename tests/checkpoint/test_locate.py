import logging

import pytest

from modelscope_vitadapter.checkpoint.locate import CHECKPOINT_NAMES, find_checkpoint
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_each_name_is_found(tmp_path, name, caplog):
    (tmp_path / name).write_bytes(b"")
    assert find_checkpoint(tmp_path) == tmp_path / name
    assert not caplog.records


def test_several_are_ranked_and_logged(tmp_path, caplog):
    for name in CHECKPOINT_NAMES[1:]:
        (tmp_path / name).write_bytes(b"")
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        assert find_checkpoint(tmp_path).name == "pytorch_model.bin"
    assert "pytorch_model.bin is read" in caplog.text
    (tmp_path / "pytorch_model.pt").write_bytes(b"")
    assert find_checkpoint(tmp_path).name == "pytorch_model.pt"


def test_none_names_all_three(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(tmp_path)
    assert all(name in str(caught.value) for name in CHECKPOINT_NAMES)
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, CheckpointError)


def test_a_missing_directory_is_said(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="not a directory"):
        find_checkpoint(tmp_path / "nowhere")


def test_a_link_that_leads_nowhere_gives_way_to_a_file(tmp_path):
    try:
        (tmp_path / CHECKPOINT_NAMES[0]).symlink_to("gone")
    except OSError:
        pytest.skip("this system makes no symbolic links")
    assert find_checkpoint(tmp_path).name == CHECKPOINT_NAMES[0]
    (tmp_path / CHECKPOINT_NAMES[2]).write_bytes(b"")
    assert find_checkpoint(tmp_path).name == CHECKPOINT_NAMES[2]
