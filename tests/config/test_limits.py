import pytest

from modelscope_vitadapter.config.limits import (
    MAX_LENGTH,
    MAX_UNUSUAL_KEYS,
    Budget,
    WorkExceededError,
)
from modelscope_vitadapter.config.reader import unreadable_error
from modelscope_vitadapter.errors import ConfigError
from tests.hostile.large_values import COLLIDING, DEEP, GROWING, LARGE


@pytest.mark.parametrize("text", LARGE)
def test_large_values_are_refused_alone(read, text):
    config = read(f"model = dict(a=({text}), b=1)")
    assert isinstance(unreadable_error(config.model.a), ConfigError)
    assert config.model.b == 1


@pytest.mark.parametrize("text", GROWING)
def test_values_that_grow_are_refused(read, text):
    with pytest.raises(ConfigError):
        read(text)


@pytest.mark.parametrize("text", COLLIDING)
def test_keys_of_equal_hash_are_refused(read, text):
    config = read(f"model = dict(a={text}, b=1)")
    assert "long integers" in str(unreadable_error(config.model.a))
    assert config.model.b == 1


HUNDRED = "x = {i * (2**61 - 1): 0 for i in range(1, 101)}\ny = {(i, 0): 0 for i in range(100)}\n"


@pytest.mark.parametrize("text", ["{**x, **y}", "{**x, (9, 9): 1, **y}", "dict(x, **{}) or y"])
def test_keys_of_equal_hash_are_counted_together(read, text):
    found = read(f"{HUNDRED}model = dict(a={text})").model.a
    if text.startswith("dict"):
        assert len(found) == 100 < MAX_UNUSUAL_KEYS
    else:
        assert "long integers" in str(unreadable_error(found))


def test_keys_of_equal_hash_are_counted_in_assignments(read):
    assignments = "".join(f"x[({i}, 1)] = 0\n" for i in range(40))
    config = read(f"{HUNDRED}model = dict(a=x)\n{assignments}")
    assert "long integers" in str(unreadable_error(config.model.a))


def test_usual_keys_may_be_many(read):
    assert len(read("model = {f'{i}': i for i in range(5000)}").model) == 5000


def test_operations_on_values_that_grow_are_refused_alone(read):
    grown = "a = [0]\nb = [0]\n" + "a = [a, a]\nb = [b, b]\n" * 100
    config = read(
        grown + "model = dict(x=a == b, y=f'{a}', z='%s' % a, w=sorted(a), v=str(a), u=1)"
    )
    assert config.model.pop("u") == 1
    assert all(unreadable_error(value) is not None for value in config.model.values())


@pytest.mark.parametrize("text", DEEP)
def test_text_that_is_too_deep_or_long_is_refused_before_it_is_parsed(read, text):
    with pytest.raises(ConfigError):
        read(text + "\nmodel = dict(a=1)\n")


def test_deep_expressions_within_the_parsers_bounds(read):
    assert read("model = dict(a=" + "[" * 40 + "]" * 40 + ")").model.a
    assert read("CLASSES = " + "+".join(["['a']"] * 80)).CLASSES == ["a"] * 80
    with pytest.raises(ConfigError, match="nested too deeply"):
        read("CLASSES = " + "+".join(["[]"] * 140))
    assert read("x = " + "+".join(["1"] * 140) + "\nCLASSES = ['a']").CLASSES == ["a"]


def test_ordinary_sizes_are_accepted(read):
    names = [f"class {i}" for i in range(3000)]
    text = f"CLASSES = {names}\nPALETTE = {[[1, 2, 3]] * 3000}\nmodel = dict(n=len(CLASSES))"
    config = read(text)
    assert names == config.CLASSES
    assert len(config.PALETTE) == 3000
    text = "note = f'" + "a long sentence " * 100 + "{1}'\nCLASSES = ('a' \n" + "'b' \n" * 100 + ")"
    assert read(text).CLASSES == "a" + "b" * 100


def test_merging_that_grows_is_refused(read):
    grown = "a = dict(x=0)\n" + "a = dict(x=a, y=a)\n" * 30 + "model = a"
    with pytest.raises(ConfigError, match="merging"):
        read("_base_ = 'base.py'\n" + grown, base=grown)


def test_budget_is_shared_by_all_files(read):
    base = "[" + "0," * 40000 + "]"
    files = {f"f{i}": f"{name} = {base}" for i, name in enumerate(["model", "CLASSES", "PALETTE"])}
    with pytest.raises(ConfigError, match="tokens"):
        read("_base_ = ['f0.py', 'f1.py', 'f2.py']", **files)


def test_budget():
    budget = Budget()
    budget.spend(budget.left)
    with pytest.raises(WorkExceededError):
        budget.spend(1)
    with pytest.raises(WorkExceededError):
        budget.spend_elements(MAX_LENGTH)
