import logging

import pytest
import torch

from modelscope_vitadapter import devices
from modelscope_vitadapter.devices import arrange_network, usable_dtype
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


@pytest.fixture
def warned(monkeypatch, caplog):
    """Warnings on a processor that reports some names."""

    def warnings(*names):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: dict.fromkeys(names, True), raising=False
        )
        return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]

    devices.logger.addHandler(caplog.handler)
    usable_dtype.cache_clear()
    yield warnings
    usable_dtype.cache_clear()
    devices.logger.removeHandler(caplog.handler)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_and_one_warning_where_a_cpu_lacks_instructions(warned, dtype):
    warned("avx2")
    assert [usable_dtype(dtype, torch.device("cpu")) for _ in range(3)] == [torch.float32] * 3
    (warning,) = warned()
    assert str(dtype).removeprefix("torch.") in warning
    assert "float32 is used" in warning


@pytest.mark.parametrize(
    ("dtype", "device", "name"),
    [
        (torch.bfloat16, "cpu", "avx512_bf16"),
        (torch.bfloat16, "cpu", "amx_bf16"),
        (torch.bfloat16, "cpu", "bf16"),
        (torch.float16, "cpu", "avx512_fp16"),
        (torch.float16, "cpu", "fp16_arith"),
        (torch.float32, "cpu", "avx2"),
        (torch.bfloat16, "cuda:0", "avx2"),
        (torch.float16, "mps", "avx2"),
        (torch.bfloat16, "meta", "avx2"),
    ],
)
def test_a_type_is_taken_as_asked_for_elsewhere(warned, dtype, device, name):
    warned(name)
    assert usable_dtype(dtype, torch.device(device)) is dtype
    assert warned() == []
