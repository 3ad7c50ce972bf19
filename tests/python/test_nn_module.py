"""Module: its tree, freezing, updating, modes, files."""

import copy
import pickle
import weakref

import pytest

import plait.core as pc
import plait.nn as nn
from layer_oracle import near, numbers
from plait.utils import tree_flatten


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = pc.ones((2,))
        self._hidden = pc.ones((1,))
        self.lin = nn.Linear(2, 3)
        self.parts = [nn.Linear(1, 1, bias=False), pc.ones((3,))]
        self.named = {"act": nn.ReLU(), "a": pc.zeros((1,))}
        self.pair = (nn.ReLU(), pc.ones((1,)))
        self.number = 3

    def __call__(self, x):
        return self.lin(x)


ALL = ["w", "lin.weight", "lin.bias", "parts.0.weight", "parts.1", "named.a"]


def names(tree):
    return [path for path, _ in tree_flatten(tree)]


def test_what_is_in_the_tree():
    m = Model()
    assert names(m.parameters()) == ALL
    assert names(m.trainable_parameters()) == ALL
    assert list(m) == ["w", "_hidden", "lin", "parts", "named", "pair"]
    assert m.state is m and isinstance(m, dict)
    assert m.parameters()["lin"]["weight"] is m.lin.weight


def test_attributes():
    m = Model()
    m.w = 3
    assert m.w == 3 and "w" not in m
    m.w = pc.zeros((1,))
    assert "w" in m and "w" not in vars(m)
    del m.w
    del m.number
    for name in ("w", "number", "never"):
        with pytest.raises(AttributeError, match=f"'Model' object has no attribute '{name}'"):
            getattr(m, name)
    with pytest.raises(AttributeError):
        del m.never
    with pytest.raises(AttributeError):
        m.training = False
    m["w"] = pc.ones((4,))
    assert m.w.shape == (4,)


def test_modules():
    m = Model()
    assert [p for p, _ in m.named_modules()] == ["", "named.act", "parts.0", "lin"]
    assert [type(x).__name__ for x in m.modules()] == ["Model", "ReLU", "Linear", "Linear"]
    assert list(m.children()) == ["lin", "parts", "named"]
    leaves = tree_flatten(nn.Sequential(m, nn.ReLU()).leaf_modules(), is_leaf=nn.Module.is_module)
    assert [p for p, _ in leaves] == ["layers.0.lin", "layers.0.parts.0", "layers.0.named.act", "layers.1"]
    seen = []
    assert m.apply_to_modules(lambda path, module: seen.append(path)) is m
    assert seen == ["", "named.act", "parts.0", "lin"]


def test_filter_and_map():
    m = Model()
    assert m.filter_and_map(lambda m, k, v: k == "w", lambda x: x.shape) == {"w": (2,)}
    is_module = lambda m, k, v: nn.Module.is_module(v)  # noqa: E731
    marks = m.filter_and_map(m.valid_child_filter, lambda x: 1, is_module)
    assert marks == {"lin": 1, "parts": [1, {}], "named": {"act": 1, "a": {}}}
    with pytest.raises(RuntimeError, match="'w'"):
        m.filter_and_map(m.valid_parameter_filter, is_leaf_fn=is_module)


def test_filters_see_the_module_and_the_path_in_it():
    m = Model()
    m.deep = [{"x": [pc.ones((1,)), 3]}, nn.Sequential(nn.Identity())]
    seen = []

    def look(module, key, value):
        seen.append((type(module).__name__, key))
        return module.valid_parameter_filter(module, key, value)

    def leaf(value):
        seen.append("leaf")
        return 1

    shown = m.filter_and_map(look, leaf)
    assert shown["deep"] == [{"x": [1, {}]}, {"layers": [{}]}]
    assert seen[: seen.index(("Model", "parts"))] == [
        ("Model", "w"), "leaf", ("Model", "_hidden"), ("Model", "lin"), ("Linear", "weight"), "leaf",
        ("Linear", "bias"), "leaf",
    ]  # fmt: skip
    assert seen[seen.index(("Model", "deep")) :] == [
        ("Model", "deep"), ("Model", "deep.0"), ("Model", "deep.0.x"), ("Model", "deep.0.x.0"), "leaf",
        ("Model", "deep.0.x.1"), ("Model", "deep.1"), ("Sequential", "layers"), ("Sequential", "layers.0"),
    ]  # fmt: skip


def test_a_filter_can_be_overridden():
    class Shy(Model):
        @staticmethod
        def trainable_parameter_filter(module, key, value):
            return Model.trainable_parameter_filter(module, key, value) and key != "bias"

    assert names(Shy().trainable_parameters()) == [n for n in ALL if n != "lin.bias"]
    assert names(nn.Sequential(Shy()).trainable_parameters()) == [f"layers.0.{n}" for n in ALL]


