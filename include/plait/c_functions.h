/* Functions of arrays as values: transforms of them, loops, and files of exported ones. Included by plait/c.h.
 *
 * A plait_function belongs to whoever was handed it, who gives it back with plait_function_free; functions made from it keep
 * what they need. Threads: any may call one, if its callback can be called so. Results: at most `capacity` are written, and
 * their number; with more than that a function fails and hands out none. */
#ifndef PLAIT_C_FUNCTIONS_H
#define PLAIT_C_FUNCTIONS_H

#include "plait/c.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct plait_function_s* plait_function;

/* A function that C has: arguments are borrowed; it writes arrays that it owns, at most `capacity`, and their number. An
 * argument that it hands on needs a handle of its own, from plait_array_copy. Any other status than PLAIT_OK makes the call
 * fail with it, and with the thread's message where a call of plait failed meanwhile; nothing is written then. It may call
 * anything, itself too, and give its own handle back. */
typedef plait_status (*plait_callback)(void* context, const plait_array* arguments, size_t count, plait_array* results,
                                       size_t capacity, size_t* result_count);

/* `free_context` is called once, when nothing needs the function any more, on any thread; it may be null. It is called
 * when making the function fails, too. */
PLAIT_API plait_status plait_function_new(plait_callback call, void* context, void (*free_context)(void*),
                                          plait_function* out);
/* Null is allowed. */
PLAIT_API void plait_function_free(plait_function function);
/* Calls it: arrays by position, then `named_count` arrays by name, which only imported functions take. */
PLAIT_API plait_status plait_function_call(plait_function function, const plait_array* arrays, size_t array_count,
                                           const char* const* names, const plait_array* named, size_t named_count,
                                           plait_array* results, size_t capacity, size_t* result_count);

/* A function from a file that export_function wrote, in whatever language. Reads the file in full. One that is damaged, or
 * made to harm, is a PLAIT_USER_ERROR. */
PLAIT_API plait_status plait_function_import(const char* path, plait_function* out);
/* The text exported with it; "" for others; valid as long as the function. */
PLAIT_API const char* plait_function_metadata(plait_function function);
/* Runs it once on arguments like these and writes what it computes to a file. `shapeless`: extents may be others in each
 * call. `metadata` may be null. */
PLAIT_API plait_status plait_export_function(const char* path, plait_function function, const plait_array* arrays,
                                             size_t array_count, bool shapeless, const char* metadata);

/* The gradients of the first result, a scalar, by the arguments at `argnums`. */
PLAIT_API plait_status plait_grad(plait_function function, const int* argnums, size_t argnum_count,
                                  plait_function* out);
/* The results, and behind them the gradients of the first one. */
PLAIT_API plait_status plait_value_and_grad(plait_function function, const int* argnums, size_t argnum_count,
                                            plait_function* out);
/* Derivatives of each result by each argument at `argnums`, results outermost; second ones: then first and second argument. */
PLAIT_API plait_status plait_jacfwd(plait_function function, const int* argnums, size_t argnum_count,
                                    plait_function* out);
PLAIT_API plait_status plait_jacrev(plait_function function, const int* argnums, size_t argnum_count,
                                    plait_function* out);
PLAIT_API plait_status plait_hessian(plait_function function, const int* argnums, size_t argnum_count,
                                     plait_function* out);
/* Over a batch: the batch axis of each argument (-1: none) and of each result; one entry serves all. */
PLAIT_API plait_status plait_vmap(plait_function function, const int* in_axes, size_t in_count, const int* out_axes,
                                  size_t out_count, plait_function* out);
/* Traced once for each structure of its arguments. */
PLAIT_API plait_status plait_compile(plait_function function, plait_function* out);
/* Keeps only its arguments for the gradient, and computes the rest again. */
PLAIT_API plait_status plait_checkpoint(plait_function function, plait_function* out);
/* With rules of its own. Each may be null: then derivatives and batches go through the operations. vjp takes the primals, then
 * a cotangent for each result, then the results, and gives a gradient for each primal; jvp takes the primals, then their tangents
 * (an array of zeros where there is none), and gives a tangent for each result. */
PLAIT_API plait_status plait_custom_function(plait_function function, plait_function vjp, plait_function jvp,
                                             plait_function* out);

/* The results, and behind them the product of cotangents (one for each result) with the Jacobian: one for each primal. */
PLAIT_API plait_status plait_vjp(plait_function function, const plait_array* primals, size_t primal_count,
                                 const plait_array* cotangents, size_t cotangent_count, plait_array* results,
                                 size_t capacity, size_t* result_count);
/* The results, and behind them the product of the Jacobian with tangents (one for each primal): one for each result. */
PLAIT_API plait_status plait_jvp(plait_function function, const plait_array* primals, size_t primal_count,
                                 const plait_array* tangents, size_t tangent_count, plait_array* results,
                                 size_t capacity, size_t* result_count);

/* Runs `function` over the first axis of `xs`: it takes the carry and a slice of each x, and gives the next carry and what is
 * kept of the step. Results: the last carry, then what was kept, stacked. `length` counts where there are no xs, else -1. */
PLAIT_API plait_status plait_scan(plait_function function, const plait_array* init, size_t init_count,
                                  const plait_array* xs, size_t x_count, int64_t length, bool reverse, int unroll,
                                  plait_array* results, size_t capacity, size_t* result_count);
/* The function for each slice along the first axis of xs, results stacked. */
PLAIT_API plait_status plait_map(plait_function function, const plait_array* xs, size_t x_count, plait_array* results,
                                 size_t capacity, size_t* result_count);
/* `body` on its own results, from `init`, as long as `condition` gives true. */
PLAIT_API plait_status plait_while_loop(plait_function condition, plait_function body, const plait_array* init,
                                        size_t init_count, plait_array* results, size_t capacity, size_t* result_count);
/* The results of one of both functions for the operands. */
PLAIT_API plait_status plait_cond(plait_array predicate, plait_function on_true, plait_function on_false,
                                  const plait_array* operands, size_t operand_count, plait_array* results,
                                  size_t capacity, size_t* result_count);

#ifdef __cplusplus
}
#endif

#endif
