import torch

from modelscope_vitadapter.devices import arrange_network
from tests.support.networks import random_image, relative_error, tiny_network


def test_cuda_gets_convolutions_channels_last_and_the_same_answer():
    network, image = tiny_network(), random_image(1, 3, 64, 96)
    expected = network(image)  # gradients on: the plain modules
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    arrange_network(network, torch.device("cuda"))
    weight = network.decode_head.pixel_decoder.output_convs[0].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert all(map(torch.equal, network.state_dict().values(), state.values()))
    for found, wanted in zip(network(image), expected, strict=True):
        assert relative_error(found, wanted) < 1e-5


def test_a_cpu_keeps_the_plain_layout():
    network = tiny_network()
    arrange_network(network, torch.device("cpu"))
    assert all(parameter.is_contiguous() for parameter in network.parameters())
