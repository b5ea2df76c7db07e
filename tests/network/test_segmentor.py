import pytest
import torch

from tests.support.networks import random_image, tiny_network


@pytest.fixture(scope="module")
def network():
    return tiny_network()


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((1, 1), (32, 32)),
        ((1, 40), (32, 64)),
        ((31, 33), (32, 64)),
        ((33, 70), (64, 96)),
        ((64, 64), (64, 64)),
        ((65, 64), (96, 64)),
        ((32, 256), (32, 256)),
        ((200, 90), (224, 96)),
    ],
)
def test_any_window_gives_a_class_and_a_mask_for_each_query(network, size, padded):
    with torch.no_grad():
        class_logits, mask_logits = network(random_image(2, 3, *size))
    assert class_logits.shape == (2, 6, 5 + 1)
    assert mask_logits.shape == (2, 6, padded[0] // 4, padded[1] // 4)
    assert class_logits.dtype == mask_logits.dtype == torch.float32
    assert torch.isfinite(class_logits).all()
    assert torch.isfinite(mask_logits).all()


def test_whole_windows_are_the_heads_answer_to_the_backbone(network):
    image = random_image(1, 3, 64, 96)
    with torch.no_grad():
        expected = network.decode_head(network.backbone(image))
        for found, plain in zip(network(image), expected, strict=True):
            torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-4)


def test_odd_windows_are_padded_with_zeros_at_the_bottom_and_the_right(network):
    image = random_image(1, 3, 33, 70)
    padded = torch.zeros(1, 3, 64, 96)
    padded[:, :, :33, :70] = image
    with torch.no_grad():
        assert all(map(torch.equal, network(image), network(padded)))


def test_pictures_of_a_batch_do_not_touch_each_other(network):
    images = random_image(2, 3, 32, 64)
    with torch.no_grad():
        together = network(images)
        for i in range(2):
            for part, alone in zip(together, network(images[i : i + 1]), strict=True):
                torch.testing.assert_close(part[i : i + 1], alone, rtol=1e-3, atol=1e-4)
