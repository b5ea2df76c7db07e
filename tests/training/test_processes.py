import pytest

from modelscope_vitadapter.distributed import own_device_name


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")


def test_alone_the_device_is_what_was_given():
    assert [own_device_name(name, has_cuda=True) for name in ("gpu", "cuda:3", "cpu")] == [
        "gpu",
        "cuda:3",
        "cpu",
    ]


@pytest.mark.usefixtures("second_of_two")
def test_each_of_several_processes_has_its_own_gpu():
    assert own_device_name("gpu", has_cuda=True) == "cuda:1"
    assert own_device_name("cuda", has_cuda=True) == "cuda:1"
    assert own_device_name("gpu", has_cuda=False) == "cpu"
    assert own_device_name("cpu", has_cuda=True) == "cpu"
    with pytest.raises(ValueError, match="'cuda:0' for several processes: expected 'gpu'"):
        own_device_name("cuda:0", has_cuda=True)
