#include "plait/c_functions.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "capi/c_arguments.h"
#include "plait/control_flow.h"
#include "plait/export_function.h"
#include "plait/jacobian.h"
#include "plait/ops.h"
#include "plait/transforms.h"

using plait::Array, plait::Arrays, plait::NamedArrays;
using plait::capi::CArguments, plait::capi::guarded;

namespace {

/// Results that a callback wrote, until they are taken over.
struct Written {
  explicit Written(size_t capacity) : at(capacity) {}
  ~Written() {
    for (const plait_array a : at) delete a;
  }
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;

  std::vector<plait_array> at;
};

/// A function of C, as long as somebody needs it.
class Callback {
 public:
  Callback(plait_callback call, void* context, void (*free_context)(void*))
      : call_(call), context_(context), free_context_(free_context) {}
  ~Callback() {
    if (free_context_) free_context_(context_);
  }
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;

  Arrays operator()(const Arrays& arguments) const {
    constexpr size_t kCapacity = 256;
    std::vector<plait_array_s> handles;
    std::vector<plait_array> borrowed;
    for (const Array& a : arguments) handles.push_back({a});
    for (plait_array_s& handle : handles) borrowed.push_back(&handle);
    Written written(kCapacity);
    size_t count = 0;
    const uint64_t failures = plait::capi::failure_count();
    const plait_status status =
        call_(context_, borrowed.data(), borrowed.size(), written.at.data(), written.at.size(), &count);
    if (status != PLAIT_OK) {
      written.at.clear();  // nothing was written
      plait::capi::throw_status(status, "plait_callback", plait::capi::failure_count() != failures);
    }
    const CArguments in("plait_callback");
    check_own(in, written.at, borrowed);
    if (count > kCapacity)
      throw plait::ArgumentError({.op = in.op(), .got = std::to_string(count) + " results", .accepts = "up to 256"});
    Arrays out;
    for (size_t i = 0; i < count; ++i) out.push_back(in.array(written.at[i], "result"));
    return out;
  }

  // Handles that are not the callback's to give, or given twice, would be freed here and again by others.
  static void check_own(const CArguments& in, std::vector<plait_array>& written,
                        const std::vector<plait_array>& borrowed) {
    const auto given = std::count_if(written.begin(), written.end(), [](plait_array a) { return a != nullptr; });
    std::vector<plait_array> own;
    for (const plait_array a : written)
      if (a && std::find(borrowed.begin(), borrowed.end(), a) == borrowed.end() &&
          std::find(own.begin(), own.end(), a) == own.end())
        own.push_back(a);
    if (static_cast<std::ptrdiff_t>(own.size()) == given) return;
    written = std::move(own);
    throw plait::ArgumentError({.op = in.op(),
                                .got = "an argument as a result, or one handle as two",
                                .accepts = "handles that the function owns",
                                .hint = "plait_array_copy makes another handle on the same value"});
  }

 private:
  plait_callback call_;
  void* context_;
  void (*free_context_)(void*);
};

plait::Function plain(const CArguments& in, plait_function function, const char* name = "function") {
  in.given(function, name);
  return [call = function->call](const Arrays& arguments) { return call(arguments, {}); };
}

/// Hands out a function of positional arguments.
template <class F>
void give_function(const CArguments& in, plait_function* out, F function) {
  in.given(out, "place for the function");
  *out = new plait_function_s{
      [function = std::move(function), op = in.op()](const Arrays& args, const NamedArrays& named) -> Arrays {
        if (!named.empty())
          throw plait::ArgumentError({.op = op, .got = "an argument by name", .accepts = "arrays by position"});
        return function(args);
      }};
}

Arrays joined(Arrays first, const Arrays& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// The arrays of `list`, zeros for what is undefined there: C has no undefined array.
Arrays defined(const Arrays& list, const Arrays& like) {
  Arrays out;
  for (size_t i = 0; i < list.size(); ++i) out.push_back(list[i].defined() ? list[i] : plait::zeros_like(like[i]));
  return out;
}

using Derived = plait::Function (*)(plait::Function, std::vector<int>);

plait_status derived(const char* op, Derived derive, plait_function function, const int* argnums, size_t count,
                     plait_function* out) {
  return guarded([&] {
    const CArguments in(op);
    give_function(in, out, derive(plain(in, function), in.list<std::vector<int>>(argnums, count, "argnums")));
  });
}

}  // namespace

extern "C" {

plait_status plait_function_new(plait_callback call, void* context, void (*free_context)(void*), plait_function* out) {
  return guarded([&] {
    std::shared_ptr<Callback> callback;
    try {
      callback = std::make_shared<Callback>(call, context, free_context);
    } catch (...) {
      if (free_context) free_context(context);
      throw;
    }
    const CArguments in("plait_function_new");
    in.given(reinterpret_cast<const void*>(call), "callback");
    give_function(in, out, [callback](const Arrays& arguments) { return (*callback)(arguments); });
  });
}

void plait_function_free(plait_function function) { delete function; }

plait_status plait_function_call(plait_function function, const plait_array* arrays, size_t array_count,
                                 const char* const* names, const plait_array* named, size_t named_count,
                                 plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_function_call");
    in.given(function, "function");
    const Arrays args = in.arrays(arrays, array_count, "arrays");
    const NamedArrays by_name = in.named(names, named, named_count);
    const auto call = function->call;  // a callback may give its own handle back
    in.give_all(results, capacity, result_count, [&] { return call(args, by_name); });
  });
}

