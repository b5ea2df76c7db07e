"""A window's forward pass neither waits for its device nor sends it numbers."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.support.configs import LEARNED
from tests.support.networks import random_image, tiny_network

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
    """Raises at operations that make the host wait for an accelerator."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator.overloadpacket in WAITING:
            raise RoundTripError(f"{operator}: {WAITING[operator.overloadpacket]}")
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if operator.overloadpacket is aten.index and any(t.dtype == torch.bool for t in tensors):
            raise RoundTripError(
                f"{operator} by a mask has a result whose size only the device knows"
            )
        answer = operator(*args, **(kwargs or {}))
        results = [x for x in tree_leaves(answer) if isinstance(x, torch.Tensor)]
        if len({t.device for t in (*tensors, *results) if t.ndim}) > 1:
            raise RoundTripError(f"{operator} copies between devices")
        return answer


SETTINGS = {
    "plain": {},
    "absolute positions": {
        "model.backbone.use_abs_pos_emb": True,
        "model.backbone.pretrain_size": 64,
    },
    "learned encoding": {
        "model.decode_head.pixel_decoder.positional_encoding": LEARNED,
        "model.decode_head.positional_encoding": LEARNED,
    },
}


def predict(network, image):
    """The plain modules', also on a processor."""
    return network.decode_head(network.backbone(image))


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (96, 64)])
@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_a_window_takes_no_numbers_from_the_host(changes, size):
    network, image = tiny_network(changes), random_image(2, 3, *size)
    with torch.no_grad():
        expected = predict(network, image)  # makes what is made once per size
        with RefuseRoundTrips():
            found = predict(network, image)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (96, 64)])
@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_nothing_of_a_window_is_read(changes, size):
    # tensors on this device have no values: to read one is an error
    network = tiny_network(changes).to("meta")
    image = torch.empty(2, 3, *size, device="meta")
    with torch.no_grad(), RefuseRoundTrips():
        class_logits, mask_logits = predict(network, image)
    assert class_logits.shape == (2, 6, 6)
    assert mask_logits.shape == (2, 6, size[0] // 4, size[1] // 4)
    assert mask_logits.is_meta


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.new_tensor([1.0]),
        lambda x: torch.tensor([1.0]),
        lambda x: x.to("meta"),
        lambda x: x[[0, 1]],
    ],
)
def test_round_trips_are_refused(wait):
    with RefuseRoundTrips(), pytest.raises(RoundTripError):
        wait(torch.ones(3))