def test_what_was_read_does_not_keep_the_module():
    def read():
        m = Model()
        m.modules()
        _, gradients = nn.value_and_grad(m, lambda x: pc.sum(m(x)))(pc.ones((1, 2)))
        m.update(gradients)
        return m.parameters(), weakref.ref(m)

    tree, model = read()
    assert names(tree) == ALL and model() is None


def test_text_form():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU()))) == (
        "Sequential(\n  (layers.0): Linear(input_dims=2, output_dims=3, bias=True)\n"
        "  (layers.1): Sequential(\n    (layers.0): ReLU()\n  )\n)"
    )


def test_freeze_and_unfreeze():
    m = Model()
    assert m.freeze() is m and names(m.trainable_parameters()) == []
    assert names(m.parameters()) == ALL
    assert m.unfreeze(keys="bias") is m and names(m.trainable_parameters()) == ["lin.bias"]
    m.unfreeze(recurse=False)
    assert names(m.trainable_parameters()) == ["w", "lin.bias", "parts.1", "named.a"]
    m.unfreeze()
    m.freeze(keys=["bias", "w"])
    assert names(m.trainable_parameters()) == ["lin.weight", "parts.0.weight", "parts.1", "named.a"]
    m.unfreeze().freeze(recurse=False)
    assert names(m.trainable_parameters()) == ["lin.weight", "lin.bias", "parts.0.weight"]


def test_strict_freeze_changes_nothing_on_error():
    m = Model()
    for change in (m.freeze, m.unfreeze):
        with pytest.raises(KeyError, match="bias"):
            change(keys="bias", strict=True)
    assert names(m.trainable_parameters()) == ALL
    m.freeze(keys="w", recurse=False, strict=True)
    assert names(m.trainable_parameters()) == ALL[1:]


def test_running_averages_stay_frozen():
    m = nn.Sequential(nn.BatchNorm(2))
    m.freeze()
    m.unfreeze()
    assert names(m.trainable_parameters()) == ["layers.0.weight", "layers.0.bias"]
    m.layers[0].unfreeze(keys=["running_mean", "bias"], recurse=False)
    assert names(m.trainable_parameters()) == ["layers.0.weight", "layers.0.bias"]


def test_update():
    m = Model()
    weight = pc.zeros((1, 1))
    assert m.update({"lin": {"weight": weight}, "parts": [{}, pc.zeros((3,))]}) is m
    assert m.lin.weight is weight and m.lin.bias.shape == (3,)
    near(m.parts[1], [0, 0, 0])
    m.update(m.parameters())


@pytest.mark.parametrize(
    "tree",
    [
        {"zzz": pc.zeros((2,))},
        {"w": 3},
        {"w": None},
        {"w": {"a": pc.zeros((1,))}},
        {"number": pc.zeros((1,))},
        {"lin": {"weights": pc.zeros((1,))}},
        {"lin": pc.zeros((3,))},
        {"parts": [{}, pc.zeros((1,)), pc.zeros((1,))]},
        {"parts": {"0": {"weight": pc.zeros((1,))}}},
        {"pair": (1,)},
        {"named": {"b": pc.zeros((1,))}},
    ],
)
def test_update_refuses_what_does_not_fit_and_changes_nothing(tree):
    m = Model()
    before = dict(tree_flatten(m.parameters()))
    with pytest.raises(ValueError, match=next(iter(tree))):
        m.update({"w": pc.zeros((9,)), **tree} if "w" not in tree else tree)
    assert all(before[path] is leaf for path, leaf in tree_flatten(m.parameters()))
    m.update(tree, strict=False)
    assert names(m.parameters()) == ALL


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"named": {"b": pc.zeros((1,))}}, "named.b: the module has no such element"),
        ({"parts": [{}, {}, 1]}, "parts.2: the module has no such element"),
        ({"parts": [{"weight": 3}]}, "parts.0.weight: int can't take the place of array"),
        ({"lin": 3}, "lin: expected a tree with its elements, got int"),
        (3, "the module: expected a tree with its elements, got int"),
    ],
)
def test_update_says_where(tree, message):
    with pytest.raises(ValueError) as error:
        Model().update(tree)
    assert str(error.value) == message


def test_update_with_a_list_for_names_is_a_key_error():
    with pytest.raises(KeyError, match="lin"):
        Model().update({"lin": [1]})


