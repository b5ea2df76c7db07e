"""Options that callers give by name, read leniently and refused clearly."""

from typing import Any

import numpy as np
import torch

from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.failures import OnError

DTYPES = {
    "float32": torch.float32,
    "float": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "half": torch.float16,
    "fp16": torch.float16,
}
"""What `torch_dtype` may be, beside the `torch.dtype` itself."""

OUTPUTS = ("masks", "class_map")


def parse_torch_dtype(value: object) -> torch.dtype:
    """Reads `torch_dtype`; None means float32.

    Raises:
        ValueError: for anything but float32, bfloat16 and float16.
    """
    if value is None:
        return torch.float32
    name = str(value).removeprefix("torch.").lower()
    if name not in DTYPES:
        raise ValueError(
            f"torch_dtype={value!r}: expected 'float32', 'bfloat16' or 'float16', as str or "
            "torch.dtype"
        )
    return DTYPES[name]


def parse_adapter_form(value: object) -> AdapterForm:
    """Reads `adapter_form`; None means the built-in model's.

    Raises:
        ValueError: for an unknown form.
    """
    if value is None:
        return AdapterForm.BUILTIN
    try:
        return AdapterForm(value)
    except ValueError:
        raise ValueError(
            f"adapter_form={value!r}: expected 'builtin' (ModelScope's model, the default) or "
            "'authors' (checkpoints of the ViT-Adapter authors)"
        ) from None


def parse_count(name: str, value: object) -> int:
    """Reads a count of at least 1.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: expected a whole number of at least 1")
    return value


def parse_flag(name: str, value: object) -> bool:
    """Reads True or False.

    Raises:
        ValueError: if it is neither.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}={value!r}: expected True or False")
    return bool(value)


def parse_mask_dtype(value: Any) -> np.dtype[Any]:
    """Reads `mask_dtype`: a bool, integer or floating numpy type; None means int64.

    Raises:
        ValueError: for a type that can't hold 0 and 1.
    """
    try:
        dtype: np.dtype[Any] = np.dtype(np.int64 if value is None else value)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        raise ValueError(
            f"mask_dtype={value!r}: expected a numpy type that holds 0 and 1, such as bool, "
            "'uint8' or 'int64'"
        )
    return dtype


def parse_output(value: object) -> str:
    """Reads `output`: `masks` (the default) or `class_map`.

    Raises:
        ValueError: for anything else.
    """
    if value not in OUTPUTS:
        raise ValueError(f"output={value!r}: expected 'masks' or 'class_map'")
    return str(value)


def parse_on_error(value: Any) -> OnError:
    """Reads `on_error`: `raise` (the default), `skip`, or a function that is given the failures.

    Raises:
        ValueError: for anything else.
    """
    if value is None:
        return "raise"
    if value != "raise" and value != "skip" and not callable(value):
        raise ValueError(
            f"on_error={value!r}: expected 'raise', 'skip', or a function that takes each failure "
            "(index, name, error)"
        )
    on_error: OnError = value
    return on_error
