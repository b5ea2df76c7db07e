"""Tensors of PyTorch as images: their channels come first, and are red, green and blue."""

from typing import Any

import numpy as np

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.hints import option


def of_tensor(source: Any, *, scaled: bool = True) -> Any:
    """An image tensor `(3, H, W)` or `(1, H, W)` RGB as an array `(H, W, 3)` BGR, 0 to 255.

    Whole numbers are taken as 0 to 255, floats as 0 to 1, as torchvision's `ToTensor` gives them.
    What is no tensor is given as it is. Floats stay as they are unless they are to be `scaled`.

    Raises:
        DataSetError: floats are not within 0 to 1, as after a normalisation.
    """
    if type(source).__module__.split(".")[0] != "torch" or not hasattr(source, "detach"):
        return source
    array = source.detach().cpu().numpy()
    if array.dtype.kind == "f" and scaled:
        if array.size and not (array.min() >= 0 and array.max() <= 1):
            raise DataSetError(
                f"a tensor of shape {tuple(array.shape)} holds values from {array.min():g} to "
                f"{array.max():g}, expected 0 to 1: leave the normalisation out, the model "
                f"does it; or name black and white, as in {option('value_range', (0.0, 255.0))}"
            )
        array = array.astype(np.float32) * 255
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array[::-1].transpose(1, 2, 0)
    return array
