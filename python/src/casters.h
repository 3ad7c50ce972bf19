// Conversions between Python objects and what takes memory of its own. nanobind's are noexcept, so that a program would end
// where they find no memory; from these the error reaches Python. Its <nanobind/stl/...> of these types must not be included.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/detail/nb_list.h>
#include <nanobind/stl/detail/nb_optional.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace nanobind::detail {

template <>
struct type_caster<std::string> {
  NB_TYPE_CASTER(std::string, const_name("str"))
  bool from_python(handle src, uint32_t, cleanup_list*) {
    if (!PyUnicode_Check(src.ptr())) return false;
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(src.ptr(), &size);
    if (!text) {
      PyErr_Clear();
      return false;
    }
    value.assign(text, static_cast<size_t>(size));
    return true;
  }
  static handle from_cpp(const std::string& text, rv_policy, cleanup_list*) noexcept {
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
  }
};

template <class T>
struct type_caster<std::vector<T>> : list_caster<std::vector<T>, T> {
  bool from_python(handle src, uint32_t flags, cleanup_list* cleanup) {
    if (PyUnicode_Check(src.ptr()) || PyBytes_Check(src.ptr()) || !PySequence_Check(src.ptr())) return false;
    const object items = steal(PySequence_Fast(src.ptr(), ""));
    if (!items.is_valid()) {
      PyErr_Clear();
      return false;
    }
    this->value.clear();
    make_caster<T> caster;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
      const handle item = PySequence_Fast_GET_ITEM(items.ptr(), i);
      if (!caster.from_python(item, flags_for_local_caster<T>(flags), cleanup) || !caster.template can_cast<T>())
        return false;
      this->value.push_back(caster.operator cast_t<T>());
    }
    return true;
  }
};

template <class T>
struct remove_opt_mono<std::optional<T>> : remove_opt_mono<T> {};
template <class T>
struct has_arg_defaults<std::optional<T>> : std::true_type {};
template <>
struct type_caster<std::nullopt_t> : none_caster<std::nullopt_t> {};

template <class T>
struct type_caster<std::optional<T>> : optional_caster<std::optional<T>> {
  bool from_python(handle src, uint32_t flags, cleanup_list* cleanup) {
    this->value.reset();
    if (src.is_none()) return true;
    make_caster<T> caster;
    if (!caster.from_python(src, flags_for_local_caster<T>(flags), cleanup) || !caster.template can_cast<T>())
      return false;
    this->value.emplace(caster.operator cast_t<T>());
    return true;
  }
};

template <class T>
struct type_caster<std::variant<T, std::vector<T>>> {
  using OneOrMore = std::variant<T, std::vector<T>>;
  NB_TYPE_CASTER(OneOrMore, union_name(make_caster<T>::Name, make_caster<std::vector<T>>::Name))
  bool from_python(handle src, uint32_t flags, cleanup_list* cleanup) {
    make_caster<T> one;
    make_caster<std::vector<T>> more;
    if (one.from_python(src, flags, cleanup)) {
      value = std::move(one.value);
    } else if (more.from_python(src, flags, cleanup)) {
      value = std::move(more.value);
    } else {
      return false;
    }
    return true;
  }
};

}  // namespace nanobind::detail
