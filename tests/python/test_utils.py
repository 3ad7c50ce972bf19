"""Trees: mapping, flattening, folding, merging."""

from collections import OrderedDict, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait.utils as utils
from plait.utils import tree_flatten, tree_map, tree_map_with_path, tree_merge, tree_reduce, tree_unflatten

TREE = {"a": [1, (2, 3)], "b": {"c": None, "d": 4}}


def test_map_keeps_the_structure():
    assert tree_map(lambda x: (x, x), {"a": [1, (2,)]}) == {"a": [(1, 1), ((2, 2),)]}
    point = namedtuple("point", "x y")
    assert tree_map(lambda x: x + 1, point(1, 2)) == point(2, 3)
    assert type(tree_map(lambda x: x, OrderedDict(a=1))) is dict
    assert tree_map(lambda x: 7, None) == 7


class Row(list):
    pass


class Pair(tuple):
    pass


@pytest.mark.parametrize("rest", [0, 2])
def test_map_keeps_lists_and_tuples_of_a_type_of_their_own(rest):
    point = namedtuple("point", "x y")
    tree = {"row": Row([1, Pair((2, 3))]), "point": point(4, [5]), "none": Row()}
    mapped = tree_map(lambda x, *more: x + sum(more), tree, *[tree] * rest)
    assert mapped == tree_map(lambda x: x * (1 + rest), tree)
    assert [type(x) for x in (mapped["row"], mapped["row"][1], mapped["point"], mapped["none"])] == [
        Row, Pair, point, Row
    ]  # fmt: skip


def test_map_goes_through_the_leaves_in_order():
    seen = []
    tree_map(seen.append, {"b": [1, (2,)], "a": {"z": 3, "y": 4}})
    assert seen == [1, 2, 3, 4]


def test_map_over_several_trees():
    assert tree_map(lambda x, y: x + y, {"a": [1, 2]}, {"a": [10, 20], "more": 0}) == {"a": [11, 22]}
    assert tree_map(lambda x, y: y, {"a": 1}, {"a": [5, 6]}) == {"a": [5, 6]}
    with pytest.raises(KeyError):
        tree_map(lambda x, y: x, {"a": 1}, {"b": 1})
    with pytest.raises(IndexError):
        tree_map(lambda x, y: x, [1, 2], [1])


def test_leaves_can_be_declared():
    pair = lambda x: isinstance(x, list) and len(x) == 2  # noqa: E731
    assert tree_map(sum, [[1, 2], [3, 4]], is_leaf=lambda x: pair(x) and isinstance(x[0], int)) == [3, 7]
    assert tree_map(lambda x, y: (x, y), {"a": [1, 2]}, {"a": 3}, is_leaf=pair) == {"a": ([1, 2], 3)}
    assert tree_flatten({"a": [1, 2]}, is_leaf=pair) == [("a", [1, 2])]
    assert tree_reduce(lambda n, x: n + len(x), {"a": [1, 2], "b": [3, 4]}, 0, is_leaf=pair) == 4


def test_paths():
    assert tree_map_with_path(lambda p, x: p, TREE) == {"a": ["a.0", ("a.1.0", "a.1.1")], "b": {"c": "b.c", "d": "b.d"}}
    assert tree_map_with_path(lambda p, x: p, [1], path="m") == ["m.0"]
    assert tree_flatten(TREE) == [("a.0", 1), ("a.1.0", 2), ("a.1.1", 3), ("b.c", None), ("b.d", 4)]
    assert tree_flatten(5) == [("", 5)]
    assert tree_flatten({"a": [], "b": {}}) == []
    assert tree_flatten([1], prefix=".m") == [("m.0", 1)]


def test_destination():
    into = {"old": 0}
    assert tree_flatten({"a": [1]}, destination=into) is into
    assert into == {"old": 0, "a.0": 1}
    assert tree_flatten([1], destination=[("z", 0)]) == [("z", 0), ("0", 1)]
    with pytest.raises(ValueError, match="destination"):
        tree_flatten([1], destination=())


