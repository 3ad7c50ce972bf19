#include "plait/error.h"

#include <utility>

namespace plait {
namespace {

std::string layout(const ErrorInfo& info) {
  std::string text = info.op;
  if (!info.op.empty() && !info.got.empty()) text += ": ";
  text += info.got;
  const auto line = [&](const char* label, const std::string& value) {
    if (!value.empty()) text += "\n  " + std::string(label) + value;
  };
  line("accepts: ", info.accepts);
  line("hint:    ", info.hint);
  line("where:   ", info.where);
  return text;
}

}  // namespace

// What std::runtime_error keeps must not be empty: the empty text is a static of one copy of the C++ library, and in a program that has
// another one (-static-libstdc++) the destructor would free it.
Error::Error(ErrorInfo info) : std::runtime_error("plait"), info_(std::move(info)), text_(layout(info_)) {}

void Error::add_where(std::string where) {
  if (!info_.where.empty() || where.empty()) return;
  info_.where = std::move(where);
  text_ = layout(info_);
}

InternalError::InternalError(std::string what)
    : Error({.op = "internal error",
             .got = std::move(what),
             .hint = "this is a defect of plait; please report it with the program that showed it"}) {}

}  // namespace plait
