"""Sliding windows: an image of any size through a network that sees one crop at a time."""

from dataclasses import dataclass

from torch import Tensor

Size = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """One window: its upper left corner and its size, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """This part of `(..., H, W)`, as a view."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def transposed(self) -> "Window":
        """The window after rows and columns changed place."""
        return Window(self.left, self.top, self.width, self.height)


def window_origins(length: int, crop: int, stride: int) -> list[int]:
    """Where the windows along one axis begin; the last one is pulled back inside.

    Args:
        length: pixels of the image along the axis.
        crop: pixels of a window; a shorter image has one window of its own length.
        stride: pixels between window origins.
    """
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride + crop, length) - crop, 0) for i in range(count)]


def windows_of(size: Size, crop: Size | None, stride: Size | None) -> list[Window]:
    """All windows of an image of `size`, row by row; one window of the whole without a `crop`."""
    if crop is None or stride is None:
        return [Window(0, 0, *size)]
    height, width = min(crop[0], size[0]), min(crop[1], size[1])
    return [
        Window(top, left, height, width)
        for top in window_origins(size[0], crop[0], stride[0])
        for left in window_origins(size[1], crop[1], stride[1])
    ]
