// Checkpoints that are split, damaged or incomplete, at encoder level.
#include "base/json.hpp"
#include "base/mapped_file.hpp"
#include "checkpoint.hpp"
#include "stella/error.hpp"
#include "support/temporary_folder.hpp"

#include <array>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::golden {
namespace {

namespace fs = std::filesystem;

/// One tensor of a file, with the header's own words for type and shape.
struct Stored {
  std::string name;
  json::value type;
  json::value shape;
  std::string bytes;
};

std::vector<Stored> read_all(const fs::path& path) {
  const std::string file = read_text_file(path);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const json::value header = json::parse(file.substr(8, length));
  std::vector<Stored> tensors;
  for (const auto& [key, entry] : header.as_object()) {
    if (key == "__metadata__") continue;
    const auto begin = entry.at("data_offsets").at(0).to_number<std::size_t>();
    const auto end = entry.at("data_offsets").at(1).to_number<std::size_t>();
    tensors.push_back(
        {std::string(key), entry.at("dtype"), entry.at("shape"), file.substr(8 + length + begin, end - begin)});
  }
  return tensors;
}

void write_all(const fs::path& path, const std::vector<Stored>& tensors) {
  json::object header;
  std::string data;
  for (const Stored& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.type},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  const std::string text = json::serialize(header);
  const std::uint64_t length = text.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out << text << data;
}

class Loading : public ::testing::Test {
 protected:
  Loading() { fs::copy_file(source_ / "config.json", folder_ / "config.json"); }

  std::vector<float> embed(const fs::path& folder) {
    const std::vector<std::int32_t> ids = {1, 900, 17, 5, 2};
    models::Activations scratch;
    return pooled(*load(folder, kernels::select(KernelSet::portable), team_).encoder, {&ids}, team_, scratch).front();
  }

  const fs::path source_ = fs::path(STELLA_TEST_DATA) / "checkpoints/stella-small-tiny";
  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  ParallelTeam team_{1};
};

TEST_F(Loading, ShardsGiveTheSameBitsAsOneFile) {
  std::vector<Stored> tensors = read_all(source_ / "model.safetensors");
  const std::array<std::string, 2> names = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
  json::object map;
  std::array<std::vector<Stored>, 2> shards;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    map[tensors[i].name] = names[i % 2];
    shards[i % 2].push_back(tensors[i]);
  }
  write_all(folder_ / names[0], shards[0]);
  write_all(folder_ / names[1], shards[1]);
  std::ofstream(folder_ / "model.safetensors.index.json")
      << json::serialize(json::object{{"metadata", {{"total_size", 0}}}, {"weight_map", map}});
  EXPECT_EQ(embed(folder_), embed(source_));
}

TEST_F(Loading, PrefixesMakeNoDifference) {
  for (const char* prefix : {"", "model.", "bert."}) {
    std::vector<Stored> tensors = read_all(source_ / "model.safetensors");
    for (Stored& tensor : tensors) tensor.name = prefix + tensor.name.substr(std::string("new.").size());
    write_all(folder_ / "model.safetensors", tensors);
    EXPECT_EQ(embed(folder_), embed(source_)) << prefix;
  }
}

TEST_F(Loading, EveryTensorIsNeededAndItsShapeChecked) {
  const std::vector<Stored> tensors = read_all(source_ / "model.safetensors");
  const fs::path file = folder_ / "model.safetensors";
  ASSERT_GT(tensors.size(), 30U);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::vector<Stored> fewer = tensors;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    write_all(file, fewer);
    // Without the tensor that shows the prefix, none of the names fits.
    const bool probe = tensors[i].name == "new.embeddings.word_embeddings.weight";
    try {
      embed(folder_);
      ADD_FAILURE() << "loaded without " << tensors[i].name;
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::missing_tensor);
      EXPECT_EQ(error.context().tensor, probe ? "embeddings.word_embeddings.weight" : tensors[i].name);
      EXPECT_EQ(error.context().file, file.string());
    }
    std::vector<Stored> other = tensors;
    other[i].shape = json::array{1, other[i].bytes.size() / 4};
    if (other[i].shape == tensors[i].shape) other[i].shape = json::array{other[i].bytes.size() / 4};
    write_all(file, other);
    try {
      embed(folder_);
      ADD_FAILURE() << "loaded a misshapen " << tensors[i].name;
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file);
      EXPECT_EQ(error.context().tensor, tensors[i].name);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("where config.json asks for"));
    }
  }
}

