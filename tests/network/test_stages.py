from contextlib import contextmanager

import pytest
import torch

from modelscope_vitadapter.network.stages import (
    ATTENTION,
    DEFORMABLE_ATTENTION,
    PIXEL_DECODER,
    RESIZE,
    STAGES,
    observed_by,
    stage,
)
from tests.support.networks import random_image, tiny_network


class Recorder:
    """An observer that keeps what begins and ends."""

    def __init__(self):
        self.events = []

    @contextmanager
    def __call__(self, name):
        self.events.append(f"begin {name}")
        try:
            yield
        finally:
            self.events.append(f"end {name}")

    @property
    def names(self):
        return {event.split(" ", 1)[1] for event in self.events}


def test_stages_are_told_in_their_order_and_nested_to_whoever_observes():
    recorder = Recorder()
    with stage(ATTENTION), pytest.raises(KeyError), observed_by(recorder), stage(PIXEL_DECODER):
        with stage(DEFORMABLE_ATTENTION), stage(DEFORMABLE_ATTENTION):
            pass
        raise KeyError
    with stage(RESIZE):  # an error leaves the observer
        pass
    inner = ["begin deformable attention"] * 2 + ["end deformable attention"] * 2
    assert recorder.events == ["begin pixel decoder", *inner, "end pixel decoder"]


def test_an_inner_observer_replaces_the_outer_one_for_its_time():
    outer, inner = Recorder(), Recorder()
    with observed_by(outer):
        with observed_by(inner), stage(ATTENTION):
            pass
        with stage(RESIZE):
            pass
    assert outer.names == {RESIZE}
    assert inner.names == {ATTENTION}


def test_a_pass_goes_through_the_networks_stages():
    recorder = Recorder()
    network, image = tiny_network(), random_image(1, 3, 64, 64)
    with torch.no_grad():
        alone = network(image)
        with observed_by(recorder):
            observed = network(image)
    assert recorder.names == set(STAGES) - {RESIZE}  # resizing belongs to `inference`
    assert all(map(torch.equal, alone, observed))
