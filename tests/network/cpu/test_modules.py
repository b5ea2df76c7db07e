import pytest
from torch import nn

from modelscope_vitadapter.network.cpu.modules import modules_of


def test_modules_come_in_their_order():
    layers = [nn.Linear(2, 3), nn.Linear(3, 4)]
    assert modules_of(nn.ModuleList(layers), nn.Linear) == layers
    assert modules_of(nn.Sequential(*layers), nn.Module) == layers
    assert modules_of((), nn.Linear) == []


def test_another_module_is_refused_by_name():
    with pytest.raises(TypeError, match="ReLU where Linear was expected"):
        modules_of([nn.Linear(2, 3), nn.ReLU()], nn.Linear)
