#include "io/json.h"

#include <gtest/gtest.h>

namespace plait::io {
namespace {

const Reading kReading{"load", "test"};

std::string read_string(std::string_view text) {
  JsonReader json(kReading, text);
  std::string out = json.string();
  json.finish();
  return out;
}

TEST(Json, ReadsTexts) {
  EXPECT_EQ(read_string(R"("a\"\\\/\b\f\n\r\t")"), "a\"\\/\b\f\n\r\t");
  EXPECT_EQ(read_string(R"( "\u0041\u00e9\u20ac\ud83d\ude00" )"), "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(read_string(R"("\u0000")"), std::string(1, '\0'));
  for (const char* bad : {"", "a", "\"", "\"\\", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"",
                          "\"\n\"", "\"\xff\"", "\"a\"b"})
    EXPECT_THROW(read_string(bad), FileError) << bad;
}

TEST(Json, ReadsWholeNumbersAlone) {
  const auto number = [](std::string_view text) {
    JsonReader json(kReading, text);
    const uint64_t out = json.number();
    json.finish();
    return out;
  };
  EXPECT_EQ(number("0"), 0u);
  EXPECT_EQ(number(" 18446744073709551615 "), UINT64_MAX);
  for (const char* bad : {"", "-1", "01", "1.0", "1e3", "18446744073709551616", "+1", "x", "\"1\""})
    EXPECT_THROW(number(bad), FileError) << bad;
}

TEST(Json, PassesOverValuesOfAnyKind) {
  const auto skip = [](std::string_view text) {
    JsonReader json(kReading, text);
    json.skip();
    json.finish();
  };
  for (const char* good : {"1", "-2.5e+3", "\"x\"", "true", "false", "null", "[]", "{}", "[1,[2,{\"a\":[]}],\"]\"]",
                           "{\"a\":{\"b\":[{}]},\"c\":null}", " [ { \"a\" : 1 } , 2 ] "})
    EXPECT_NO_THROW(skip(good)) << good;
  for (const char* bad : {"", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "[1}", "{]", "tru", "[1 2]"})
    EXPECT_THROW(skip(bad), FileError) << bad;
  const std::string open(64, '['), close(64, ']');
  EXPECT_NO_THROW(skip(open + close));
  EXPECT_THROW(skip("[" + open + close + "]"), FileError);
  EXPECT_THROW(skip(std::string(1000000, '[')), FileError);
}

TEST(Json, WritesWhatItReads) {
  const std::string text("\0\x1f\" \\ / \n\r\t\b\f \xC3\xA9", 20);
  EXPECT_EQ(read_string(json_string(text)), text);
}

TEST(Utf8, IsStrict) {
  for (const char* good :
       {"", "abc", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xE2\x82", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                          "\xF4\x90\x80\x80", "\xFF", "a\xC3(", "\xE2\x28\xA1"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
}

}  // namespace
}  // namespace plait::io
