#include "source.h"

#include <Python.h>

#include <string_view>
#include <unordered_map>
#include <vector>

#include "graph/source.h"

// Everything here is read and written under the GIL.
namespace plait::python {
namespace {

struct Place {
  PyCodeObject* code;  // kept alive: places are resolved long after their frame has gone
  int instruction;
  bool operator==(const Place&) const = default;
};
struct PlaceHash {
  size_t operator()(const Place& p) const {
    return reinterpret_cast<size_t>(p.code) * 0x9e3779b97f4a7c15u + static_cast<size_t>(p.instruction);
  }
};

struct Table {
  std::string package;
  std::vector<Place> places{{nullptr, 0}};  // position 0 is the unknown place
  std::unordered_map<Place, SourceId, PlaceHash> ids;
  std::unordered_map<PyCodeObject*, bool> inside;  // whether a code object belongs to plait's own layer
  Place last{nullptr, 0};
  SourceId last_id = 0;
};

Table& table() {
  static auto* t = new Table;
  return *t;
}

bool inside_package(Table& t, PyCodeObject* code) {
  const auto [at, is_new] = t.inside.try_emplace(code, false);
  if (is_new) {
    Py_INCREF(code);  // its address stays its own
    Py_ssize_t size = 0;
    const char* file = PyUnicode_AsUTF8AndSize(code->co_filename, &size);
    if (!file) PyErr_Clear();
    at->second = file && std::string_view(file, static_cast<size_t>(size)).starts_with(t.package);
  }
  return at->second;
}

SourceId intern(Table& t, Place place) {
  const auto [at, is_new] = t.ids.try_emplace(place, static_cast<SourceId>(t.places.size()));
  if (is_new) {
    Py_INCREF(place.code);
    t.places.push_back(place);
  }
  return at->second;
}

SourceId current() {
  if (!PyGILState_Check()) return 0;
  PyFrameObject* frame = PyEval_GetFrame();  // borrowed
  if (!frame) return 0;
  Table& t = table();
  PyCodeObject* code = PyFrame_GetCode(frame);
  Place place{code, PyFrame_GetLasti(frame)};
  if (place == t.last) {
    Py_DECREF(code);
    return t.last_id;
  }
  if (!inside_package(t, code)) {
    t.last_id = intern(t, place);
    t.last = place;
    Py_DECREF(code);
    return t.last_id;
  }
  Py_DECREF(code);
  // Not remembered as the last place: the same line of the layer serves many callers.
  SourceId id = 0;
  Py_INCREF(frame);
  while (frame && id == 0) {
    PyFrameObject* caller = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = caller;
    if (!frame) break;
    code = PyFrame_GetCode(frame);
    if (!inside_package(t, code)) id = intern(t, {code, PyFrame_GetLasti(frame)});
    Py_DECREF(code);
  }
  Py_XDECREF(frame);
  return id;
}

std::string describe(SourceId id) {
  if (!Py_IsInitialized()) return "";
  const PyGILState_STATE gil = PyGILState_Ensure();
  std::string text;
  Table& t = table();
  if (id > 0 && id < t.places.size()) {
    const Place place = t.places[id];
    PyObject *type, *value, *trace;  // this may run while an error is being made
    PyErr_Fetch(&type, &value, &trace);
    const int line = PyCode_Addr2Line(place.code, place.instruction);
    const char* file = PyUnicode_AsUTF8(place.code->co_filename);
    const char* function = PyUnicode_AsUTF8(place.code->co_qualname);
    if (file) {
      const std::string_view path(file);
      text = std::string(path.substr(path.rfind('/') + 1)) + ":" + std::to_string(line);
      if (function && std::string_view(function) != "<module>") text += " in " + std::string(function);
    }
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
  }
  PyGILState_Release(gil);
  return text;
}

}  // namespace

void install_source_hooks(const std::string& package) {
  table().package = package;
  set_source_hooks({.current = current, .describe = describe});
}

std::string transform_of(const char* transform, nanobind::handle f) {
  std::string text = transform;
  if (nanobind::type_check(f.type()) || !nanobind::hasattr(f, "__name__")) return text;
  const nanobind::object name = f.attr("__name__");
  const char* own = PyUnicode_Check(name.ptr()) ? PyUnicode_AsUTF8(name.ptr()) : nullptr;
  if (!own) PyErr_Clear();
  if (own && std::string_view(own) != "<lambda>") text += " of " + std::string(own);
  return text;
}

}  // namespace plait::python
