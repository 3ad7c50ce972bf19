// Statics of functions, whose first use initialises them, and forks: a child has nobody who would finish one that another thread
// had begun, and would wait for it for good. This library's guards are therefore its own, and a fork waits for them.
#pragma once

namespace plait::statics {

/// Returns when no other thread is initialising a static; it may begin another at once.
void wait();
/// Keeps statics from being begun until `let_go` or, in a child, `start_anew`. False, holding nothing, if one has begun.
bool hold();
void let_go();
void start_anew();

}  // namespace plait::statics