TEST_F(Loading, NothingDependsOnTheFileAfterwards) {
  fs::copy_file(source_ / "model.safetensors", folder_ / "model.safetensors");
  const Checkpoint checkpoint = load(folder_, kernels::select(KernelSet::portable), team_);
  fs::resize_file(folder_ / "model.safetensors", 0);
  const std::vector<std::int32_t> ids = {1, 900, 17, 5, 2};
  models::Activations scratch;
  EXPECT_EQ(pooled(*checkpoint.encoder, {&ids}, team_, scratch).front(), embed(source_));
}

TEST_F(Loading, ProgressEndsAtTheTotal) {
  models::LoadContext context;
  context.kernels = &kernels::select(KernelSet::portable);
  context.team = &team_;
  std::size_t done = 0;
  std::size_t total = 0;
  context.on_progress = [&](std::size_t now, std::size_t all) {
    EXPECT_GT(now, done);
    EXPECT_TRUE(total == 0 || total == all);
    done = now;
    total = all;
  };
  const auto encoder = models::make_encoder(read_spec(source_).encoder, open_tensors(source_), context);
  std::size_t bytes = 0;
  for (const Stored& tensor : read_all(source_ / "model.safetensors")) bytes += tensor.bytes.size();
  EXPECT_EQ(done, bytes);
  EXPECT_EQ(total, bytes);
  EXPECT_GE(encoder->weight_bytes(), bytes);
}

TEST_F(Loading, BatchesAreChecked) {
  const Checkpoint checkpoint = load(source_, kernels::select(KernelSet::portable), team_);
  models::Activations scratch;
  std::vector<float> rows(2 * checkpoint.encoder->hidden());
  const auto refused = [&](const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& offsets) {
    try {
      checkpoint.encoder->forward({ids, offsets}, rows.data(), team_, scratch);
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::invalid_argument);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::string offsets = "a packed batch needs offsets from 0 to its number of tokens";
  EXPECT_EQ(refused({1, 2}, {0, 2}), "accepted");
  EXPECT_EQ(refused({1, 2}, {}), offsets);
  EXPECT_EQ(refused({1, 2}, {0}), offsets);
  EXPECT_EQ(refused({1, 2}, {1, 2}), offsets);
  EXPECT_EQ(refused({1, 2}, {0, 3}), offsets);
  EXPECT_EQ(refused({1, 2}, {0, 2, 2}), "sequence 1 of a packed batch has no tokens");
  EXPECT_EQ(refused({1, 2}, {0, 3, 2}), "sequence 1 of a packed batch has no tokens");
  EXPECT_EQ(refused({1, 3005}, {0, 2}),
            "token id 3005 is outside the model's vocabulary of 3005; tokenizer.json and the weights do not belong "
            "together");
  EXPECT_EQ(
      refused({-1, 2}, {0, 2}),
      "token id -1 is outside the model's vocabulary of 3005; tokenizer.json and the weights do not belong together");
}

TEST_F(Loading, AbsolutePositionsEnd) {
  const fs::path bert = source_.parent_path() / "bert-tiny";
  const Checkpoint checkpoint = load(bert, kernels::select(KernelSet::portable), team_);
  models::Activations scratch;
  std::vector<std::int32_t> ids(512, 7);
  EXPECT_EQ(pooled(*checkpoint.encoder, {&ids}, team_, scratch).size(), 1U);
  ids.push_back(7);
  try {
    pooled(*checkpoint.encoder, {&ids}, team_, scratch);
    FAIL() << "read past the position embeddings";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::invalid_argument);
    EXPECT_STREQ(error.what(), "a sequence has 513 tokens; this model has 512 positions");
  }
}

}  // namespace
}  // namespace stella::golden
