import numpy as np

from benchmarks.agreement import compare_logits


def save(path, class_logits, mask_logits, class_map, allowed=(1, 1, 1, 1, 0, 0, 0, 0)):
    windows = {"allowed_0": np.packbits([allowed])}
    for i, (one, other) in enumerate(zip(class_logits, mask_logits, strict=True)):
        windows[f"class_logits_{i}"] = np.asarray(one, np.float32)
        windows[f"mask_logits_{i}"] = np.asarray(other, np.float32)
    np.savez(path, class_map=np.asarray(class_map), **windows)
    return path


def test_equal_answers(tmp_path):
    one = save(tmp_path / "a.npz", [[1.0, -4.0]], [[2.0]], [[0, 1]])
    answer = compare_logits(one, one)
    assert answer["class"] == {"largest": 0.0, "relative_l2": 0.0, "scale": 4.0}
    assert answer["equal_pixels"] == 1.0
    assert answer["classes"] == 2


def test_differences_over_all_windows(tmp_path):
    expected = save(tmp_path / "b.npz", [[3.0, 0.0], [0.0, -4.0]], [[1.0], [1.0]], [[0, 1, 1, 1]])
    found = save(tmp_path / "f.npz", [[3.0, 0.0], [0.0, -3.0]], [[1.0], [1.0]], [[0, 1, 2, 1]])
    answer = compare_logits(found, expected)
    assert answer["class"] == {"largest": 0.25, "relative_l2": 0.2, "scale": 4.0}
    assert answer["mask"]["largest"] == 0.0
    assert answer["equal_pixels"] == 0.75


def test_flipped_entries_of_attention_masks_are_counted(tmp_path):
    one = save(tmp_path / "a.npz", [[1.0]], [[1.0]], [[0]])
    two = save(tmp_path / "b.npz", [[1.0]], [[1.0]], [[0]], allowed=(1, 1, 0, 1, 0, 0, 0, 1))
    assert compare_logits(one, one)["flipped"] == 0
    answer = compare_logits(two, one)
    assert (answer["flipped"], answer["mask_entries"]) == (2, 8)