def test_unflatten():
    assert tree_unflatten([("a.1", 2), ("a.0", 1), ("b.c", 3)]) == {"a": [1, 2], "b": {"c": 3}}
    assert tree_unflatten([("a.2", 1)]) == {"a": [{}, {}, 1]}
    assert tree_unflatten([("0", 1), ("x", 2)]) == {"0": 1, "x": 2}
    assert tree_unflatten([("a", 1), ("a.b", 2)]) == {"a": {"": 1, "b": 2}}
    assert tree_unflatten([("a.b", 2), ("a", 1)]) == {"a": {"": 1, "b": 2}}
    assert tree_unflatten([("a.0", 1), ("a.00", 2)]) == {"a": {"0": 1, "00": 2}}
    assert tree_unflatten({"a.b": 1}) == {"a": {"b": 1}}
    assert (tree_unflatten([]), tree_unflatten({}), tree_unflatten([("", 3)])) == ([], {}, 3)


def test_unflatten_keeps_leaves_that_are_dicts():
    assert tree_unflatten([("a", {"0": 1}), ("b", 2)]) == {"a": {"0": 1}, "b": 2}


@pytest.mark.parametrize("paths", [["a", "a"], ["a.b", "a.b"], ["a.99999999999"], ["7" * 30]])
def test_unflatten_refuses_what_has_no_tree(paths):
    with pytest.raises(ValueError, match="tree_unflatten"):
        tree_unflatten([(p, 0) for p in paths])


def test_reduce():
    assert tree_reduce(lambda a, x: a + x, {"a": [1, 2], "b": 3}, 10) == 16
    assert tree_reduce(lambda a, x: a + x, {"a": [1, 2], "b": 3}) == 6
    assert tree_reduce(lambda a, x: a + x, []) is None
    assert tree_reduce(lambda a, x: a + x, {}, 3) == 3


def test_merge():
    assert tree_merge({"a": {"b": 1}}, {"a": {"c": 2}, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert tree_merge([1, None], [None, 2]) == [1, 2]
    assert tree_merge((1, None), (None, 2, 3)) == (1, 2, 3)
    assert tree_merge({"a": {}}, {"a": 1}) == {"a": 1}
    assert tree_merge(None, 3) == 3
    assert tree_merge({"a": 1}, {"a": 2}, merge_fn=lambda a, b: a - b) == {"a": -1}
    for a, b in ((1, 2), ({"a": 1}, {"a": 2}), ([1], {"a": 1}), (None, None)):
        with pytest.raises(ValueError, match="same place"):
            tree_merge(a, b)


def test_merge_leaves_its_arguments_alone():
    a, b = {"x": {"p": 1}}, {"x": {"q": 2}}
    tree_merge(a, b)
    assert (a, b) == ({"x": {"p": 1}}, {"x": {"q": 2}})


keys = st.text("abcxyz_", min_size=1, max_size=4)
trees = st.recursive(
    st.integers(),
    lambda t: st.lists(t, min_size=1, max_size=4) | st.dictionaries(keys, t, min_size=1, max_size=4),
    max_leaves=20,
)


@given(trees)
def test_unflatten_inverts_flatten(tree):
    assert tree_unflatten(tree_flatten(tree)) == tree
    assert tree_unflatten(tree_flatten(tree, destination={})) == tree


@given(trees)
def test_map_and_flatten_see_the_same_leaves(leaves):
    tree = [leaves]
    assert [x for _, x in tree_flatten(tree_map(lambda x: x + 1, tree))] == [x + 1 for _, x in tree_flatten(tree)]
    assert [x for _, x in tree_flatten(tree_map_with_path(lambda p, x: p, tree))] == [p for p, _ in tree_flatten(tree)]


def test_the_module_offers_six_functions():
    assert {n for n in vars(utils) if n.startswith("tree_")} == {
        "tree_flatten", "tree_map", "tree_map_with_path", "tree_merge", "tree_reduce", "tree_unflatten"
    }  # fmt: skip
