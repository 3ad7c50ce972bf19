#include "io/npy_header.h"

namespace plait::io {
namespace {

class Parser {
 public:
  Parser(const Reading& reading, std::string_view text) : reading_(reading), text_(text) {}

  NpyHeader parse() {
    expect('{');
    bool seen[3] = {};
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      const int which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : 3;
      if (which == 3 || seen[which]) reject();
      seen[which] = true;
      if (which == 0) descr();
      if (which == 1) out_.fortran_order = boolean();
      if (which == 2) shape();
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip();
    if (at_ != text_.size() || !(seen[0] && seen[1] && seen[2])) reject();
    return std::move(out_);
  }

 private:
  [[noreturn]] void reject() const {
    reading_.reject(
        "the header '" + std::string(text_.substr(0, 120)) + "', not understood from character " + std::to_string(at_),
        "a dict of 'descr', 'fortran_order' and 'shape', each once");
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) reject();
  }
  bool word(std::string_view w) {
    skip();
    if (!text_.substr(at_).starts_with(w)) return false;
    at_ += w.size();
    return true;
  }
  bool boolean() {
    if (word("True")) return true;
    if (!word("False")) reject();
    return false;
  }
  std::string string() {
    skip();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') reject();
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) reject();
    std::string out(text_.substr(at_ + 1, end - at_ - 1));
    if (out.find('\\') != std::string::npos) reject();
    at_ = end + 1;
    return out;
  }
  // Fields are of no use here: they are passed over up to their last bracket, for the message.
  void descr() {
    skip();
    if (at_ >= text_.size() || text_[at_] != '[') {
      out_.descr = string();
      return;
    }
    const size_t begin = at_;
    int depth = 0;
    do {
      if (at_ >= text_.size()) reject();
      if (text_[at_] == '[') ++depth;
      if (text_[at_] == ']') --depth;
      ++at_;
    } while (depth > 0);
    out_.descr = text_.substr(begin, at_ - begin);
    out_.structured = true;
  }
  uint64_t extent() {
    skip();
    uint64_t v = 0;
    const size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      if (__builtin_mul_overflow(v, uint64_t{10}, &v) ||
          __builtin_add_overflow(v, static_cast<uint64_t>(text_[at_] - '0'), &v))
        reject();
    if (at_ == begin) reject();
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // a long of Python 2
    return v;
  }
  void shape() {
    expect('(');
    while (!take(')')) {
      out_.extents.push_back(extent());
      if (take(',')) continue;
      expect(')');
      if (out_.extents.size() == 1) reject();  // (3) is no tuple
      break;
    }
  }

  const Reading& reading_;
  std::string_view text_;
  size_t at_ = 0;
  NpyHeader out_;
};

}  // namespace

NpyHeader parse_npy_header(const Reading& reading, std::string_view text) { return Parser(reading, text).parse(); }

}  // namespace plait::io
