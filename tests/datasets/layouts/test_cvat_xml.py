"""CVAT's XML: where it and its images may be, shapes and their order, what is refused."""

import pytest

from modelscope_vitadapter.datasets.layouts import cvat_xml
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import SIZE, write_image

SQUARE = (
    '<polygon label="cat" points="0,0;2.00,0;2,2;0,2" z_order="0"><attribute name="a"/></polygon>'
)
META = "<meta><task><labels>{}</labels></task></meta>".format(
    "".join(f"<label><name>{one}</name></label>" for one in ("sky", "cat"))
)


def image(name, *shapes, more=""):
    size = f'width="{SIZE[1]}" height="{SIZE[0]}"'
    return f'<image id="0" name="{name}" {size} {more}>{"".join(shapes)}</image>'


def write_cvat(path, *images, meta=META):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotations><version>1.1</version>{meta}{''.join(images)}</annotations>")


def single(root, *shapes, **options):
    write_image(root / "images" / "a.jpg")
    write_cvat(root / "annotations.xml", image("a.jpg", *shapes), **options)
    return cvat_xml.find(root, None).pairs[0][1].ids()


@pytest.mark.parametrize(
    ("file", "images", "names"),
    [
        ("annotations.xml", "images", []),
        ("annotations.xml", ".", []),
        ("val/annotations.xml", "val/images", ["val"]),
    ],
)
def test_places(tmp_path, file, images, names):
    assert cvat_xml.splits(tmp_path) is None
    for name in ("a.jpg", "b/c.jpg"):
        write_image(tmp_path / images / name)
    write_cvat(tmp_path / file, image("a.jpg", SQUARE), image("b/c.jpg"))
    assert cvat_xml.splits(tmp_path) == names
    assert cvat_xml.splits(tmp_path / file) == []
    for root, split in ((tmp_path, names[0] if names else None), (tmp_path / file, None)):
        found = cvat_xml.find(root, split)
        assert found.classes == ("background", "sky", "cat")
        (path, square), (_, empty) = found.pairs
        assert path == tmp_path / images / "a.jpg"
        assert square.ids()[:3, :3].tolist() == [[2, 2, 0], [2, 2, 0], [0, 0, 0]]
        assert not empty.ids().any()


def test_subsets_are_splits(tmp_path):
    for subset in ("Train", "Validation"):
        write_image(tmp_path / "images" / subset / "a.jpg")
    images = [image("a.jpg", more=f'subset="{one}"') for one in ("Train", "Validation")]
    write_cvat(tmp_path / "annotations.xml", *images)
    assert cvat_xml.splits(tmp_path) == ["Train", "Validation"]
    ((path, _),) = cvat_xml.find(tmp_path, "Train").pairs
    assert path == tmp_path / "images" / "Train" / "a.jpg"
    assert len(cvat_xml.find(tmp_path / "annotations.xml", None).pairs) == 2


def test_shapes_and_their_order(tmp_path, caplog):
    mask = '<mask label="sky" rle="1, 3" left="1" top="4" width="2" height="2" z_order="0"/>'
    box = '<box label="sky" xtl="0" ytl="0" xbr="4" ybr="2" z_order="{}"/>'
    line = '<polyline label="sky" points="0,0;1,1"/>'
    ids = single(tmp_path, SQUARE, box.format(0), mask, line, "<tag/>")
    assert ids.tolist() == [[2, 2, 1, 1]] * 2 + [[0] * 4] * 2 + [[0, 0, 1, 0], [0, 1, 1, 0]]
    assert sum("polyline" in one.message for one in caplog.records) == 1
    assert not (single(tmp_path, SQUARE, box.format(1)) == 2).any()


def test_classes_without_a_list(tmp_path):
    single(tmp_path, SQUARE, meta="")
    assert cvat_xml.find(tmp_path, None).classes == ("background", "cat")


@pytest.mark.parametrize(
    "wrong",
    [
        '<polygon label="dog" points="0,0;1,1;0,1"/>',
        '<polygon label="cat" points="0,0;1,x;0,1"/>',
        '<polygon label="cat" points="0,0;1;0,1"/>',
        '<polygon label="cat" points="nan,0;1,1;0,1"/>',
        '<polygon label="cat" points="0,0;1,1;0,1" z_order="top"/>',
        '<box label="cat" xtl="0" ytl="0" xbr="4"/>',
        '<mask label="cat" rle="1, 2" left="0" top="0" width="2" height="2"/>',
        '<mask label="cat" rle="inf" left="0" top="0" width="2" height="2"/>',
        '<mask label="cat" rle="4" left="0" top="0" width="200000" height="200000"/>',
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path, wrong):
    with pytest.raises(DataSetError, match=r"shape 0 of image 'a\.jpg' of .*annotations\.xml"):
        single(tmp_path, wrong)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "entities"),
        ("<annotations>", "can't be read as XML"),
        ("<annotation/>", "holds <annotation>"),
        ("<annotations/>", "lists no images"),
        ('<annotations><image name="../a.jpg"/></annotations>', r"\.\./"),
        ('<annotations><image name="a.jpg"/></annotations>', "height 0"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, text, says):
    write_image(tmp_path / "a.jpg")
    file = tmp_path / "annotations.xml"
    for encoding in ("utf-8", "utf-16"):
        file.write_text(text, encoding)
        with pytest.raises(DataSetError, match=says if encoding == "utf-8" else "UTF-8"):
            cvat_xml.find(file, None)


def test_a_missing_image(tmp_path):
    write_cvat(tmp_path / "annotations.xml", image("a.jpg"))
    with pytest.raises(DataSetNotFoundError, match=r"image 'a\.jpg' of .*is not there"):
        cvat_xml.find(tmp_path, None)
