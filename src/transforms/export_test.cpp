#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "engine/engine.h"
#include "graph/registry.h"
#include "plait/control_flow.h"
#include "plait/export_function.h"
#include "plait/ops.h"
#include "plait/random.h"
#include "transforms/exported.h"

namespace plait {
namespace {

[[maybe_unused]] const auto engine_linked = engine::plan_cache_stats();

/// A folder of its own that goes with the test.
class Export : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "plait-export-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name = "f") const { return folder_ + "/" + name; }
  size_t files() const {
    size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++n;
    return n;
  }
  std::string folder_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Array floats(std::vector<float> v, Shape shape) { return Array::from<float>(v, shape); }
Array wave(Shape shape) {
  std::vector<float> v(static_cast<size_t>(shape.count_value()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(1.7F * static_cast<float>(i));
  return floats(v, shape);
}

void expect_same(const Arrays& a, const Arrays& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].shape().values(), b[i].shape().values());
    const auto x = a[i].to_vector<float>(), y = b[i].to_vector<float>();
    for (size_t k = 0; k < x.size(); ++k) EXPECT_NEAR(x[k], y[k], 1e-5F * (1 + std::abs(y[k]))) << k;
  }
}

Arrays network(const Arrays& in) {
  static const Array w = wave({3, 4}), b = wave({4});
  return {softmax(maximum(matmul(in[0], w) + b, Array(0.0F)), Axes{1}, false)};
}

TEST_F(Export, GivesTheSameForOtherExtents) {
  export_function(path(), network, {wave({2, 3})}, {.shapeless = true, .metadata = "of two layers"});
  const ImportedFunction f = import_function(path());
  EXPECT_EQ(f.metadata(), "of two layers");
  for (const int64_t rows : {1, 2, 7}) expect_same(f({wave({rows, 3})}), network({wave({rows, 3})}));
  EXPECT_EQ(f.signatures(), std::vector<std::string>{"(float32(?, ?))"});
  EXPECT_EQ(files(), 1U);
}

TEST_F(Export, WithoutShapelessTakesTheExtentsOfTheExample) {
  export_function(path(), network, {wave({2, 3})});
  const ImportedFunction f = import_function(path());
  expect_same(f({wave({2, 3})}), network({wave({2, 3})}));
  try {
    (void)f({wave({3, 3})});
    FAIL();
  } catch (const ArgumentError& e) {
    EXPECT_EQ(e.info().accepts, "(float32(2, 3))");
    EXPECT_EQ(e.info().got, "arguments (float32(3, 3))");
  }
  EXPECT_THROW((void)f({wave({2, 3}), wave({2, 3})}), ArgumentError);
  EXPECT_THROW((void)f({astype(wave({2, 3}), DType::float64)}), ArgumentError);
}

TEST_F(Export, DecisionsAreCheckedInEachCall) {
  const Function f = [](const Arrays& in) {
    return Arrays{in[0].dim(0) < Dim(5) ? in[0] + Array(1.0F) : in[0] - Array(1.0F)};
  };
  export_function(path(), f, {wave({2})}, {.shapeless = true});
  const ImportedFunction g = import_function(path());
  expect_same(g({wave({4})}), f({wave({4})}));
  EXPECT_THROW((void)g({wave({6})}), ArgumentError);
}

TEST_F(Export, SeveralTracesShareTheirConstants) {
  const Array w = wave({1000});
  FunctionExporter exporter(path(), [&](const Arrays& in, const NamedArrays& named) {
    Array out = in[0] * w;
    for (const auto& [name, a] : named) out = out + a;
    return Arrays{out};
  });
  exporter({wave({1000})});
  exporter({wave({1})});
  exporter({wave({1000})}, {{"bias", wave({1000})}});
  EXPECT_THROW(exporter({wave({1})}), FileError);
  exporter.close();
  exporter.close();
  EXPECT_THROW(exporter({wave({2, 1000})}), FileError);
  EXPECT_LT(std::filesystem::file_size(path()), 6000U);
  const ImportedFunction f = import_function(path());
  EXPECT_EQ(f.signatures().size(), 3U);
  expect_same(f({wave({1000})}, {{"bias", wave({1000})}}), {wave({1000}) * w + wave({1000})});
  EXPECT_THROW((void)f({wave({1000})}, {{"other", wave({1000})}}), ArgumentError);
  EXPECT_THROW((void)f({}, {{"bias", wave({1000})}}), ArgumentError);
}

TEST_F(Export, ImportedFunctionsTakeEveryTransform) {
  export_function(path(), network, {wave({2, 3})}, {.shapeless = true});
  const ImportedFunction f = import_function(path());
  const Function loss = [](const Arrays& in) { return Arrays{sum(network(in)[0] * wave({4}), Axes(), false)}; };
  const Function imported = [&](const Arrays& in) { return Arrays{sum(f(in)[0] * wave({4}), Axes(), false)}; };
  const Arrays x{wave({5, 3})};
  expect_same(grad(imported)(x), grad(loss)(x));
  expect_same(grad(compile(imported))(x), grad(loss)(x));
  expect_same(jvp(imported, x, x).second, jvp(loss, x, x).second);
  expect_same(vmap(imported)({wave({4, 5, 3})}), vmap(loss)({wave({4, 5, 3})}));
  const Function compiled = compile(imported);
  for (const int64_t rows : {2, 3, 4}) expect_same(compiled({wave({rows, 3})}), loss({wave({rows, 3})}));
  // And again into a file, with the gradient inside.
  export_function(path("g"), grad(imported), x, {.shapeless = true});
  expect_same(import_function(path("g"))({wave({2, 3})}), grad(loss)({wave({2, 3})}));
  // A gradient by something that is not an argument.
  export_function(path("h"),
                  [&](const Arrays& in) {
                    return grad([&](const Arrays& w) { return Arrays{sum(w[0] * in[0], Axes(), false)}; })({wave({3})});
                  },
                  {wave({3})});
  expect_same(import_function(path("h"))({wave({3})}), {wave({3})});
}

TEST_F(Export, CheckpointsAreSeenThrough) {
  const Arrays x{wave({5, 3})};
  const Function loss = [](const Arrays& in) {
    return Arrays{sum(checkpoint(network)(in)[0] * wave({4}), Axes(), false)};
  };
  for (const Function& f : {loss, grad(loss)}) {
    export_function(path(), f, x, {.shapeless = true});
    expect_same(import_function(path())({wave({2, 3})}), f({wave({2, 3})}));
  }
}

TEST_F(Export, CustomFunctionsLeaveTheirRulesBehind) {
  const Arrays x{wave({5, 3})};
  const auto summed = [](const Function& f) {
    return Function([f](const Arrays& in) { return Arrays{sum(f(in)[0], Axes(), false)}; });
  };
  CustomRules rules;
  rules.vjp = [](const Arrays& primals, const Arrays&, const Arrays&) { return primals; };
  const Function custom = custom_function(network, rules);
  export_function(path(), custom, x, {.shapeless = true});
  const ImportedFunction f = import_function(path());
  const Function imported = [&](const Arrays& in) { return f(in); };
  expect_same(f({wave({2, 3})}), network({wave({2, 3})}));
  expect_same(vmap(imported)({wave({4, 5, 3})}), vmap(network)({wave({4, 5, 3})}));
  expect_same(jvp(imported, x, x).second, jvp(network, x, x).second);  // of which there was no rule
  const auto refused = [&](const Function& transformed, const Arrays& in) {
    try {
      (void)transformed(in);
      FAIL();
    } catch (const TransformError& e) {
      EXPECT_EQ(e.info().op, "import_function");
      EXPECT_FALSE(e.info().hint.empty());
    }
  };
  refused(grad(summed(imported)), x);
  refused(grad(summed(vmap(imported))), {wave({4, 5, 3})});
  export_function(path("again"), imported, x);
  const ImportedFunction again = import_function(path("again"));
  refused(grad(summed([&](const Arrays& in) { return again(in); })), x);
  // A gradient that was taken before it was exported used the rule.
  export_function(path("grad"), grad(summed(custom)), x);
  expect_same(import_function(path("grad"))(x), grad(summed(custom))(x));

  CustomRules others;
  others.jvp = [](const Arrays&, const Arrays& tangents) { return Arrays{matmul(tangents[0], ones({3, 4}))}; };
  export_function(path("jvp"), custom_function(network, others), x);
  const ImportedFunction g = import_function(path("jvp"));
  refused([&](const Arrays& in) { return jvp([&](const Arrays& y) { return g(y); }, in, in).second; }, x);
  expect_same(grad(summed([&](const Arrays& in) { return g(in); }))(x), grad(summed(network))(x));

  CustomRules batches;
  batches.vmap = [](const Arrays& in, const std::vector<int>& axes) { return std::pair(network(in), axes); };
  export_function(path("vmap"), custom_function(network, batches), x);
  const ImportedFunction h = import_function(path("vmap"));
  expect_same(grad(summed([&](const Arrays& in) { return h(in); }))(x), grad(summed(network))(x));
}

Arrays loops(const Arrays& in) {
  const auto [last, all] = scan(
      [&](const Arrays& carry, const Arrays& x) {
        const Array next = tanh(carry[0] * in[1] + x[0]);
        return std::pair(Arrays{next}, cond(
                                           sum(next, Axes(), false) > 0.0F, [](const Arrays& y) { return y; },
                                           [](const Arrays& y) { return Arrays{-y[0]}; }, {next}));
      },
      {in[1]}, {in[0]});
  const Arrays doubled = while_loop([](const Arrays& c) { return Arrays{sum(c[0], Axes(), false) < 50.0F}; },
                                    [](const Arrays& c) { return Arrays{c[0] * 2.0F}; }, {square(in[1]) + 1.0F});
  return {last[0], all[0], doubled[0]};
}

TEST_F(Export, LoopsAndBranches) {
  export_function(path(), loops, {wave({2, 3}), wave({3})}, {.shapeless = true});
  const ImportedFunction f = import_function(path());
  for (const auto& [rows, n] : {std::pair{2, 3}, {5, 3}, {7, 4}}) {
    const Arrays in{wave({rows, n}), wave({n})};
    expect_same(f(in), loops(in));
    const auto loss = [](const Function& g) {
      return grad(
          [g](const Arrays& x) {
            const Arrays y = g(x);
            return Arrays{sum(y[0], Axes(), false) + sum(y[1] * y[1], Axes(), false)};
          },
          {0, 1});
    };
    expect_same(loss([&](const Arrays& x) { return f(x); })(in), loss(loops)(in));
    export_function(path("g"), loss(loops), {wave({2, 3}), wave({3})}, {.shapeless = true});
    expect_same(import_function(path("g"))(in), loss(loops)(in));
  }
  const Function compiled = compile([&](const Arrays& x) { return f(x); });
  for (const int64_t rows : {2, 5})
    expect_same(compiled({wave({rows, 3}), wave({3})}), loops({wave({rows, 3}), wave({3})}));
}

TEST_F(Export, OneFileServesManyThreads) {
  export_function(path(), network, {wave({2, 3})}, {.shapeless = true});
  const ImportedFunction f = import_function(path());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int64_t rows = 1; rows < 20; ++rows) {
        const Array x = wave({rows + t, 3});
        if (f({x})[0].to_vector<float>() != network({x})[0].to_vector<float>()) ++wrong;
        if (rows % 5 == 0 && import_function(path()).signatures() != f.signatures()) ++wrong;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Export, RandomNumbersAreThoseOfTheTrace) {
  export_function(
      path(),
      [](const Arrays& in) {
        return Arrays{in[0] + random::uniform(Array(0.0F), Array(1.0F), Shape{3}, DType::float32, std::nullopt)};
      },
      {wave({3})});
  const ImportedFunction f = import_function(path());
  expect_same(f({wave({3})}), f({wave({3})}));
}

TEST_F(Export, UnderATraceIsAnError) {
  const Function inner = [](const Arrays& in) { return in; };
  const Arrays x{wave({3})};
  const Function exports = [&](const Arrays& in) {
    export_function(path(), inner, in);
    return in;
  };
  const Function captures = [&](const Arrays& in) {
    export_function(path(), [&](const Arrays& y) { return Arrays{y[0] * in[0]}; }, x);
    return in;
  };
  for (const Function& f : {exports, captures}) {
    EXPECT_THROW((void)compile(f)(x), TransformError);
    EXPECT_THROW((void)jvp(f, x, x), TransformError);
    EXPECT_THROW((void)vmap(f)(x), TransformError);
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(Export, AFailureLeavesTheOldFile) {
  export_function(path(), network, {wave({2, 3})});
  const std::string before = bytes_of(path());
  EXPECT_THROW(export_function(path(), [](const Arrays&) -> Arrays { throw ArgumentError({.op = "test"}); }, {}),
               ArgumentError);
  EXPECT_THROW(export_function(path("none/f"), network, {wave({2, 3})}), FileError);
  EXPECT_THROW(export_function(folder_, network, {wave({2, 3})}), FileError);
  EXPECT_THROW(export_function("", network, {wave({2, 3})}), FileError);
  {
    FunctionExporter dropped(path(), [](const Arrays& in, const NamedArrays&) { return in; });
    dropped({wave({2})});
  }
  EXPECT_EQ(bytes_of(path()), before);
  EXPECT_EQ(files(), 1U);
}

TEST_F(Export, LinksLeadToTheFile) {
  std::ofstream(path("real")) << "old";
  std::filesystem::create_symlink("real", path("link"));
  ASSERT_EQ(::chmod(path("real").c_str(), 0600), 0);
  export_function(path("link"), network, {wave({2, 3})});
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(import_function(path("real")).signatures().size(), 1U);
  struct stat info{};
  ASSERT_EQ(::stat(path("real").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(Export, OnlyRegularFilesAreRead) {
  EXPECT_THROW((void)import_function(path("none")), FileError);
  EXPECT_THROW((void)import_function(folder_), FileError);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THROW((void)import_function(path("pipe")), FileError);
  EXPECT_THROW((void)import_function("/dev/zero"), FileError);
}

TEST_F(Export, EveryOpSaysWhetherAFileCanHoldIt) {
  for (const auto& op : registry().ops()) {
    if (op->kind == OpKind::placeholder || op->kind == OpKind::constant || !op->no_export.empty()) continue;
    EXPECT_TRUE(op->kind == OpKind::elementwise || op->check) << op->name << " has neither check nor no_export";
    EXPECT_TRUE(op->kind == OpKind::control || attrs_described(*op))
        << op->name << " has attributes that no field describes";
  }
}

TEST_F(Export, ListsTheTrace) {
  const TraceListing list = list_function(
      [](const Arrays& in, const NamedArrays& named) {
        return Arrays{sum(in[0] * named.at("scale") + wave({3}), Axes{1}, false)};
      },
      {wave({2, 3})}, {{"scale", wave({3})}});
  ASSERT_EQ(list.inputs.size(), 2U);
  EXPECT_EQ(list.named, (std::vector<std::pair<std::string, std::string>>{{"scale", "B"}}));
  ASSERT_EQ(list.constants.size(), 1U);
  EXPECT_EQ(list.constants[0].second.to_vector<float>(), wave({3}).to_vector<float>());
  ASSERT_EQ(list.steps.size(), 3U);
  EXPECT_EQ(list.steps[2].op, "sum");
  EXPECT_EQ(list.steps[2].arguments[0].first, "axes");
  EXPECT_EQ(std::get<std::vector<int64_t>>(list.steps[2].arguments[0].second), std::vector<int64_t>{1});
  EXPECT_EQ(list.outputs[0].name, list.steps[2].outputs[0].name);
  EXPECT_EQ(list.steps[2].inputs[0].name, list.steps[1].outputs[0].name);
}

TEST_F(Export, DrawsPendingGraphs) {
  const Array x = wave({2});
  const std::string text = graph_to_dot({exp(x) + x}, {{"a \"name\"\\\n", x}});
  EXPECT_TRUE(text.starts_with("digraph {\n"));
  EXPECT_TRUE(text.ends_with("}\n"));
  EXPECT_NE(text.find("label=\"exp\""), std::string::npos);
  EXPECT_NE(text.find(R"x(label="a \"name\"\\\n\nfloat32 (2,)")x"), std::string::npos);
  EXPECT_EQ(graph_to_dot({}), "digraph {\n}\n");
  Array chain = x;
  for (int i = 0; i < 100000; ++i) chain = chain + x;
  EXPECT_GT(graph_to_dot({chain}).size(), 1000000U);
}

}  // namespace
}  // namespace plait
