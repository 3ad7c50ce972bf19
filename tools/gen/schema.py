"""Reads schema/ops.json: functions, their parameters, and what each annotation means in C++ and in Python."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field

# Parameters of type int that are positions of axes: C++ int. All other integers are sizes or counts: int64_t.
AXIS_NAMES = {"axis", "axis1", "axis2", "start_axis", "end_axis", "source", "destination"}
AXES_NAMES = {"axis", "axes"}
CPP_KEYWORDS = set(
    "and and_eq bitand bitor bool char class compl const default delete double else enum explicit export extern false "
    "float for friend goto if inline int long mutable namespace new not not_eq operator or or_eq private protected "
    "public register return short signed sizeof static struct switch template this throw true try typedef union "
    "unsigned using virtual void volatile while xor xor_eq".split()
)

# kind -> (C++ parameter of the typed function, C++ parameter of the binding)
CPP = {
    "array": ("const Array&", "const Array&"),
    "operand": ("const Array&", "Operand"),
    "opt_array": ("const std::optional<Array>&", "std::optional<Array>"),
    "positions": ("const Array&", "Operand"),
    "opt_operand": ("const std::optional<Array>&", "std::optional<Operand>"),
    "arrays": ("const Arrays&", "const Arrays&"),
    "var_arrays": ("const Arrays&", "nb::args"),
    "axis": ("int", "int"),
    "opt_axis": ("std::optional<int>", "std::optional<int>"),
    "axes": ("const Axes&", "const Axes&"),
    "size": ("int64_t", "int64_t"),
    "opt_size": ("std::optional<int64_t>", "std::optional<int64_t>"),
    "ints": ("const IntList&", "const IntList&"),
    "opt_ints": ("const std::optional<IntList>&", "const std::optional<IntList>&"),
    "int_or_ints": ("const IntOrInts&", "const IntOrInts&"),
    "shape": ("const Shape&", "const Shape&"),
    "opt_shape": ("const std::optional<Shape>&", "const std::optional<Shape>&"),
    "bool": ("bool", "bool"),
    "opt_bool": ("std::optional<bool>", "std::optional<bool>"),
    "float": ("double", "double"),
    "opt_float": ("std::optional<double>", "std::optional<double>"),
    "scalar": ("const Scalar&", "const Scalar&"),
    "opt_scalar": ("const std::optional<Scalar>&", "const std::optional<Scalar>&"),
    "dtype": ("DType", "DType"),
    "opt_dtype": ("std::optional<DType>", "std::optional<DType>"),
    "str": ("std::string_view", "std::string_view"),
    "opt_str": ("std::optional<std::string_view>", "std::optional<std::string_view>"),
}
ARRAY_KINDS = {"array", "operand", "positions", "opt_array", "opt_operand", "arrays", "var_arrays"}


@dataclass
class Param:
    name: str
    annotation: str
    default: str | None  # Python text; None: required
    how: str  # "positional", "either", "keyword", "variadic"
    kind: str | None  # a key of CPP, "stream", or None: bound by hand

    @property
    def cpp_name(self) -> str:
        return self.name + "_" if self.name in CPP_KEYWORDS else self.name

    @property
    def optional(self) -> bool:
        return self.default is not None


@dataclass
class Signature:
    params: list[Param]
    returns: str

    @property
    def stream(self) -> Param | None:
        return next((p for p in self.params if p.kind == "stream"), None)

    @property
    def values(self) -> list[Param]:
        """The parameters that C++ has as well."""
        return [p for p in self.params if p.kind != "stream"]


@dataclass
class Function:
    name: str
    module: str
    family: str
    signature: Signature
    method: Signature | None
    signature_text: str
    method_text: str
    aliases: list[str]
    summary: str
    details: str
    primitive: str
    generated: bool
    differentiable: str
    oracle: str
    samples: list[dict[str, str]] = field(default_factory=list)

    @property
    def cpp_name(self) -> str:
        return self.name + "_" if self.name in CPP_KEYWORDS else self.name

    @property
    def full(self) -> str:
        """The name below plait.core, which C callers use: "add", "random.uniform"."""
        return f"{self.module}.{self.name}".removeprefix("core.")

    @property
    def namespace(self) -> str:
        return "plait" + self.module.removeprefix("core").replace(".", "::")

    @property
    def by_hand(self) -> bool:
        """Some parameter or result has no rule here: declaration and binding are written by hand."""
        return any(p.kind is None for p in self.signature.params) or self.cpp_return is None

    @property
    def method_by_hand(self) -> bool:
        if self.method is None or self.by_hand:
            return True
        known = {p.name: p for p in self.signature.values[1:]}
        return any(p.kind is None or p.name not in known or p.how == "variadic" for p in self.method.values)

    @property
    def cpp_return(self) -> str | None:
        returns = self.signature.returns
        if returns == "array":
            return "Array"
        if returns == "bool":
            return "bool"
        if re.fullmatch(r"(tuple|list)\[array.*\]|array \| (list|tuple)\[array.*\]|(array \| )?\w+Result", returns):
            return "Arrays"
        return {"Dtype": "DType", "None": "void"}.get(returns)


def alternatives(annotation: str) -> tuple[set[str], bool]:
    """The parts of a union, without None, and whether None was among them."""

    def walk(node: ast.expr) -> list[str]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return walk(node.left) + walk(node.right)
        return [ast.unparse(node)]

    parts = set(walk(ast.parse(annotation, mode="eval").body))
    return parts - {"None"}, "None" in parts


def kind_of(annotation: str, name: str, elementwise: bool) -> str | None:
    if annotation == "StreamOrDevice":
        return "stream"
    parts, optional = alternatives(annotation)
    opt = "opt_" if optional else ""
    found: str | None = None
    if parts == {"array"}:
        found = opt + ("operand" if elementwise else "array")
    elif parts == {"scalar", "array"}:
        found = opt + "operand"
    elif parts == {"int", "array"}:
        found = "positions"
    elif parts <= {"list[array]", "Sequence[array]", "tuple[array, ...]"}:
        found = "arrays"
    elif parts == {"int"} and name == "seed":
        return None  # up to 64 bits without a sign: bound by hand
    elif parts == {"int"}:
        found = opt + ("axis" if name in AXIS_NAMES else "size")
    elif all(re.fullmatch(r"int|(Sequence|list)\[int\]|tuple\[int(, (int|\.\.\.))*\]", p) for p in parts):
        if name in AXES_NAMES:
            found = "axes"
        elif name == "shape":
            found = opt + "shape"
        elif name == "indices_or_sections":
            found = "int_or_ints"
        else:
            found = opt + "ints"
    elif parts == {"bool"}:
        found = opt + "bool"
    elif parts == {"float"}:
        found = opt + "float"
    elif parts in ({"int", "float"}, {"scalar"}):
        found = opt + "scalar"
    elif parts == {"Dtype"}:
        found = opt + "dtype"
    elif parts == {"str"} or all(p.startswith("Literal[") for p in parts):
        found = opt + "str"
    return found if found in CPP else None


def parse(text: str, elementwise: bool = False) -> Signature:
    """A signature as the registry holds it: `(a: array, /, axis: int = 0, *, stream: StreamOrDevice) -> array`."""
    tree = ast.parse(f"def f{text}: ...").body[0]
    assert isinstance(tree, ast.FunctionDef)
    args = tree.args
    params: list[Param] = []

    def add(arg: ast.arg, default: ast.expr | None, how: str) -> None:
        annotation = ast.unparse(arg.annotation) if arg.annotation else ""
        if how == "variadic":
            kind = "var_arrays" if annotation == "array" else None
        else:
            kind = kind_of(annotation, arg.arg, elementwise) if annotation else None
        params.append(Param(arg.arg, annotation, None if default is None else ast.unparse(default), how, kind))

    ordered = [(a, "positional") for a in args.posonlyargs] + [(a, "either") for a in args.args]
    defaults: list[ast.expr | None] = [None] * (len(ordered) - len(args.defaults)) + list(args.defaults)
    for (arg, how), default in zip(ordered, defaults, strict=True):
        add(arg, default, how)
    if args.vararg:
        add(args.vararg, None, "variadic")
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        add(arg, default, "keyword")
    if args.kwarg:
        add(args.kwarg, None, "variadic")
    return Signature(params, ast.unparse(tree.returns) if tree.returns else "")


def read(schema: str) -> list[Function]:
    """The functions of a schema, given as JSON text."""
    functions = []
    for entry in json.loads(schema)["functions"]:
        if not entry["signature"]:
            raise SystemExit(f"schema: {entry['module']}.{entry['name']} has no signature")
        try:
            signature = parse(entry["signature"], entry["generated"])
            method = parse(entry["method"]) if entry["method"] else None
        except SyntaxError as error:
            raise SystemExit(f"schema: signature of {entry['name']}: {error}") from error
        functions.append(
            Function(
                entry["name"],
                entry["module"],
                entry["family"],
                signature,
                method,
                entry["signature"],
                entry["method"],
                entry["aliases"],
                entry["summary"],
                entry["details"],
                entry["primitive"],
                entry["generated"],
                entry["differentiable"],
                entry["oracle"],
                entry["samples"],
            )
        )
    return functions


def by_module(functions: list[Function]) -> dict[str, list[Function]]:
    modules: dict[str, list[Function]] = {}
    for f in functions:
        modules.setdefault(f.module, []).append(f)
    return modules


def literal(default: str) -> object:
    """The value of a default that is a plain literal; the text itself for names such as float32."""
    try:
        return ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return default


def cpp_default(param: Param) -> str | None:
    """The default of a C++ parameter, or None where it has to be given."""
    if param.default is None:
        return None
    value = literal(param.default)
    kind = param.kind or ""
    if value is None:
        return "{}" if kind in ("axes", "arrays") else "std::nullopt"
    if kind.endswith("dtype"):
        return f"DType::{value}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if kind.endswith("ints"):
        values = value if isinstance(value, (list, tuple)) else [value]
        return "IntList{" + ", ".join(map(str, values)) + "}"
    if kind.endswith("shape"):
        values = value if isinstance(value, (list, tuple)) else [value]
        return "Shape{" + ", ".join(map(str, values)) + "}"
    if kind == "axes":
        values = value if isinstance(value, (list, tuple)) else [value]
        return "Axes{" + ", ".join(map(str, values)) + "}"
    if kind.endswith("operand") or kind.endswith("scalar"):
        return f"Scalar({value!r})" if kind.endswith("scalar") else f"Array({value!r})"
    return repr(value)
