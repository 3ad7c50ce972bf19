#include "io/json.h"

#include <vector>

namespace plait::io {
namespace {

constexpr size_t kDeepest = 64;

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  const int follow = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr uint32_t leads[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(leads[follow] | c >> (6 * follow));
  for (int k = follow - 1; k >= 0; --k) out += static_cast<char>(0x80 | (c >> (6 * k) & 0x3F));
}

}  // namespace

void JsonReader::reject(std::string_view got, std::string accepts) const {
  reading_.reject("byte " + std::to_string(at_) + " of the header: " + std::string(got), std::move(accepts));
}

// The next character that is no space, or zero at the end.
char JsonReader::peek() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::take(char c) {
  if (peek() != c || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

void JsonReader::expect(char c) {
  if (!take(c)) reject("no '" + std::string(1, c) + "'", "JSON");
}

void JsonReader::object(FunctionRef<void(const std::string& name)> member) {
  expect('{');
  if (take('}')) return;
  do {
    const std::string name = string();
    expect(':');
    member(name);
  } while (take(','));
  expect('}');
}

void JsonReader::array(FunctionRef<void()> element) {
  expect('[');
  if (take(']')) return;
  do element();
  while (take(','));
  expect(']');
}

std::string JsonReader::string() {
  expect('"');
  std::string out;
  for (;;) {
    if (at_ >= text_.size()) reject("a text without an end", "JSON");
    const char c = text_[at_++];
    if (c == '"') break;
    if (static_cast<unsigned char>(c) < 0x20) reject("a control character in a text", "JSON");
    if (c == '\\')
      escape(out);
    else
      out += c;
  }
  if (!is_utf8(out)) reject("a text that is no UTF-8", "JSON in UTF-8");
  return out;
}

void JsonReader::escape(std::string& out) {
  const char c = at_ < text_.size() ? text_[at_++] : '\0';
  constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
  if (const size_t k = from.find(c); c != '\0' && k != std::string_view::npos) {
    out += to[k];
    return;
  }
  if (c != 'u') reject("an unknown escape", "JSON");
  uint32_t code = hex();
  if (code >= 0xD800 && code < 0xDC00) {  // the first half of a character beyond 16 bits
    const bool second = text_.substr(at_).starts_with("\\u");
    if (second) at_ += 2;
    const uint32_t low = second ? hex() : 0;
    if (low < 0xDC00 || low > 0xDFFF) reject("half a character", "JSON");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xDC00 && code < 0xE000) {
    reject("half a character", "JSON");
  }
  append_utf8(out, code);
}

uint32_t JsonReader::hex() {
  uint32_t v = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) reject("no hexadecimal digit", "JSON");
    v = v << 4 | static_cast<uint32_t>(digit);
  }
  return v;
}

uint64_t JsonReader::number() {
  if (peek() < '0' || peek() > '9') reject("no whole number", "whole numbers of 0 and more");
  const size_t begin = at_;
  uint64_t v = 0;
  for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
    if (__builtin_mul_overflow(v, uint64_t{10}, &v) ||
        __builtin_add_overflow(v, static_cast<uint64_t>(text_[at_] - '0'), &v))
      reject("a number beyond 64 bits", "smaller ones");
  const char next = at_ < text_.size() ? text_[at_] : '\0';
  if ((text_[begin] == '0' && at_ > begin + 1) || next == '.' || next == 'e' || next == 'E')
    reject("no whole number", "whole numbers of 0 and more");
  return v;
}

bool JsonReader::null() {
  if (peek() != 'n') return false;
  literal();
  return true;
}

// true, false or null
void JsonReader::literal() {
  for (const std::string_view word : {"true", "false", "null"})
    if (text_.substr(at_).starts_with(word)) {
      at_ += word.size();
      return;
    }
  reject("no value", "JSON");
}

// A value of any kind: the brackets that are open, and whether a value or what may follow one comes next.
void JsonReader::skip() {
  std::vector<char> open;
  do {
    const char c = peek();
    if (c == '{' || c == '[') {
      if (open.size() == kDeepest)
        reject("too many brackets", "at most " + std::to_string(kDeepest) + " within each other");
      ++at_;
      const char close = c == '{' ? '}' : ']';
      if (!take(close)) {
        open.push_back(close);
        if (close == '}') (void)string(), expect(':');
        continue;
      }
    } else if (c == '"') {
      (void)string();
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      while (at_ < text_.size() && std::string_view("+-.eE0123456789").find(text_[at_]) != std::string_view::npos)
        ++at_;
    } else {
      literal();
    }
    while (!open.empty() && !take(',')) {
      expect(open.back());
      open.pop_back();
    }
    if (!open.empty() && open.back() == '}') (void)string(), expect(':');
  } while (!open.empty());
}

void JsonReader::finish() {
  if (peek() != '\0' || at_ < text_.size()) reject("more behind the end", "one object");
}

std::string json_string(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr std::string_view from = "\"\\\b\f\n\r\t", to = "\"\\bfnrt";
    if (const size_t k = from.find(c); k != std::string_view::npos) {
      out += {'\\', to[k]};
    } else if (byte < 0x20) {
      out += "\\u00";
      out += {digits[byte >> 4], digits[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace plait::io
