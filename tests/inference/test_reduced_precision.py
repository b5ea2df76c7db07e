import logging

import pytest
import torch

from modelscope_vitadapter.inference import reduced_precision
from modelscope_vitadapter.inference.reduced_precision import (
    time_of_product,
    usable_dtype,
)

CPU = torch.device("cpu")
REDUCED = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


@pytest.fixture
def processor(monkeypatch, caplog):
    """A processor that reports some names and takes some seconds for a product in each type."""
    measured = []

    def describe(names=(), **seconds):
        def take(dtype):
            measured.append(dtype)
            return seconds[str(dtype).removeprefix("torch.")]

        report = dict.fromkeys(names, True)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: report, raising=False)
        monkeypatch.setattr(reduced_precision, "time_of_product", take)
        return measured

    logger = reduced_precision.logger
    logger.addHandler(caplog.handler)
    reduced_precision.faster_dtype.cache_clear()
    yield describe
    reduced_precision.faster_dtype.cache_clear()
    logger.removeHandler(caplog.handler)


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


@REDUCED
def test_float32_where_it_is_faster_and_one_warning(processor, caplog, dtype):
    measured = processor(["avx2"], float32=1.0, bfloat16=2.0, float16=2.0)
    assert [usable_dtype(dtype, CPU) for _ in range(3)] == [torch.float32] * 3
    assert len(measured) == 2
    (warning,) = warnings(caplog)
    assert str(dtype).removeprefix("torch.") in warning
    assert "float32 is used" in warning


@REDUCED
def test_the_type_itself_where_it_is_faster_all_the_same(processor, caplog, dtype):
    processor(["avx2"], float32=2.0, bfloat16=1.0, float16=1.0)
    assert [usable_dtype(dtype, CPU) for _ in range(3)] == [dtype] * 3
    (warning,) = warnings(caplog)
    assert "used all the same" in warning


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.bfloat16, "avx512_bf16"),
        (torch.bfloat16, "amx_bf16"),
        (torch.bfloat16, "bf16"),
        (torch.float16, "avx512_fp16"),
        (torch.float16, "fp16_arith"),
    ],
)
def test_nothing_is_measured_where_there_are_instructions(processor, caplog, dtype, name):
    measured = processor([name])
    assert usable_dtype(dtype, CPU) is dtype
    assert (measured, warnings(caplog)) == ([], [])


@pytest.mark.parametrize(
    ("dtype", "device"),
    [
        (torch.float32, "cpu"),
        (torch.bfloat16, "cuda:0"),
        (torch.float16, "mps"),
        (torch.bfloat16, "meta"),
    ],
)
def test_other_devices_and_float32_are_taken_as_asked_for(processor, caplog, dtype, device):
    measured = processor()
    assert usable_dtype(dtype, torch.device(device)) is dtype
    assert (measured, warnings(caplog)) == ([], [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_takes_time(dtype):
    assert time_of_product(dtype) > 0
