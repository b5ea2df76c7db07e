"""What a person may type, and the images and names that come of it."""

import io
import json

import pytest

from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.prediction.sources import Names, items_of
from tests.datasets.makers import write_image


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.PNG", "城市/东 1/c.jpg", ".hidden.jpg"):
        write_image(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    (tmp_path / "film.mp4").write_bytes(b"")
    return tmp_path / "photos"


def found(*names, **options):
    return [(item.input, item.place) for item in items_of(names, **options)]


def test_files_folders_and_patterns(photos):
    flat = [("photos/a.jpg", "a.jpg"), ("photos/b.PNG", "b.PNG")]
    deep = ("photos/城市/东 1/c.jpg", "城市/东 1/c.jpg")
    assert found("photos/a.jpg") == flat[:1]
    assert found("photos") == flat
    assert found("photos", recursive=True) == [*flat, deep]
    assert found("photos/**/*.jpg") == [flat[0], deep]
    assert found("photos/*.jpg") == flat[:1]
    assert [item.is_video for item in items_of(["film.mp4", "photos/a.jpg"])] == [True, False]
    both = found("photos", "photos/城市", recursive=True)
    assert [place for _, place in both] == [
        *("photos/a.jpg", "photos/b.PNG", "photos/城市/东 1/c.jpg", "城市/东 1/c.jpg")
    ]


def test_addresses_and_lists(photos, monkeypatch):
    address = "https://example.org/x/%E5%9F%8E.jpg?token=1"
    assert found(address) == [(address, "城.jpg")]
    folder = photos.parent
    (folder / "l.txt").write_text(f"photos/a.jpg\n# no\n\n{address}\n{photos}/b.PNG\n")
    expected = [("photos/a.jpg", "photos/a.jpg"), (address, "城.jpg"), (f"{photos}/b.PNG", "b.PNG")]
    assert found("l.txt") == expected
    (folder / "l.csv").write_text("id,Image:FILE\n1,photos/a.jpg\n")
    (folder / "l.jsonl").write_text(json.dumps({"image": "photos/a.jpg"}))
    for name in ("l.csv", "l.jsonl"):
        assert found(name) == expected[:1]
    monkeypatch.setattr("sys.stdin", io.StringIO("photos/a.jpg\n\nphotos\n"))
    assert len(found("-")) == 3


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("nowhere.jpg", DataSetNotFoundError, "does not exist: expected an image"),
        ("nowhere.txt", DataSetNotFoundError, "list 'nowhere.txt' does not exist"),
        ("photos/*.gif", DataSetNotFoundError, "matches nothing"),
        ("photos/*.txt", DataSetNotFoundError, "matches 1 files, none of them an image"),
        ("photos/城市", DataSetError, "holds no images; recursive=True goes into"),
        ("bad.csv", DataSetError, "no column of name is called 'image'"),
        ("empty.txt", DataSetError, "names no images"),
    ],
)
def test_what_is_not_there(photos, name, error, says):
    (photos.parent / "bad.csv").write_text("name\nx.jpg")
    (photos.parent / "empty.txt").write_text("\n")
    with pytest.raises(error, match=says):
        found(name)


def test_no_two_images_have_the_same_name_and_earlier_ones_stay(photos):
    write_image(photos / "a.png")
    items = list(items_of(["photos", "photos/a.jpg", str(photos / "a.jpg")]))
    names = Names({})
    assert [names.of(item) for item in items] == [
        *("photos/a", "photos/a.png", "photos/b", "photos/a", "a")  # the fourth is the first
    ]
    later = Names({items[1].input: "photos/a.png"})
    assert later.of(items[1]) == "photos/a.png"
