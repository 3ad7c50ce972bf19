// What a tree of arguments or results looks like, kept so that another one is compared with it in one walk.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <string>
#include <vector>

#include "array.h"

namespace plait::python {

/// What varies between trees of one structure, in the order in which a walk finds it.
struct Leaves {
  Arrays arrays;
  std::vector<nb::object> numbers;
};

/// Containers with their keys, and what is no array and no number: nested lists, tuples, named tuples and dicts.
///
/// Threads: under the GIL.
class TreeSpec {
 public:
  /// Of arguments all numbers are leaves, of results those that come from the arguments' numbers; of state none.
  enum class What { arguments, state, results };

  /// Takes a tree apart. Errors: TypeError for something among arguments and state that cannot be compared with other
  /// calls' (it is not hashable), RecursionError.
  static TreeSpec of(nb::handle tree, What what, Leaves& leaves);
  /// Whether the tree is like the one that this was made from; then its leaves are appended, else nothing is.
  bool matches(nb::handle tree, Leaves& leaves) const;
  /// The tree with these leaves, from `at` on, which moves behind those used.
  struct Position {
    size_t array = 0;
    size_t number = 0;
  };
  nb::object build(const Leaves& leaves, Position& at) const;

  /// For people: ([float32(a, b), number 1: float], {'axis': 0}). `arrays` are words for the arrays, in their order; the
  /// positions move behind those used.
  std::string in_words(const std::vector<std::string>& arrays, Position& at) const;

  int traverse(visitproc visit, void* arg) const;

 private:
  enum class Kind : uint8_t { array, number, constant, list, tuple, named_tuple, dict, key };
  struct Token {
    Kind kind;
    Py_ssize_t count = 0;  // entries of a container
    nb::object object;  // a constant, a key; the type of a number or of a named tuple
  };
  struct Reader;
  struct Matcher;

  std::vector<Token> tokens_;
};

}  // namespace plait::python
