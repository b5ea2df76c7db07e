"""Spatial prior module of ViT-Adapter (arXiv 2205.08534, section 3.3)."""

from torch import Tensor, nn


def _conv_norm_relu(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


class SpatialPriorModule(nn.Module):
    """A small convolutional pyramid that gives the adapter its local detail."""

    def __init__(self, *, inplanes: int, embed_dim: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_conv_norm_relu(3, inplanes, 2),
            *_conv_norm_relu(inplanes, inplanes, 1),
            *_conv_norm_relu(inplanes, inplanes, 1),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        self.conv2 = nn.Sequential(*_conv_norm_relu(inplanes, 2 * inplanes, 2))
        self.conv3 = nn.Sequential(*_conv_norm_relu(2 * inplanes, 4 * inplanes, 2))
        self.conv4 = nn.Sequential(*_conv_norm_relu(4 * inplanes, 4 * inplanes, 2))
        self.fc1 = nn.Conv2d(inplanes, embed_dim, 1)
        self.fc2 = nn.Conv2d(2 * inplanes, embed_dim, 1)
        self.fc3 = nn.Conv2d(4 * inplanes, embed_dim, 1)
        self.fc4 = nn.Conv2d(4 * inplanes, embed_dim, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Builds the pyramid.

        Args:
            image: `(B, 3, H, W)`, H and W multiples of 32.

        Returns:
            The stride-4 map `(B, C, H / 4, W / 4)` and the maps of strides 8, 16 and 32 as tokens
            `(B, N, C)`.
        """
        c1 = self.stem(image)
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        c2, c3, c4 = self.fc2(c2), self.fc3(c3), self.fc4(c4)
        tokens = (c.flatten(2).transpose(1, 2) for c in (c2, c3, c4))
        return self.fc1(c1), *tokens
