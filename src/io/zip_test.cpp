#include "io/zip.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "io/deflate.h"
#include "io/fuzz.h"

namespace plait::io {
namespace {

[[maybe_unused]] const auto engine_linked = engine::plan_cache_stats();

const Reading kReading{"load", "test"};

std::string inflated(const std::string& packed, uint64_t bytes) {
  const fuzz::TextSource source(packed);
  Inflater inflater(kReading, source, 0, packed.size());
  std::string out(bytes, '\0');
  for (uint64_t at = 0; at < bytes; at += 1000) inflater.next(out.data() + at, std::min<uint64_t>(1000, bytes - at));
  inflater.finish();
  return out;
}

std::string deflated(const std::string& text) {
  fuzz::TextSink to;
  Deflater deflater(to);
  deflater.write(text.data(), text.size());
  deflater.finish();
  return to.text;
}

TEST(Deflate, GivesBackWhatItWasGiven) {
  if (!fuzz::deflates()) GTEST_SKIP() << "NO ZLIB: compressed archives are not tested";
  std::string text;
  for (int i = 0; i < 300000; ++i) text += std::to_string(i % 1000 * 919 % 1000);
  for (const std::string& all : {std::string(), std::string("a"), text, std::string(1 << 20, '\0')}) {
    const std::string packed = deflated(all);
    EXPECT_TRUE(inflated(packed, all.size()) == all) << all.size();
    EXPECT_LE(packed.size(), most_deflated(all.size()));
    EXPECT_LE(all.size(), most_inflated(packed.size()));
    EXPECT_THROW(inflated(packed, all.size() + 1), FileError);
    if (!all.empty()) {
      EXPECT_THROW(inflated(packed, all.size() - 1), FileError);
    }
    EXPECT_THROW(inflated(packed + "x", all.size()), FileError);
    EXPECT_THROW(inflated(packed.substr(0, packed.size() - 1), all.size()), FileError);
  }
}

TEST(Zip, FindsItsMembers) {
  fuzz::TextSink to;
  ZipWriter zip(to);
  const std::string content(1000, 'x');
  zip.add("a", "head", content.data(), content.size(), false);
  zip.add("\xC3\xA9/b", "", content.data(), content.size(), fuzz::deflates());
  zip.add("", "", nullptr, 0, fuzz::deflates());
  zip.finish();
  const auto members = zip_members(kReading, fuzz::TextSource(to.text));
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].size, 1004u);
  EXPECT_EQ(to.text.substr(members[0].at, members[0].packed), "head" + content);
  EXPECT_EQ(members[1].name, "\xC3\xA9/b");
  if (!fuzz::deflates()) GTEST_SKIP() << "NO ZLIB: compressed members are not tested";
  EXPECT_LT(members[1].packed, 100u);
  EXPECT_EQ(inflated(to.text.substr(members[1].at, members[1].packed), 1000), content);
}

TEST(Zip, HasMoreMembersThan16BitsCount) {
  fuzz::TextSink to;
  ZipWriter zip(to);
  for (int i = 0; i < 70000; ++i) zip.add(std::to_string(i), "", "x", 1, false);
  zip.finish();
  EXPECT_EQ(zip_members(kReading, fuzz::TextSource(to.text)).size(), 70000u);
}

/// Bytes of which most are zeros that nobody keeps: an archive of more than 4 GiB.
class SparseFile final : public ByteSink, public ByteSource {
 public:
  void write(const void* data, uint64_t bytes) override {
    if (bytes < 4096) parts_[size_] = std::string(static_cast<const char*>(data), bytes);
    size_ += bytes;
  }
  std::string name() const override { return "sparse"; }
  uint64_t size() const override { return size_; }
  void read(uint64_t at, void* to, uint64_t bytes) const override {
    std::memset(to, 0, bytes);
    for (const auto& [begin, part] : parts_)
      for (uint64_t i = 0; i < part.size(); ++i)
        if (begin + i >= at && begin + i < at + bytes) static_cast<char*>(to)[begin + i - at] = part[i];
  }

 private:
  std::map<uint64_t, std::string> parts_;
  uint64_t size_ = 0;
};

TEST(Zip, HoldsMembersOf5GiBSlow) {
  SparseFile file;
  ZipWriter zip(file);
  const uint64_t bytes = uint64_t{5} << 30;
  const std::vector<char> zeros(bytes);
  zip.add("large", "head", zeros.data(), bytes, false);
  zip.add("behind", "", zeros.data(), 5000, fuzz::deflates());
  zip.finish();
  const auto members = zip_members(kReading, file);
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0].size, bytes + 4);
  EXPECT_EQ(members[0].packed, bytes + 4);
  EXPECT_GT(members[1].at, bytes);
  EXPECT_EQ(members[1].size, 5000u);
}

}  // namespace
}  // namespace plait::io