def test_update_modules():
    m = Model()
    assert m.update_modules({"lin": nn.Identity(), "parts": [nn.Identity()], "named": {"act": nn.GELU()}}) is m
    assert [type(x).__name__ for x in m.modules()] == ["Model", "GELU", "Identity", "Identity"]
    for tree in ({"zzz": nn.Identity()}, {"lin": 3}, {"named": {"z": nn.Identity()}}, {"w": nn.Linear(1, 1)}):
        with pytest.raises(ValueError, match=next(iter(tree))):
            m.update_modules(tree)
        m.update_modules(tree, strict=False)
    m.update_modules(m.children())
    assert names(m.parameters()) == ["w", "parts.1", "named.a"]


def test_apply_and_set_dtype():
    m = Model()
    m.count = pc.array([1])
    m.set_dtype(pc.float16)
    assert {p: x.dtype for p, x in tree_flatten(m.parameters())} == {
        **dict.fromkeys(ALL, pc.float16), "count": pc.int32
    }  # fmt: skip
    assert m._hidden.dtype == pc.float32
    m.set_dtype(pc.float32, predicate=None)
    assert m.count.dtype == pc.float32
    assert m.apply(lambda x: x * 0, lambda m, k, v: k == "w") is m
    near(m.w, [0, 0])
    near(m.parts[1], [1, 1, 1])
    with pytest.raises(ValueError, match="w: tuple"):
        m.apply(lambda x: x.shape)


def test_modes():
    m = Model()
    assert m.training and m.eval() is m and not m.training and not m.parts[0].training
    assert m.train() is m and m.named["act"].training
    assert not m.train(False).lin.training


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"weights\.bin"):
        Model().save_weights(str(tmp_path / "weights.bin"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[1:], "missing: w"),
        (lambda w: [*w, ("more", pc.zeros((1,)))], "not in the model: more"),
        (lambda w: [("w", pc.zeros((7, 7))), *w[1:]], r"shape: w is \(7, 7\)"),
        (lambda w: [("w", 3), *w[1:]], "no array: w"),
    ],
)
def test_strict_loading(change, message):
    m = Model()
    weights = change(tree_flatten(m.parameters()))
    before = m.w
    with pytest.raises(ValueError, match=message):
        m.load_weights(weights)
    assert m.w is before
    m.load_weights(weights, strict=False)
    assert names(m.parameters()) == ALL


def test_names_that_look_like_positions():
    m = nn.Module()
    m.heads = {"0": nn.Linear(1, 1), "1": nn.Linear(1, 1)}
    weights = [(path, x * 0) for path, x in tree_flatten(m.parameters())]
    m.load_weights(weights)
    near(m.heads["1"].weight, [[0]])


def test_copies_and_pickles():
    m = Model()
    c = copy.deepcopy(m)
    c.w = pc.zeros((2,))
    near(m.w, [1, 1])
    layer = pickle.loads(pickle.dumps(nn.Linear(2, 3)))
    assert layer(pc.ones((1, 2))).shape == (1, 3) and layer.training


def test_not_hashable():
    with pytest.raises(TypeError):
        hash(Model())


def test_value_and_grad():
    x = numbers(5, 2)
    m = Model()
    m.parts[0].freeze()
    value, grads = nn.value_and_grad(m, lambda x, scale: pc.sum(m(x)) * scale)(pc.array(x), scale=2.0)
    assert names(grads) == [n for n in ALL if n != "parts.0.weight"]
    near(grads["lin"]["weight"], 2 * x.sum(0, keepdims=True).repeat(3, 0))
    near(grads["lin"]["bias"], [10, 10, 10])
    near(grads["w"], [0, 0])
    near(value, 2 * m(pc.array(x)).sum())


def test_value_and_grad_with_more_results():
    m = nn.Linear(2, 1)
    (loss, extra), grads = nn.value_and_grad(m, lambda x: (pc.sum(m(x)), x + 1))(pc.ones((1, 2)))
    assert loss.shape == () and sorted(grads) == ["bias", "weight"]
    near(extra, [[2, 2]])


def test_the_model_keeps_its_arrays():
    m = nn.Linear(2, 1)
    weight = m.weight
    nn.value_and_grad(m, lambda x: pc.sum(m(x)))(pc.ones((1, 2)))
    assert m.weight is weight

    def fails(x):
        raise RuntimeError("in the loss")

    with pytest.raises(RuntimeError, match="in the loss"):
        nn.value_and_grad(m, fails)(pc.ones((1, 2)))
    assert m.weight is weight

    def replaces(x):
        m.weight = m.weight * 2
        return pc.sum(m(x))

    _, grads = nn.value_and_grad(m, replaces)(pc.ones((1, 2)))
    near(grads["weight"], [[2, 2]])
    assert m.weight is weight
