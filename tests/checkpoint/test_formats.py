import os
import zipfile

import numpy as np
import pytest
import torch

from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (LFS, "git lfs pull"),
        (b"<!DOCTYPE html><html>404", "web page"),
        (b"\n <html><body>denied", "web page"),
        (b"hello world, this is text", "text file that begins with 'hello world"),
        (b"\x00\x01\x02\x03" * 40, "unknown format .*00 01 02 03"),
        (b"\x1f\x8b\x08\x00gzip", "unknown format"),
        (b"PK\x03\x04", "no readable table of contents"),
        (b"\x80\x02", "damaged, cut short or not a checkpoint"),
        (b"\x80\x02}q\x00.", "a pickle but not a checkpoint"),
        (b"\x02\0\0\0\0\0\0\0{", "cut short"),
    ],
)
@pytest.mark.parametrize("name", ["pytorch_model.pt", "model.safetensors"])
def test_what_is_no_checkpoint_is_named(tmp_path, content, said, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="does not exist"):
        open_checkpoint(tmp_path / "pytorch_model.pt")


def test_a_directory_in_place_of_a_file(tmp_path):
    with pytest.raises(CheckpointError, match="is a directory"):
        open_checkpoint(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "pytorch_model.pt"
    path.write_bytes(b"x")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    # Permissions don't bind root, which tests in containers run as.
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be opened.*Permission denied"):
        open_checkpoint(path)


def test_another_kind_of_zip(tmp_path):
    path = tmp_path / "pytorch_model.pt"
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(CheckpointError, match=r"zip file but no PyTorch checkpoint"):
        open_checkpoint(path)


def test_torchscript_is_named(tmp_path):
    path = tmp_path / "pytorch_model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"archive/{name}", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        open_checkpoint(path)


def test_the_content_decides_not_the_name(tmp_path, state):
    torch.save(state, tmp_path / "model.safetensors")
    source = open_checkpoint(tmp_path / "model.safetensors")
    assert set(source.tensors) == set(state)
    source.close()


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pytorch_model.pt")
    with pytest.raises(CheckpointError, match="pipe or a device"):
        open_checkpoint(tmp_path / "pytorch_model.pt")


def test_links_in_a_circle(tmp_path):
    path = tmp_path / "pytorch_model.pt"
    try:
        path.symlink_to(path)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        open_checkpoint(path)
