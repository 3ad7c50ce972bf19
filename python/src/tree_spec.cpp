#include "tree_spec.h"

#include "buffers.h"
#include "traced_number.h"
#include "trees.h"

namespace plait::python {

struct TreeSpec::Reader {
  TreeSpec& spec;
  Leaves& leaves;
  What what;

  void add(Kind kind, Py_ssize_t count = 0, nb::handle object = {}) {
    spec.tokens_.push_back({kind, count, object.is_valid() ? nb::borrow(object) : nb::object()});
  }

  void read(PyObject* o) {
    if (is_array(o)) return array(o);
    if (PyTuple_Check(o)) {
      if (PyTuple_CheckExact(o))
        add(Kind::tuple, PyTuple_GET_SIZE(o));
      else
        add(Kind::named_tuple, PyTuple_GET_SIZE(o), reinterpret_cast<PyObject*>(Py_TYPE(o)));
      return entries(o);
    }
    if (PyList_Check(o)) {
      add(Kind::list, PyList_GET_SIZE(o));
      return entries(o);
    }
    if (PyDict_Check(o)) return dict(o);
    if (PyObject* key = random_state_slot(o)) return array(key);
    if (what == What::arguments ? is_number(o) : what == What::results && open_number(o) != 0) {
      add(Kind::number, 0, number_type(o));
      leaves.numbers.push_back(nb::borrow(o));
      return;
    }
    if (what != What::results && PyObject_Hash(o) == -1) {
      PyErr_Clear();
      throw ArgumentTypeError({.op = "compile",
                               .got = "an argument of type " + std::string(Py_TYPE(o)->tp_name),
                               .accepts = "arrays, numbers, and what is hashable, in lists, tuples and dicts",
                               .hint = has_buffer(o) ? "array(...) makes an array of it" : ""});
    }
    add(Kind::constant, 0, o);
  }

  void array(PyObject* o) {
    leaves.arrays.push_back(value_of(o));
    add(Kind::array);
  }

  void entries(PyObject* o) {
    const Nested nested;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) read(PySequence_Fast_GET_ITEM(o, i));
  }

  void dict(PyObject* o) {
    const Nested nested;
    add(Kind::dict, PyDict_GET_SIZE(o));
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(o, &at, &key, &value);) {
      add(Kind::key, 0, key);
      read(value);
    }
  }

  struct Nested {
    Nested() {
      if (Py_EnterRecursiveCall(" while the arguments of a compiled function were looked at")) throw nb::python_error();
    }
    ~Nested() { Py_LeaveRecursiveCall(); }
  };
};

TreeSpec TreeSpec::of(nb::handle tree, What what, Leaves& leaves) {
  TreeSpec spec;
  Reader{spec, leaves, what}.read(tree.ptr());
  return spec;
}

// 1, 1.0 and True are equal in Python, but not to a trace.
static bool same_constant(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  const int equal = PyObject_RichCompareBool(a, b, Py_EQ);
  if (equal < 0) throw nb::python_error();
  return equal == 1;
}

struct TreeSpec::Matcher {
  const std::vector<Token>& tokens;
  Leaves& leaves;
  size_t at = 0;

  bool match(PyObject* o) {
    const Token& token = tokens[at++];
    switch (token.kind) {
      case Kind::array: {
        PyObject* a = is_array(o) ? o : random_state_slot(o);
        if (a == nullptr) return false;
        leaves.arrays.push_back(value_of(a));
        return true;
      }
      case Kind::number:
        if (number_type(o).ptr() != token.object.ptr() || !is_number(o)) return false;
        leaves.numbers.push_back(nb::borrow(o));
        return true;
      case Kind::constant: return same_constant(o, token.object.ptr());
      case Kind::list: return PyList_Check(o) && PyList_GET_SIZE(o) == token.count && entries(o, token.count);
      case Kind::tuple: return PyTuple_CheckExact(o) && PyTuple_GET_SIZE(o) == token.count && entries(o, token.count);
      case Kind::named_tuple:
        return reinterpret_cast<PyObject*>(Py_TYPE(o)) == token.object.ptr() && entries(o, token.count);
      case Kind::dict: return PyDict_Check(o) && PyDict_GET_SIZE(o) == token.count && dict(o);
      default: return false;
    }
  }

