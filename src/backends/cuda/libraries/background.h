// Work that nobody waits for: compilations, and the opening of libraries ahead of their first use.
#pragma once

#include <atomic>
#include <functional>

namespace plait::cuda {

/// Runs `job`, which throws nothing, on one of a few threads, those before the others whose `asked` is larger. When the process ends,
/// what runs is waited for (it looks at `process_ends`), what has not begun is dropped. False where too much waits already: then it is
/// not run.
bool run_in_background(std::function<void()> job, const std::atomic<int>& asked);

/// Whether what is done in the background is of no use any more.
bool process_ends();

/// Lets the end of the process's main thread stop what runs in the background, where this is called on it. `run_in_background` calls it
/// too.
void end_background_with_process();
/// To be called behind the opening of a library, from any thread: where another thread than the main one ends the process, the background
/// stops before what the library tears down then.
void end_background_before_others();

}  // namespace plait::cuda
