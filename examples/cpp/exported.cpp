// Runs a function from a file, in C++ or Python whoever wrote it, and writes one.
//
//   exported            writes a file, reads it, and runs it with more rows than it was traced with
//   exported IN OUT N   runs IN, a function of float32 (rows, 3), for N rows and prints what it gives; writes a function
//                       that gives twice as much to OUT
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "plait/array.h"
#include "plait/export_function.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace {

using plait::Array;
using plait::Arrays;

Array rows(int64_t n) { return plait::reshape(plait::arange(0.0, static_cast<double>(3 * n)), {n, 3}) / 10.0; }

Arrays normalized(const Arrays& in) {
  const Array& x = in[0];
  return {x / plait::sqrt(plait::sum(x * x, plait::Axes{1}, true) + 1.0)};
}

int run_file(const std::string& from, const std::string& to, int64_t n) {
  const plait::ImportedFunction f = plait::import_function(from);
  for (const float v : f({rows(n)})[0].to_vector<float>()) std::printf("%.8g\n", static_cast<double>(v));
  const auto twice = [&](const Arrays& in) { return Arrays{f(in)[0] * 2.0}; };
  plait::export_function(to, twice, {rows(2)}, {.shapeless = true, .metadata = "twice " + f.metadata()});
  return 0;
}

int run_own() {
  const char* folder = std::getenv("TMPDIR");
  const std::string file = std::string(folder != nullptr ? folder : "/tmp") + "/normalized.plait";
  plait::export_function(file, normalized, {rows(2)}, {.shapeless = true, .metadata = "rows of length below 1"});
  const plait::ImportedFunction f = plait::import_function(file);
  std::remove(file.c_str());
  const bool same = f({rows(50)})[0].to_vector<float>() == normalized({rows(50)})[0].to_vector<float>();
  std::printf("%s: %s takes %s\n", same ? "same" : "DIFFERENT", f.metadata().c_str(), f.signatures()[0].c_str());
  return same ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return argc == 4 ? run_file(argv[1], argv[2], std::atoll(argv[3])) : run_own();
  } catch (const plait::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