  bool entries(PyObject* o, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; ++i) {
      // Comparing a constant may run Python code, which may change a list.
      if (i >= PySequence_Fast_GET_SIZE(o) || !match(PySequence_Fast_GET_ITEM(o, i))) return false;
    }
    return true;
  }

  bool dict(PyObject* o) {
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t place = 0; PyDict_Next(o, &place, &key, &value);)
      if (at >= tokens.size() || tokens[at].kind != Kind::key || !same_constant(key, tokens[at++].object.ptr()) ||
          !match(value))
        return false;
    return true;
  }
};

bool TreeSpec::matches(nb::handle tree, Leaves& leaves) const {
  const size_t arrays = leaves.arrays.size(), numbers = leaves.numbers.size();
  if (Matcher{tokens_, leaves}.match(tree.ptr())) return true;
  leaves.arrays.resize(arrays);
  leaves.numbers.resize(numbers);
  return false;
}

nb::object TreeSpec::build(const Leaves& leaves, Position& from) const {
  size_t at = 0;
  const auto one = [&](const auto& self) -> nb::object {
    const Token& token = tokens_[at++];
    switch (token.kind) {
      case Kind::array: return nb::cast(leaves.arrays[from.array++]);
      case Kind::number: return leaves.numbers[from.number++];
      case Kind::list: {
        nb::object list = nb::steal(PyList_New(token.count));
        if (!list.is_valid()) throw nb::python_error();
        for (Py_ssize_t i = 0; i < token.count; ++i) PyList_SET_ITEM(list.ptr(), i, self(self).release().ptr());
        return list;
      }
      case Kind::tuple:
      case Kind::named_tuple: {
        nb::object tuple = nb::steal(PyTuple_New(token.count));
        if (!tuple.is_valid()) throw nb::python_error();
        for (Py_ssize_t i = 0; i < token.count; ++i) PyTuple_SET_ITEM(tuple.ptr(), i, self(self).release().ptr());
        if (token.kind == Kind::tuple) return tuple;
        return nb::hasattr(token.object, "_make") ? token.object.attr("_make")(tuple) : token.object(tuple);
      }
      case Kind::dict: {
        nb::dict dict;
        for (Py_ssize_t i = 0; i < token.count; ++i) {
          const nb::object key = tokens_[at++].object;
          dict[key] = self(self);
        }
        return dict;
      }
      default: return token.object;
    }
  };
  return one(one);
}

std::string TreeSpec::in_words(const std::vector<std::string>& arrays, Position& from) const {
  size_t at = 0;
  const auto one = [&](const auto& self) -> std::string {
    const Token& token = tokens_[at++];
    const auto entries = [&](const char* open, const char* close) {
      std::string text = open;
      for (Py_ssize_t i = 0; i < token.count; ++i) {
        if (i > 0) text += ", ";
        if (token.kind == Kind::dict) text += std::string(nb::repr(tokens_[at++].object).c_str()) + ": ";
        text += self(self);
      }
      return text + close;
    };
    switch (token.kind) {
      case Kind::array: return arrays[from.array++];
      case Kind::number:
        return "number " + std::to_string(++from.number) + ": " +
               nb::cast<std::string>(nb::str(token.object.attr("__name__")));
      case Kind::list: return entries("[", "]");
      case Kind::tuple: return entries("(", token.count == 1 ? ",)" : ")");
      case Kind::named_tuple: return nb::cast<std::string>(nb::str(token.object.attr("__name__"))) + entries("(", ")");
      case Kind::dict: return entries("{", "}");
      default: return nb::repr(token.object).c_str();
    }
  };
  return one(one);
}

int TreeSpec::traverse(visitproc visit, void* arg) const {
  for (const Token& token : tokens_) Py_VISIT(token.object.ptr());
  return 0;
}

}  // namespace plait::python