plait_status plait_function_import(const char* path, plait_function* out) {
  return guarded([&] {
    const CArguments in("plait_function_import");
    in.str(path, "path");
    in.given(out, "place for the function");
    plait::ImportedFunction imported = plait::import_function(path);
    std::string metadata = imported.metadata();
    *out = new plait_function_s{std::move(imported), std::move(metadata)};
  });
}

const char* plait_function_metadata(plait_function function) { return function ? function->metadata.c_str() : ""; }

plait_status plait_export_function(const char* path, plait_function function, const plait_array* arrays,
                                   size_t array_count, bool shapeless, const char* metadata) {
  return guarded([&] {
    const CArguments in("plait_export_function");
    plait::export_function(in.str(path, "path"), plain(in, function), in.arrays(arrays, array_count, "arrays"),
                           {.shapeless = shapeless, .metadata = metadata ? metadata : ""});
  });
}

plait_status plait_grad(plait_function function, const int* argnums, size_t argnum_count, plait_function* out) {
  return derived("plait_grad", plait::grad, function, argnums, argnum_count, out);
}

plait_status plait_value_and_grad(plait_function function, const int* argnums, size_t argnum_count,
                                  plait_function* out) {
  return guarded([&] {
    const CArguments in("plait_value_and_grad");
    auto both = plait::value_and_grad(plain(in, function), in.list<std::vector<int>>(argnums, argnum_count, "argnums"));
    give_function(in, out, [both = std::move(both)](const Arrays& args) {
      auto [values, gradients] = both(args);
      return joined(std::move(values), gradients);
    });
  });
}

plait_status plait_jacfwd(plait_function function, const int* argnums, size_t argnum_count, plait_function* out) {
  return derived("plait_jacfwd", plait::jacfwd, function, argnums, argnum_count, out);
}

plait_status plait_jacrev(plait_function function, const int* argnums, size_t argnum_count, plait_function* out) {
  return derived("plait_jacrev", plait::jacrev, function, argnums, argnum_count, out);
}

plait_status plait_hessian(plait_function function, const int* argnums, size_t argnum_count, plait_function* out) {
  return derived("plait_hessian", plait::hessian, function, argnums, argnum_count, out);
}

plait_status plait_vmap(plait_function function, const int* in_axes, size_t in_count, const int* out_axes,
                        size_t out_count, plait_function* out) {
  return guarded([&] {
    const CArguments in("plait_vmap");
    give_function(in, out,
                  plait::vmap(plain(in, function), in.list<std::vector<int>>(in_axes, in_count, "in_axes"),
                              in.list<std::vector<int>>(out_axes, out_count, "out_axes")));
  });
}

plait_status plait_compile(plait_function function, plait_function* out) {
  return guarded([&] {
    const CArguments in("plait_compile");
    give_function(in, out, plait::compile(plain(in, function)));
  });
}

