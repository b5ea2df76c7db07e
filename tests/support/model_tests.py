"""What any network of this package is tested for; a model's tests are a subclass of `ModelTests`.

A subclass names a tiny configuration and the golden folders that hold the model's answers.
"""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.save import save_state_dict
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import GOLDEN
from tests.support.networks import network_of, random_image, relative_error

aten = torch.ops.aten

WAITING = {
    aten._local_scalar_dense: "reads a number back",
    aten.nonzero: "has a result whose size only the device knows",
    aten.masked_select: "has a result whose size only the device knows",
    aten._unique2: "has a result whose size only the device knows",
    aten.is_nonzero: "reads a number back",
    aten.equal: "reads a number back",
    aten.lift_fresh: "takes Python's or NumPy's numbers, which are copied to the device",
}


class RoundTripError(AssertionError):
    pass


class RefuseRoundTrips(TorchDispatchMode):
    """Raises at operations that make the host wait for an accelerator, or send it numbers."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator.overloadpacket in WAITING:
            raise RoundTripError(f"{operator}: {WAITING[operator.overloadpacket]}")
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if operator.overloadpacket is aten.index and any(t.dtype == torch.bool for t in given):
            raise RoundTripError(f"{operator} by a mask: only the device knows its size")
        answer = operator(*args, **(kwargs or {}))
        results = [x for x in tree_leaves(answer) if isinstance(x, torch.Tensor)]
        if len({t.device for t in (*given, *results) if t.ndim}) > 1:
            raise RoundTripError(f"{operator} copies between devices")
        return answer


class Plain(nn.Module):
    """The plain modules, which a processor's own path replaces in `network.forward`."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, window):
        return self.network.decode_head(self.network.backbone(window))


def assert_close(found, expected, tolerance=1e-5):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


class ModelTests:
    """Forward, backward, any window, saving, golden answers, compiling, no round trips."""

    GOLDEN_FOLDERS = ()
    """Folders of `tests/golden`."""

    QUERIES, CLASSES = 6, 5
    """Of the tiny configuration."""

    SHALLOW: ClassVar = {}
    """Changes that leave one layer of each kind: tracing takes long, and depth is nothing to it."""

    def config(self, changes=None):
        """The tiny configuration; `changes` maps dotted paths to values."""
        raise NotImplementedError

    @pytest.fixture
    def network(self):
        return network_of(self.config())

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize(
        ("size", "padded"),
        [
            ((1, 40), (32, 64)),
            ((33, 70), (64, 96)),
            ((64, 64), (64, 64)),
            ((32, 256), (32, 256)),
            ((200, 90), (224, 96)),
        ],
    )
    def test_any_window_gives_a_class_and_a_mask_for_each_query(
        self, network, size, padded, training
    ):
        image, whole = random_image(2, 3, *size), torch.zeros(2, 3, *padded)
        whole[:, :, : size[0], : size[1]] = image
        with torch.set_grad_enabled(training):
            class_logits, mask_logits = network(image)
            expected = Plain(network)(whole)
        assert class_logits.shape == (2, self.QUERIES, self.CLASSES + 1)
        assert mask_logits.shape == (2, self.QUERIES, padded[0] // 4, padded[1] // 4)
        assert class_logits.dtype == mask_logits.dtype == torch.float32
        assert_close((class_logits, mask_logits), expected, 1e-3)

    def test_images_of_a_batch_do_not_touch_each_other(self, network):
        images = random_image(2, 3, 32, 64)
        together = Plain(network)(images)
        for i in range(2):
            alone = Plain(network)(images[i : i + 1])
            assert_close([part[i : i + 1] for part in together], alone, 1e-3)

    def test_training_after_inference_reaches_every_parameter(self, network):
        image = random_image(2, 3, 64, 64)
        with torch.inference_mode():
            network(image)
        parts = [part for pair in network.train().predictions(image) for part in pair]
        sum(part.square().mean() for part in parts).backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []
        assert all(p.grad.isfinite().all() for p in network.parameters())

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.pt"])
    def test_saved_and_loaded_it_is_the_same(self, network, tmp_path, name):
        save_state_dict(network.state_dict(), tmp_path / name)
        with torch.device("meta"):
            other = build_network(parse_model(self.config())).eval()
        load_into(other, tmp_path / name)
        assert list(other.state_dict()) == list(network.state_dict())
        image = random_image(1, 3, 64, 32)
        with torch.no_grad():
            assert all(map(torch.equal, other(image), network(image)))

    def test_features_and_logits_are_the_golden_ones(self):
        for folder in (GOLDEN / name for name in self.GOLDEN_FOLDERS):
            settings = parse_model(read_config(folder / "mmcv_config.py"))
            network = build_network(settings).eval()
            load_into(network, folder / "pytorch_model.pt")
            answers = dict(np.load(folder / "expected.npz"))
            height, width = settings.windows.crop_size
            for name in sorted({key.split("/")[0] for key in answers}):
                window = torch.from_numpy(answers[f"{name}/input0"])[:, :, :height, :width]
                with torch.no_grad():
                    features = network.backbone(window)
                    found = [*features, *network.decode_head(features)]
                parts = [*(f"c{i + 1}" for i in range(len(features))), "cls", "mask"]
                for part, value in zip(parts, found, strict=True):
                    expected = torch.from_numpy(answers[f"{name}/window0_{part}"])
                    assert relative_error(value, expected) < 1e-4, (folder.name, name, part)

    @pytest.mark.slow
    def test_the_compiler_takes_it_in_one_graph(self):
        torch._dynamo.reset()
        network = network_of(self.config(self.SHALLOW))
        compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
        odd, padded = random_image(1, 3, 33, 70), torch.zeros(1, 3, 64, 96)
        padded[:, :, :33, :70] = odd
        with torch.no_grad():
            trained = random_image(1, 3, 64, 64)
            assert_close(compiled(trained), Plain(network)(trained))
            assert_close(compiled(odd), Plain(network)(padded))  # a larger window than the trained

    @pytest.mark.slow
    def test_the_compiler_takes_autocast_and_training_in_one_graph(self):
        torch._dynamo.reset()
        network, image = network_of(self.config(self.SHALLOW)), random_image(2, 3, 64, 64)
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            found, expected = compiled(image), Plain(network)(image)
        assert found[1].dtype == torch.float32
        assert_close(found, expected)
        network.train()
        sum(part.sum() for part in compiled(image)).backward()
        assert all(p.grad is not None for p in network.backbone.parameters())

    @pytest.mark.parametrize("size", [(64, 64), (32, 64), (96, 64)])
    def test_a_window_takes_no_numbers_from_the_host(self, network, size):
        image = random_image(2, 3, *size)
        with torch.no_grad():
            expected = Plain(network)(image)  # makes what is made once per size
            with RefuseRoundTrips():
                found = Plain(network)(image)
            assert all(map(torch.equal, found, expected))
            empty = torch.empty(2, 3, *size, device="meta")  # to read a value of it is an error
            network.to("meta")
            with RefuseRoundTrips():
                class_logits, mask_logits = network(empty)
        assert class_logits.shape == expected[0].shape
        assert mask_logits.shape == expected[1].shape
