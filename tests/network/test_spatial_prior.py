import torch

from modelscope_vitadapter.network.spatial_prior import SpatialPriorModule
from tests.support.networks import random_image, randomise


def test_shapes_of_the_pyramid():
    module = randomise(SpatialPriorModule(inplanes=4, embed_dim=6)).eval()
    c1, c2, c3, c4 = module(random_image(2, 3, 64, 96))
    assert c1.shape == (2, 6, 16, 24)
    assert [tuple(c.shape) for c in (c2, c3, c4)] == [(2, 96, 6), (2, 24, 6), (2, 6, 6)]


def test_each_map_is_a_projection_of_the_one_before_it():
    module = randomise(SpatialPriorModule(inplanes=4, embed_dim=6)).eval()
    image = random_image(1, 3, 32, 32)
    fine = module.stem(image)
    eighth = module.conv2(fine)
    sixteenth = module.conv3(eighth)
    coarse = module.conv4(sixteenth)
    c1, *tokens = module(image)
    torch.testing.assert_close(c1, module.fc1(fine))
    maps = (module.fc2(eighth), module.fc3(sixteenth), module.fc4(coarse))
    for found, expected in zip(tokens, maps, strict=True):
        torch.testing.assert_close(found, expected.flatten(2).transpose(1, 2))
    assert [m.shape[1] for m in (fine, eighth, sixteenth, coarse)] == [4, 8, 16, 16]
