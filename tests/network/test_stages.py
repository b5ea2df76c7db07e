from contextlib import contextmanager

import pytest
import torch

from modelscope_vitadapter.network.stages import (
    ATTENTION,
    BACKBONE_LINEAR,
    DEFORMABLE_ATTENTION,
    MASK_DECODER,
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


def test_nobody_is_told_where_nobody_observes():
    recorder = Recorder()
    with stage(ATTENTION):
        pass
    with observed_by(recorder):
        pass
    with stage(ATTENTION):
        pass
    assert recorder.events == []


def test_stages_are_told_in_their_order_and_nested():
    recorder = Recorder()
    with observed_by(recorder), stage(PIXEL_DECODER), stage(DEFORMABLE_ATTENTION):
        pass
    assert recorder.events == [
        "begin pixel decoder",
        "begin deformable attention",
        "end deformable attention",
        "end pixel decoder",
    ]


def test_an_error_leaves_the_observer():
    recorder = Recorder()
    with pytest.raises(KeyError), observed_by(recorder), stage(RESIZE):
        raise KeyError
    with stage(ATTENTION):
        pass
    assert recorder.events == ["begin resize", "end resize"]


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
    assert {ATTENTION, BACKBONE_LINEAR, MASK_DECODER} <= recorder.names
    begun = [event for event in recorder.events if event.startswith("begin")]
    assert len(begun) * 2 == len(recorder.events)
    assert all(map(torch.equal, alone, observed))
