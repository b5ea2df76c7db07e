import torch

from modelscope_vitadapter.training.criterion.targets import batch_targets, targets_of


def test_each_class_is_one_target_and_ignored_pixels_are_in_none():
    classes = torch.tensor([[7, -1, 2], [2, 7, 0]], dtype=torch.int16)
    targets = targets_of(classes)
    assert targets.labels.tolist() == [0, 2, 7]
    assert targets.labels.dtype == torch.int64
    assert targets.masks.dtype == torch.bool
    assert targets.masks.int().tolist() == [
        [[0, 0, 0], [0, 0, 1]],
        [[0, 0, 1], [1, 0, 0]],
        [[1, 0, 0], [0, 1, 0]],
    ]
    assert not targets.masks[:, 0, 1].any()


def test_a_map_that_is_all_ignored_has_no_targets():
    targets = targets_of(torch.full((3, 4), -1, dtype=torch.int16))
    assert targets.labels.shape == (0,)
    assert targets.masks.shape == (0, 3, 4)


def test_a_batch_has_the_targets_of_each_map():
    maps = torch.tensor([[[1, 1], [0, 5]], [[-1, -1], [-1, -1]], [[3, 3], [3, -1]]]).short()
    for own, one in zip(batch_targets(maps, "cpu"), maps, strict=True):
        expected = targets_of(one)
        assert torch.equal(own.labels, expected.labels)
        assert torch.equal(own.masks, expected.masks)
