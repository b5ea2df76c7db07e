import ast

import pytest

from modelscope_vitadapter.config.limits import Budget, WorkExceededError
from modelscope_vitadapter.config.node_names import NodeNames


def expression(text):
    return ast.parse(text, mode="eval").body


def test_names_that_occur():
    names = NodeNames(Budget())
    assert names.used_in(expression("f(a.b, [c for d in e if 'g'])")) == {*"facde"}
    assert names.used_in(expression("1 + 2")) == frozenset()


def test_names_that_a_comprehension_binds():
    names = NodeNames(Budget())
    node = expression("[x + y for x, (*z, w) in a for q[i] in b if (lambda: 1)]")
    assert names.bound_by(node) == {*"xzw"}


def test_each_node_is_walked_through_and_paid_for_once():
    budget = Budget()
    names = NodeNames(budget)
    node = expression(f"[1 for ({','.join(f'a{i}' for i in range(2000))}) in ()]")
    for look_up in (names.used_in, names.bound_by):
        left = budget.left
        first = look_up(node)
        assert len(first) == 2000
        assert left - budget.left > 100
        left = budget.left
        assert look_up(node) is first
        assert budget.left == left


def test_walks_end_with_the_budget():
    budget = Budget()
    budget.left = 10
    with pytest.raises(WorkExceededError):
        NodeNames(budget).used_in(expression("(" + "1," * 200 + ")"))
