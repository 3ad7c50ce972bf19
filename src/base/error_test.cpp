#include "plait/error.h"

#include <gtest/gtest.h>

namespace plait {
namespace {

TEST(Error, LaysItsFieldsOut) {
  ShapeError error({.op = "add", .got = "(2,) and (3,)", .accepts = "shapes that broadcast", .hint = "reshape"});
  EXPECT_STREQ(error.what(), "add: (2,) and (3,)\n  accepts: shapes that broadcast\n  hint:    reshape");
  error.add_where("a.py:1");
  error.add_where("b.py:2");
  EXPECT_EQ(error.info().where, "a.py:1");
  EXPECT_STREQ(ShapeError({.got = "nothing"}).what(), "nothing");
}

// libplait and who catches may each have a C++ library of their own (-static-libstdc++); the empty text is a static of one of them,
// which the other would free.
TEST(Error, ItsBaseHoldsATextOfItsOwn) {
  for (const ErrorInfo& info : {ErrorInfo(), ErrorInfo{.got = "a shape"}, ErrorInfo{.op = "add"}})
    EXPECT_STRNE(ShapeError(info).std::runtime_error::what(), "");
}

}  // namespace
}  // namespace plait
