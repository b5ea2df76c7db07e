import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.network.mask2former_head import semantic_scores
from tests.support.networks import random_image, tiny_network


@pytest.fixture(scope="module")
def network():
    return tiny_network()


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 40), (31, 33), (33, 70), (64, 64), (65, 64), (32, 256), (200, 90)]
)
def test_any_window_gives_a_score_for_every_pixel(network, size):
    with torch.no_grad():
        scores = network(random_image(2, 3, *size))
    assert scores.shape == (2, 5, *size)
    assert torch.isfinite(scores).all()
    assert scores.min() >= 0


def test_scores_are_resized_to_the_window(network):
    image = random_image(1, 3, 64, 96)
    with torch.no_grad():
        scores = semantic_scores(*network.decode_head(network.backbone(image)))
        expected = F.interpolate(scores, (64, 96), mode="bilinear", align_corners=False)
        assert torch.equal(network(image), expected)


def test_odd_windows_are_padded_with_zeros_at_the_bottom_and_the_right(network):
    image = random_image(1, 3, 33, 70)
    padded = torch.zeros(1, 3, 64, 96)
    padded[:, :, :33, :70] = image
    with torch.no_grad():
        assert torch.equal(network(image), network(padded)[..., :33, :70])


def test_align_corners():
    image = random_image(1, 3, 64, 64)
    network = tiny_network({"model.decode_head.align_corners": True})
    with torch.no_grad():
        scores = semantic_scores(*network.decode_head(network.backbone(image)))
        expected = F.interpolate(scores, (64, 64), mode="bilinear", align_corners=True)
        assert torch.equal(network(image), expected)


def test_pictures_of_a_batch_do_not_touch_each_other(network):
    images = random_image(2, 3, 32, 64)
    with torch.no_grad():
        together = network(images)
        for i in range(2):
            torch.testing.assert_close(
                together[i : i + 1], network(images[i : i + 1]), rtol=1e-3, atol=1e-4
            )
