// Files that are damaged or made to harm: each is refused, or runs; none harms.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "transforms/export_fuzz.h"

namespace plait {
namespace {

[[maybe_unused]] const auto engine_linked = engine::plan_cache_stats();

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const std::vector<std::string>& seeds() {
  static const std::vector<std::string> files = [] {
    std::string folder = (std::filesystem::temp_directory_path() / "plait-hostile-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) std::abort();
    auto out = fuzz::seed_files(folder, bytes_of);
    std::filesystem::remove_all(folder);
    return out;
  }();
  return files;
}

/// Numbers that follow from each other: the same in every run.
struct Dice {
  uint64_t state;
  uint64_t roll(uint64_t sides) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % sides;
  }
};

class HostileFiles : public testing::Test {
 protected:
  void SetUp() override { before_ = set_memory_limit(int64_t{1} << 30); }
  void TearDown() override { set_memory_limit(before_); }
  int64_t before_ = 0;
};

TEST_F(HostileFiles, SeedsAreRead) {
  for (const std::string& seed : seeds()) {
    EXPECT_NO_THROW((void)import_function_from(seed));
    std::string repaired = seed;
    fuzz::repair_sums(repaired);
    EXPECT_EQ(repaired, seed);
  }
}

TEST_F(HostileFiles, SeedsHaveEveryOpWithAShapeRuleOfItsOwn) {
  std::string all;
  for (const std::string& seed : seeds()) all += seed;
  for (const auto& op : registry().ops()) {
    if (op->kind == OpKind::elementwise || op->kind == OpKind::placeholder || !op->no_export.empty()) continue;
    io::ByteWriter name;
    name.string(op->name);
    EXPECT_NE(all.find(name.bytes()), std::string::npos) << op->name << " is in no seed of transforms/export_fuzz.h";
  }
}

TEST_F(HostileFiles, ShorterOnesAreRefused) {
  for (const std::string& seed : seeds())
    for (size_t n = 0; n < seed.size(); n += n < 4000 ? 1 : 97) {
      std::string cut = seed.substr(0, n);
      EXPECT_THROW((void)import_function_from(cut), FileError) << n;
      fuzz::repair_sums(cut);
      EXPECT_FALSE(fuzz::try_file(cut)) << n;
    }
}

TEST_F(HostileFiles, LongerOnesAreRefused) {
  for (std::string file : seeds()) {
    file += '\0';
    EXPECT_THROW((void)import_function_from(file), FileError);
    fuzz::repair_sums(file);
    EXPECT_THROW((void)import_function_from(file), FileError);
  }
}

TEST_F(HostileFiles, AnyFlippedBitIsNoticed) {
  for (const std::string& seed : seeds())
    for (size_t i = 0; i < seed.size(); i += 3) {
      std::string file = seed;
      file[i] = static_cast<char>(file[i] ^ (1 << (i % 8)));
      try {
        (void)import_function_from(file);
        // Between the end of one part and the next one's alignment lies what nobody reads.
        EXPECT_EQ(seed[i], '\0') << i;
      } catch (const FileError&) {}
    }
}

// With right check sums the changes reach the readers of the parts and the ops' own checks.
TEST_F(HostileFiles, ChangedNumbersRaiseOrRun) {
  constexpr uint32_t kNumbers[] = {0,  1,   2,   3,          4,          7,          8,         63,
                                   64, 127, 255, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  Dice dice{7};
  int read = 0;
  for (const std::string& seed : seeds())
    for (int round = 0; round < 400; ++round) {
      std::string file = seed;
      for (uint64_t changes = 1 + dice.roll(2); changes > 0; --changes) {
        const size_t at = export_format::kHeaderBytes + dice.roll(file.size() - export_format::kHeaderBytes - 8);
        const size_t width = size_t{1} << dice.roll(4);
        const uint64_t low = kNumbers[dice.roll(std::size(kNumbers))];
        const uint64_t v = low | (low > 0x7fffffff ? ~uint64_t{0xffffffff} : dice.roll(8) == 0 ? uint64_t{1} << 40 : 0);
        std::memcpy(file.data() + at, &v, width);
      }
      fuzz::repair_sums(file);
      read += fuzz::try_file(file);
    }
  EXPECT_GT(read, 100);  // many changes are harmless, and their programs ran
}

TEST_F(HostileFiles, PartsPutElsewhereRaiseOrRun) {
  Dice dice{11};
  for (const std::string& seed : seeds())
    for (int round = 0; round < 100; ++round) {
      const std::string& other = seeds()[dice.roll(seeds().size())];
      std::string file = seed;
      const size_t from = dice.roll(other.size()), length = dice.roll(std::min<uint64_t>(64, other.size() - from));
      const size_t to = export_format::kHeaderBytes + dice.roll(file.size() - export_format::kHeaderBytes);
      if (round % 2 == 0) {
        file.replace(to, std::min(length, file.size() - to), other, from, length);
      } else {
        file.insert(to, other, from, length);
      }
      fuzz::repair_sums(file);
      (void)fuzz::try_file(file);
    }
}

// ---- particular files, made by hand -----------------------------------------------------------------------------------

/// A file with one trace of one input, float32 (4,), one step and its result.
std::string one_step(const std::string& op, uint32_t version, const io::ByteWriter& fields, const io::ByteWriter& attrs,
                     Shape output) {
  io::ByteWriter trace;
  const auto aval = [&](const Shape& shape) {
    trace.u8(static_cast<uint8_t>(DType::float32));
    trace.u8(static_cast<uint8_t>(shape.size()));
    for (const Dim& d : shape) trace.i64(d.value());
  };
  trace.u8(0);
  trace.u32(1);
  trace.u32(0);
  aval({4});
  trace.u32(0);
  trace.u32(0);
  trace.u32(1);  // one step
  trace.u32(0);
  trace.u32(1);  // of one operand: the input
  trace.u8(0);
  trace.u32(0);
  trace.u32(0);
  trace.append(attrs);
  trace.u32(1);
  trace.u8(1);
  trace.u32(0);
  trace.u32(0);
  aval(output);

  io::ByteWriter tables;
  tables.string("0");
  tables.string("");
  tables.u32(1);
  tables.string(op);
  tables.u32(version);
  tables.append(fields);
  tables.u32(0);
  tables.u32(1);
  tables.u64(trace.size());
  tables.append(trace);

  io::ByteWriter file;
  for (const char c : export_format::kMagic) file.u8(static_cast<uint8_t>(c));
  file.u32(export_format::kVersion);
  file.u32(0);
  file.u64(0);
  file.u64(tables.size());
  file.zeros(export_format::kHeaderBytes - file.size());
  file.append(tables);
  std::string out = file.bytes();
  fuzz::repair_sums(out);
  return out;
}

io::ByteWriter no_fields() {
  io::ByteWriter w;
  w.u32(0);
  return w;
}

std::string why(const std::string& file) {
  try {
    (void)import_function_from(file);
    return "read";
  } catch (const FileError& e) {
    return e.info().got;
  }
}

TEST_F(HostileFiles, WhatIsWrongIsNamed) {
  EXPECT_EQ(why(one_step("exp", 1, no_fields(), {}, {4})), "read");
  EXPECT_NE(why(one_step("no_such_op", 1, no_fields(), {}, {4})).find("the op no_such_op"), std::string::npos);
  EXPECT_NE(why(one_step("placeholder", 1, no_fields(), {}, {4})).find("placeholder"), std::string::npos);
  EXPECT_NE(why(one_step("exp", 2, no_fields(), {}, {4})).find("version 2 of the op exp"), std::string::npos);
  EXPECT_NE(why(one_step("exp", 1, no_fields(), {}, {5})).find("result 0 of shape (4,)"), std::string::npos);
  EXPECT_NE(why(one_step("matmul", 1, no_fields(), {}, {4})).find("matmul: operands (float32(4,))"), std::string::npos);
  std::string newer = one_step("exp", 1, no_fields(), {}, {4});
  newer[8] = 2;
  EXPECT_NE(why(newer).find("format version 2"), std::string::npos);
}

TEST_F(HostileFiles, ViewsStayInside) {
  const auto slice = [](int64_t start, int64_t size, int64_t step) {
    io::ByteWriter fields, attrs;
    fields.u32(3);
    for (const auto& [name, value] : {std::pair{"start", start}, {"size", size}, {"step", step}}) {
      fields.string(name);
      fields.u8(7);
      attrs.u32(1);
      attrs.i64(value);
      attrs.u32(0);
    }
    return why(one_step("slice_static", 1, fields, attrs, {std::max<int64_t>(size, 0)}));
  };
  EXPECT_EQ(slice(1, 2, 1), "read");
  EXPECT_EQ(slice(3, 4, -1), "read");
  for (const auto& [start, size, step] : std::initializer_list<std::array<int64_t, 3>>{
           {1, 4, 1}, {-1, 2, 1}, {0, 2, 4}, {2, 4, -1}, {0, -1, 1}, {0, 2, INT64_MAX}, {INT64_MIN, 1, 1}, {0, 1, 0}})
    EXPECT_NE(slice(start, size, step).find("slice_static"), std::string::npos) << start << " " << size << " " << step;
}

}  // namespace
}  // namespace plait
