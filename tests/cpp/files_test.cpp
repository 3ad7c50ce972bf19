// Files as a user of the library has them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "plait/io.h"
#include "plait/ops.h"

namespace {

using plait::Array;
namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() : folder_(fs::path(testing::TempDir()) / ("plait-files-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~Files() override { fs::remove_all(folder_); }
  std::string at(const char* name) const { return (folder_ / name).string(); }

  Array x_ = Array::from<float>(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});

 private:
  fs::path folder_;
};

TEST_F(Files, ComeBack) {
  plait::save(at("x"), transpose(x_));
  EXPECT_EQ(plait::load(at("x.npy")).array->to_vector<float>(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  plait::savez(at("x"), {{"x", x_}, {"y", x_ * 2.0}});
  EXPECT_EQ(plait::load(at("x.npz")).arrays.at("y").to_vector<float>(), (std::vector<float>{2, 4, 6, 8, 10, 12}));
  plait::save_safetensors(at("x"), {{"x", x_}}, {{"key", "value"}});
  const plait::Loaded tensors = plait::load(at("x.safetensors"));
  EXPECT_FALSE(tensors.arrays.at("x").is_evaluated());
  EXPECT_EQ(tensors.arrays.at("x").to_vector<float>(), x_.to_vector<float>());
  EXPECT_EQ(std::get<std::string>(tensors.metadata.at("key")), "value");
  plait::save_gguf(at("x"), {{"x", x_}}, {{"list", std::vector<std::string>{"a"}}, {"n", Array(int32_t{3})}});
  const plait::Loaded gguf = plait::load(at("x.gguf"));
  EXPECT_EQ(gguf.arrays.at("x").to_vector<float>(), x_.to_vector<float>());
  EXPECT_EQ(std::get<Array>(gguf.metadata.at("n")).item<int32_t>(), 3);
}

TEST_F(Files, ComeBackFromCompression) {
  try {
    plait::savez_compressed(at("z"), {{"x", x_}});
  } catch (const plait::FileError& error) {
    GTEST_SKIP() << "NO ZLIB: " << error.what();
  }
  EXPECT_EQ(plait::load(at("z.npz"), plait::FileFormat::npz).arrays.at("x").to_vector<float>(), x_.to_vector<float>());
}

TEST_F(Files, SayWhatIsWrong) {
  EXPECT_THROW(plait::load(at("missing.npy")), plait::FileError);
  EXPECT_THROW(plait::load(at("x.txt")), plait::ArgumentError);
  EXPECT_THROW(plait::save_gguf(at("x"), {{"x", astype(x_, plait::DType::float64)}}), plait::FileError);
  EXPECT_FALSE(fs::exists(at("x.gguf")));
  try {
    plait::load(at("missing.npy"));
  } catch (const plait::FileError& e) {
    EXPECT_EQ(e.info().op, "load");
    EXPECT_NE(e.info().got.find("missing.npy"), std::string::npos);
  }
}

class Failing final : public plait::ByteSink {
 public:
  void write(const void*, uint64_t) override { throw std::runtime_error("full"); }
};

TEST_F(Files, PassOnWhatSinksThrow) {
  Failing sink;
  EXPECT_THROW(plait::save(sink, x_), std::runtime_error);
  EXPECT_THROW(plait::savez_compressed(sink, {{"x", x_}}), std::runtime_error);
}

}  // namespace
