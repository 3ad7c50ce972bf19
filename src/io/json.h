#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "io/reading.h"

/// As much of JSON (RFC 8259) as headers need, read strictly and in one pass: nothing is built that the caller has not asked
/// for, and what nobody asks for is passed over without recursion.
namespace plait::io {

class JsonReader {
 public:
  JsonReader(const Reading& reading, std::string_view text) : reading_(reading), text_(text) {}

  /// Calls `member` for each name, which has to read its value. Names repeated within one object are the caller's to find.
  void object(FunctionRef<void(const std::string& name)> member);
  void array(FunctionRef<void()> element);
  std::string string();
  /// A whole number of at most 64 bits, written as such.
  uint64_t number();
  /// Whether the next value is null, which is read then.
  bool null();
  void skip();
  /// Nothing but spaces may be left.
  void finish();
  [[noreturn]] void reject(std::string_view got, std::string accepts) const;

 private:
  char peek();
  bool take(char c);
  void expect(char c);
  void escape(std::string& out);
  uint32_t hex();
  void literal();

  const Reading& reading_;
  std::string_view text_;
  size_t at_ = 0;
};

/// A text as JSON has it, in quotes. Bytes that are no UTF-8 are for the caller to find.
std::string json_string(std::string_view text);

}  // namespace plait::io