plait_status plait_checkpoint(plait_function function, plait_function* out) {
  return guarded([&] {
    const CArguments in("plait_checkpoint");
    give_function(in, out, plait::checkpoint(plain(in, function)));
  });
}

plait_status plait_custom_function(plait_function function, plait_function vjp, plait_function jvp,
                                   plait_function* out) {
  return guarded([&] {
    const CArguments in("plait_custom_function");
    plait::CustomRules rules;
    if (vjp)
      rules.vjp = [rule = plain(in, vjp)](const Arrays& primals, const Arrays& cotangents, const Arrays& outputs) {
        return rule(joined(joined(primals, defined(cotangents, outputs)), outputs));
      };
    if (jvp)
      rules.jvp = [rule = plain(in, jvp)](const Arrays& primals, const Arrays& tangents) {
        return rule(joined(primals, defined(tangents, primals)));
      };
    give_function(in, out, plait::custom_function(plain(in, function), std::move(rules)));
  });
}

plait_status plait_vjp(plait_function function, const plait_array* primals, size_t primal_count,
                       const plait_array* cotangents, size_t cotangent_count, plait_array* results, size_t capacity,
                       size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_vjp");
    in.give_all(results, capacity, result_count, [&] {
      auto [values, gradients] = plait::vjp(plain(in, function), in.arrays(primals, primal_count, "primals"),
                                            in.arrays(cotangents, cotangent_count, "cotangents"));
      return joined(std::move(values), gradients);
    });
  });
}

plait_status plait_jvp(plait_function function, const plait_array* primals, size_t primal_count,
                       const plait_array* tangents, size_t tangent_count, plait_array* results, size_t capacity,
                       size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_jvp");
    in.give_all(results, capacity, result_count, [&] {
      auto [values, changes] = plait::jvp(plain(in, function), in.arrays(primals, primal_count, "primals"),
                                          in.arrays(tangents, tangent_count, "tangents"));
      return joined(std::move(values), changes);
    });
  });
}

plait_status plait_scan(plait_function function, const plait_array* init, size_t init_count, const plait_array* xs,
                        size_t x_count, int64_t length, bool reverse, int unroll, plait_array* results, size_t capacity,
                        size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_scan");
    const plait::Function body = plain(in, function);
    const auto step = [&](const Arrays& carry, const Arrays& x) {
      const Arrays out = body(joined(carry, x));
      if (out.size() < init_count)
        throw plait::ArgumentError({.op = in.op(),
                                    .got = std::to_string(out.size()) + " results of a step",
                                    .accepts = "at least the carry, " + std::to_string(init_count)});
      const auto kept = out.begin() + static_cast<std::ptrdiff_t>(init_count);
      return std::pair(Arrays(out.begin(), kept), Arrays(kept, out.end()));
    };
    in.give_all(results, capacity, result_count, [&] {
      auto [carry, kept] = plait::scan(step, in.arrays(init, init_count, "init"), in.arrays(xs, x_count, "xs"),
                                       length < 0 ? std::nullopt : std::optional<plait::Dim>(length), reverse, unroll);
      return joined(std::move(carry), kept);
    });
  });
}

plait_status plait_map(plait_function function, const plait_array* xs, size_t x_count, plait_array* results,
                       size_t capacity, size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_map");
    in.give_all(results, capacity, result_count,
                [&] { return plait::map(plain(in, function), in.arrays(xs, x_count, "xs")); });
  });
}

plait_status plait_while_loop(plait_function condition, plait_function body, const plait_array* init, size_t init_count,
                              plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_while_loop");
    in.give_all(results, capacity, result_count, [&] {
      return plait::while_loop(plain(in, condition, "condition"), plain(in, body, "body"),
                               in.arrays(init, init_count, "init"));
    });
  });
}

plait_status plait_cond(plait_array predicate, plait_function on_true, plait_function on_false,
                        const plait_array* operands, size_t operand_count, plait_array* results, size_t capacity,
                        size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_cond");
    in.give_all(results, capacity, result_count, [&] {
      return plait::cond(in.array(predicate, "predicate"), plain(in, on_true, "on_true"),
                         plain(in, on_false, "on_false"), in.arrays(operands, operand_count, "operands"));
    });
  });
}

}  // extern "C"
