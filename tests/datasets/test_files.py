"""Files below folders, with links."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import LABEL_SUFFIXES, files_below
from tests.datasets.makers import write_labels


def names_below(folder):
    return [one.relative_to(folder).as_posix() for one in files_below(folder, LABEL_SUFFIXES)]


def test_links_are_followed_but_back(tmp_path, monkeypatch):
    root = tmp_path / "data" / "labels"
    write_labels(root / "a" / "x.png", 0)
    write_labels(tmp_path / "elsewhere" / "y.png", 0)
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "c").symlink_to(root / "a")  # two cameras with the same label maps
    for number, target in enumerate((root, root / "a", root.parent)):
        (root / "a" / f"back{number}").symlink_to(target)
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert names_below(root) == ["a/x.png", "b/y.png", "c/x.png"]
    monkeypatch.chdir(root)
    assert len(list(files_below(Path(), LABEL_SUFFIXES))) == 3
