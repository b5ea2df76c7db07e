import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.images.writing import write_image
from modelscope_vitadapter.visualization import color_map, draw, draw_result

CLASSES, PALETTE = ["sky", "sea", "boat"], [[0, 0, 200], [0, 120, 0], [250, 0, 0]]
PLAIN = {"outlines": False, "names": False, "legend": False}


def scene(height=60, width=80):
    """Grey BGR and a class map: sky over sea, without a boat; the last row belongs to nothing."""
    class_map = np.zeros((height, width), np.int64)
    class_map[height // 2 :], class_map[-1] = 1, -1
    return np.full((height, width, 3), (40, 90, 140), np.uint8), class_map


def test_colours_lie_over_the_image_and_leave_what_has_no_class():
    image, class_map = scene()
    class_map[0] = 255
    before = image.copy(), class_map.copy()
    drawn = draw(image, class_map, CLASSES, PALETTE, opacity=0.5, ignore_id=255, **PLAIN)
    assert (drawn.mode, drawn.size) == ("RGB", (80, 60))
    assert drawn.getpixel((5, 5)) == (70, 45, 120)
    assert drawn.getpixel((5, 40)) == (70, 105, 20)
    assert drawn.getpixel((5, 0)) == drawn.getpixel((5, 59)) == (140, 90, 40)
    assert all(map(np.array_equal, (image, class_map), before))


def test_a_class_has_its_colour_in_whatever_company():
    flat = color_map(np.array([[2, 1, 7], [-3, 0, 2]], np.int16), PALETTE, ignore_id=7)
    expected = [[PALETTE[2], PALETTE[1], [0, 0, 0]], [[0, 0, 0], PALETTE[0], PALETTE[2]]]
    assert flat.dtype == np.uint8
    assert flat.tolist() == expected
    assert color_map(np.array([[2]], np.uint8), PALETTE)[0, 0].tolist() == PALETTE[2]


def test_outlines_lie_in_the_larger_class_and_never_on_pixels_without_one():
    image, class_map = scene()
    class_map[10:30, 20] = 2  # a pole as thin as the line
    drawn = np.asarray(draw(image, class_map, CLASSES, PALETTE, names=False, legend=False))
    plain = np.asarray(draw(image, class_map, CLASSES, PALETTE, **PLAIN))
    changed = (drawn != plain).any(axis=2)
    assert np.array_equal(changed, (drawn == 255).all(axis=2))
    assert changed[15, 18:23].tolist() == [False, True, False, True, False]
    assert changed[29:31, 60].tolist() == [True, False]
    assert np.array_equal(drawn[-1], np.full((80, 3), (140, 90, 40)))


def test_outlines_grow_with_the_image_and_are_left_out_of_noise():
    image, class_map = scene(3000, 3000)
    drawn = np.asarray(draw(image, class_map, CLASSES, PALETTE, names=False, legend=False))
    assert 2 <= (drawn[1400:1600, 500] == 255).all(axis=1).sum() <= 4
    assert not (drawn[-1] == 255).any()
    class_map = np.arange(4800).reshape(60, 80) % 3
    drawn = draw(image[:60, :80], class_map, CLASSES, PALETTE, names=False, legend=False)
    assert np.array_equal(drawn, draw(image[:60, :80], class_map, CLASSES, PALETTE, **PLAIN))


def test_the_image_stands_beside_and_the_legend_around(tmp_path):
    image, class_map = scene(400, 500)
    write_image(tmp_path / "image.png", image)
    plain = {"names": False, "outlines": False}
    alone = draw(tmp_path / "image.png", class_map, CLASSES, PALETTE, **plain, legend=False)
    right = draw(Image.fromarray(image[..., ::-1]), class_map, CLASSES, PALETTE, **plain)
    wide = draw(image, class_map, CLASSES, PALETTE, side_by_side=True, **plain)
    assert right.width > 500
    assert right.height == 400
    assert wide.width == 1000
    assert wide.height > 400
    assert np.array_equal(right.crop((0, 0, 500, 400)), alone)
    assert np.array_equal(wide.crop((0, 0, 500, 400)), image[..., ::-1])
    assert np.array_equal(wide.crop((500, 0, 1000, 400)), alone)


def test_a_single_pixel_has_a_legend_that_can_be_read():
    drawn = draw(np.zeros((1, 1, 3), np.uint8), [[2]], CLASSES, PALETTE, opacity=1)
    assert drawn.getpixel((0, 0)) == tuple(PALETTE[2])
    assert drawn.height > 12
    assert (np.asarray(drawn)[:, 1:] == PALETTE[2]).all(axis=2).any()
    nothing = draw(np.zeros((1, 1, 3), np.uint8), [[-1]], CLASSES, PALETTE)
    assert nothing.size == (1, 1)


def test_both_forms_of_a_result_give_one_picture():
    image, class_map = scene()
    masks = {"masks": [class_map == 1, (class_map == 0) * 1.0], "labels": ["sea", "sky"]}
    ids = {"class_map": class_map, "labels": ["sea", "sky"], "class_ids": [1, 0]}
    expected = draw(image, class_map, CLASSES, PALETTE)
    assert draw_result(image, masks, CLASSES, PALETTE) == expected
    assert draw_result(image, ids, CLASSES, PALETTE) == expected


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda image, ids: draw(image[1:], ids, CLASSES), r"59 x 80 .* 60 x 80"),
        (lambda image, ids: draw(image, ids + 2, CLASSES), r"id 3, .* 0 to 2 .* ignore_id=3"),
        (lambda image, ids: draw(image, ids, CLASSES, PALETTE[:1]), "id 1, but only 0 to 0"),
        (lambda image, ids: draw(image, ids / 2, CLASSES), "float64: expected integers"),
        (lambda image, ids: draw(image, ids, CLASSES, opacity=60), "opacity=60: expected"),
        (lambda image, ids: draw(image, ids, CLASSES, font=__file__), r"font='.*can't be read"),
        (lambda image, ids: draw_result(image, {"scores": []}, CLASSES), "the result has scores"),
        (
            lambda image, ids: draw_result(image, {"masks": [ids], "labels": ["car"]}, CLASSES),
            "label 'car', which is none",
        ),
        (
            lambda image, ids: draw_result(image, {"masks": [ids.T], "labels": ["sea"]}, CLASSES),
            r"\(80, 60\), the image \(60, 80\)",
        ),
    ],
)
def test_what_does_not_fit_is_said(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call(*scene())


def test_importing_it_loads_neither_torch_nor_matplotlib():
    code = "import sys, modelscope_vitadapter.visualization; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "matplotlib", "modelscope"} & set(done.stdout.split())
