#include "engine/encoder_loading.hpp"

#include "base/crc32c.hpp"
#include "base/file.hpp"
#include "base/sha.hpp"
#include "engine/test_support.hpp"
#include "stella/error.hpp"
#include "stella/log.hpp"
#include "stella/packed_weights.hpp"
#include "support/temporary_folder.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kCheckpoints = STELLA_TEST_DATA "/checkpoints";

class EncoderLoadingTest : public ::testing::Test {
 protected:
  EncoderJob job(const std::string& name = "stella-small-tiny") {
    const fs::path checkpoint = kCheckpoints / name;
    weights::SpecFiles files;
    files.source = checkpoint.string();
    files.config_json = read_text_file(checkpoint / "config.json");
    EncoderJob job;
    job.source = "organisation/" + name;
    job.spec = weights::parse_model_spec(files).encoder;
    job.files = {checkpoint / "model.safetensors"};
    job.tokenizer =
        std::make_shared<const tokenizer::Tokenizer>(tokenizer::Tokenizer::from_file(checkpoint / "tokenizer.json"));
    job.kernels = &kernels::select(KernelSet::automatic);
    job.team = &team_;
    job.packed_folder = folder_ / "packed";
    return job;
  }
  std::vector<float> vector(const LoadedEncoder& weights) {
    const std::array<std::int32_t, 5> ids{3, 1, 4, 1, 5};
    const std::array<std::int32_t, 2> offsets{0, 5};
    std::vector<float> pooled(weights.encoder->hidden());
    models::Activations scratch;
    weights.encoder->forward({ids, offsets}, pooled.data(), team_, scratch);
    return pooled;
  }
  std::size_t files(const std::string& suffix) const {
    std::size_t count = 0;
    if (!fs::exists(folder_ / "packed")) return 0;
    for (const auto& file : fs::directory_iterator(folder_ / "packed")) count += file.path().string().ends_with(suffix);
    return count;
  }
  /// The checkpoint's weights in a hub's cache under their hash, for `job`.
  fs::path put_into_cache(EncoderJob& job, const std::string& hash) const {
    const fs::path blob = folder_ / "models--a--b/blobs" / hash;
    fs::create_directories(blob.parent_path());
    fs::copy_file(job.files.front(), blob);
    fs::create_directories(folder_ / "snapshot");
    fs::create_symlink(blob, folder_ / "snapshot/model.safetensors");
    job.files = {folder_ / "snapshot/model.safetensors"};
    return blob;
  }
  static std::string sha256_of(const fs::path& file) { return sha256_hex(read_text_file(file)); }
  static std::string sha1_of(const std::string& text) {
    Sha1 hash;
    hash.update(std::as_bytes(std::span(text)));
    return to_hex(hash.digest());
  }
  /// The last byte is a weight's.
  static void flip_last_byte(const fs::path& file) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(-1, std::ios::end);
    const char byte = static_cast<char>(stream.get() ^ 0x40);
    stream.seekp(-1, std::ios::end);
    stream.put(byte);
  }
  fs::path only_choice() const {
    return *std::find_if(fs::directory_iterator(folder_ / "packed"), fs::directory_iterator(),
                         [](const auto& file) { return file.path().extension() == kChoiceSuffix; });
  }
  void remove_choice() const { fs::remove(only_choice()); }
  static void choose_by_hand(const EncoderJob& job, Precision precision) {
    PackedStore(job.packed_folder)
        .keep_choice(identify(job.source, job.files), kernels::name_of(*job.kernels), {precision, "by hand"});
  }
  fs::path only_packed_file() const { return packed_weights::list(folder_ / "packed").files.at(0).path; }

  ParallelTeam team_{2};
  const stella::test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(EncoderLoadingTest, SaysBeforehandWhatTheEncoderWillTake) {
  for (const char* name : {"stella-small-tiny", "stella-large-tiny", "bert-tiny"}) {
    for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8}) {
      const EncoderJob kept = job(name);
      if (!kernels::supports(*kept.kernels, precision)) continue;
      const std::string what = std::string(name) + " in " + to_string(precision);
      const LoadNeeds first = load_needs(kept, precision);
      const auto packed = load_encoder(kept, precision);
      const LoadNeeds later = load_needs(kept, precision);
      const std::size_t mapped = packed->encoder->mapped_bytes();
      const std::size_t own = packed->encoder->weight_bytes() - mapped;
      EXPECT_GT(mapped, 0U) << what;
      EXPECT_GE(first.mapped_bytes, mapped) << what;
      EXPECT_LE(first.mapped_bytes, mapped + mapped / 4) << what;
      EXPECT_GE(first.private_bytes_after, own) << what;
      EXPECT_GT(first.private_bytes_peak, first.private_bytes_after) << what;
      EXPECT_EQ(later.mapped_bytes, first.mapped_bytes) << what;
      EXPECT_EQ(later.private_bytes_peak, later.private_bytes_after) << what;

      EncoderJob in_memory = job(name);
      in_memory.packed_folder.clear();
      const LoadNeeds all = load_needs(in_memory, precision);
      const auto loaded = load_encoder(in_memory, precision);
      EXPECT_EQ(loaded->encoder->mapped_bytes(), 0U) << what;
      EXPECT_GE(all.private_bytes_after, loaded->encoder->weight_bytes()) << what;
      EXPECT_EQ(all.mapped_bytes, 0U) << what;
    }
  }
}

TEST_F(EncoderLoadingTest, EveryPrecisionIsMappedTheSecondTimeWithTheSameBits) {
  for (const char* name : {"stella-small-tiny", "stella-large-tiny", "gte-tiny"}) {
    for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
      const EncoderJob job = this->job(name);
      if (!kernels::supports(*job.kernels, precision)) continue;
      const auto packed = load_encoder(job, precision);
      const auto mapped = load_encoder(job, precision);
      EXPECT_TRUE(packed->packed) << name << to_string(precision);
      EXPECT_TRUE(packed->mapped) << "packed weights are in memory twice: " << name << to_string(precision);
      EXPECT_FALSE(mapped->packed) << name << to_string(precision);
      EXPECT_TRUE(mapped->mapped) << name << to_string(precision);
      EXPECT_EQ(vector(*packed), vector(*mapped)) << name << to_string(precision);
      EXPECT_EQ(packed->encoder->weight_bytes(), mapped->encoder->weight_bytes()) << name << to_string(precision);
      EXPECT_EQ(mapped->choice.reason, packed->choice.reason);
    }
  }
}

TEST_F(EncoderLoadingTest, NearLosslessPrecisionsAgreeWithF32AndSayHowMuch) {
  for (const char* name : {"stella-small-tiny", "stella-large-tiny"}) {
    const EncoderJob job = this->job(name);
    const std::vector<float> exact = vector(*load_encoder(job, Precision::f32));
    for (const Precision precision : {Precision::bf16, Precision::int16}) {
      if (!kernels::supports(*job.kernels, precision)) continue;
      const auto weights = load_encoder(job, precision);
      const models::Agreement agreement = models::compare(exact, vector(*weights), exact.size());
      EXPECT_GE(agreement.least, 0.9995) << name << to_string(precision);
      EXPECT_LT(agreement.least, 1) << "the precision makes no difference: " << to_string(precision);
      EXPECT_THAT(weights->choice.reason, HasSubstr("cosine to f32: mean 0.99"));
    }
  }
}

TEST_F(EncoderLoadingTest, AutomaticIsKeptAndNeverChosenAgain) {
  const EncoderJob job = this->job();
  EXPECT_FALSE(known_choice(job, Precision::automatic).has_value());
  const auto first = load_encoder(job, Precision::automatic);
  EXPECT_NE(first->choice.precision, Precision::int8);
  EXPECT_TRUE(first->mapped);
  EXPECT_EQ(files(".choice"), 1U);
  EXPECT_EQ(files(".packed"), 1U) << "what was tried and not taken is still there";
  EXPECT_EQ(files(""), 2U);
  const auto known = known_choice(job, Precision::automatic);
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->precision, first->choice.precision);
  EXPECT_EQ(known->reason, first->choice.reason);
  // Another choice in the file: it is followed, not measured again.
  const Precision other = first->choice.precision == Precision::f32 ? Precision::int16 : Precision::f32;
  remove_choice();
  choose_by_hand(job, other);
  const auto second = load_encoder(job, Precision::automatic);
  EXPECT_EQ(second->choice.precision, other);
  EXPECT_EQ(second->choice.reason, "by hand");
}

TEST_F(EncoderLoadingTest, WhoeverChoosesFirstChoosesForAll) {
  EncoderJob job = this->job();
  const Precision first = load_encoder(job, Precision::automatic)->choice.precision;
  const Precision other = first == Precision::f32 ? Precision::int16 : Precision::f32;
  // As of a process that this load's lock does not hold up: on a file system without locks, or after a silence.
  bool chosen = false;
  job.on_progress = [&](std::size_t, std::size_t total) {
    if (total > 0 && !std::exchange(chosen, true)) choose_by_hand(job, other);
  };
  remove_choice();
  fs::remove(only_packed_file());
  const auto weights = load_encoder(job, Precision::automatic);
  EXPECT_TRUE(chosen);
  EXPECT_EQ(weights->choice.precision, other);
  EXPECT_EQ(weights->choice.reason, "by hand");
  EXPECT_TRUE(weights->mapped);
  choose_by_hand(job, first);
  EXPECT_EQ(known_choice(job, Precision::automatic)->precision, other) << "what is chosen stays";
}

TEST_F(EncoderLoadingTest, ADamagedChoiceIsReplaced) {
  const EncoderJob job = this->job();
  load_encoder(job, Precision::automatic);
  std::ofstream(only_choice()) << "half";
  choose_by_hand(job, Precision::f32);
  EXPECT_EQ(known_choice(job, Precision::automatic)->reason, "by hand");
  EXPECT_EQ(files(""), 2U);
}

TEST_F(EncoderLoadingTest, AnotherKernelSetChoosesAndPacksForItself) {
  EncoderJob job = this->job();
  load_encoder(job, Precision::f32);
  job.kernels = &kernels::select(KernelSet::portable);
  if (kernels::layout_id(*job.kernels, Precision::f32) ==
      kernels::layout_id(kernels::select(KernelSet::automatic), Precision::f32)) {
    GTEST_SKIP() << "this processor runs nothing but the portable kernels";
  }
  EXPECT_TRUE(load_encoder(job, Precision::f32)->packed);
  EXPECT_EQ(files(".packed"), 2U);
  EXPECT_FALSE(known_choice(job, Precision::automatic).has_value());
}

TEST_F(EncoderLoadingTest, ChangedWeightsArePackedAnew) {
  EncoderJob job = this->job();
  fs::copy_file(job.files.front(), folder_ / "model.safetensors");
  job.files = {folder_ / "model.safetensors"};
  load_encoder(job, Precision::f32);
  EXPECT_FALSE(load_encoder(job, Precision::f32)->packed);
  fs::last_write_time(job.files.front(), fs::last_write_time(job.files.front()) + std::chrono::seconds(2));
  EXPECT_TRUE(load_encoder(job, Precision::f32)->packed);
}

TEST_F(EncoderLoadingTest, ABlobOfTheHubIsKnownByItsHash) {
  const fs::path blobs = folder_ / "models--a--b/blobs";
  const std::string hash(64, 'a');
  fs::create_directories(blobs);
  std::ofstream(blobs / hash) << "x";
  fs::create_directories(folder_ / "snapshot");
  fs::create_symlink(blobs / hash, folder_ / "snapshot/model.safetensors");
  EXPECT_EQ(identify("a/b", {folder_ / "snapshot/model.safetensors"}).content, hash);
  std::ofstream(folder_ / "plain") << "x";
  EXPECT_THAT(identify("a/b", {folder_ / "plain"}).content, HasSubstr((folder_ / "plain").string() + ":1:"));
}

TEST_F(EncoderLoadingTest, DamagedPackedWeightsAreReplaced) {
  const EncoderJob job = this->job();
  const std::vector<float> exact = vector(*load_encoder(job, Precision::f32));
  const fs::path path = only_packed_file();
  const auto size = fs::file_size(path);
  for (const std::uintmax_t kept : {std::uintmax_t{0}, size / 2, size - 1}) {
    fs::resize_file(path, kept);
    const auto weights = load_encoder(job, Precision::f32);
    EXPECT_TRUE(weights->packed);
    EXPECT_EQ(vector(*weights), exact);
    EXPECT_FALSE(load_encoder(job, Precision::f32)->packed);
  }
  // The header of the first matrix: its sizes no longer fit.
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
    const std::string magic = "stellaPM";
    const auto at = std::search(content.begin(), content.end(), magic.begin(), magic.end()) - content.begin();
    ASSERT_LT(at, static_cast<std::ptrdiff_t>(content.size()));
    file.clear();
    file.seekp(at + 32);
    file.write("\x7f", 1);
  }
  EXPECT_TRUE(load_encoder(job, Precision::f32)->packed);
  EXPECT_FALSE(load_encoder(job, Precision::f32)->packed);
}

/// Writes the checksums anew (models/packed_file.hpp has the format), as who plants such a file would.
std::string with_checksums_of(std::string content) {
  const auto crc_of = [&](std::size_t at, std::size_t size) {
    return crc32c(std::as_bytes(std::span(content)).subspan(at, size));
  };
  const std::size_t trailer = content.size() - 64;
  std::uint64_t index_at = 0;
  std::memcpy(&index_at, content.data() + trailer + 16, sizeof(index_at));
  std::size_t part = 0;
  for (std::size_t line = content.find('\n', index_at) + 1; line < trailer; line = content.find('\n', line) + 1) {
    const std::size_t size = std::stoul(content.substr(line, 20));
    const std::size_t padded = (size + 63) / 64 * 64;
    std::array<char, 9> digits{};
    std::snprintf(digits.data(), digits.size(), "%08x", crc_of(part, padded));
    content.replace(content.find(' ', line) + 1, 8, digits.data());
    part += padded;
  }
  const std::uint32_t index = crc_of(index_at, trailer - index_at);
  std::memcpy(content.data() + trailer + 32, &index, sizeof(index));
  const std::uint32_t last = crc_of(trailer, 60);
  std::memcpy(content.data() + trailer + 60, &last, sizeof(last));
  return content;
}

TEST_F(EncoderLoadingTest, SizesThatLieAreRefusedWhateverTheChecksumsSay) {
  const EncoderJob job = this->job();
  const std::vector<float> exact = vector(*load_encoder(job, Precision::f32));
  const fs::path path = only_packed_file();
  const std::string content = read_text_file(path);
  ASSERT_EQ(with_checksums_of(content), content);
  const std::size_t header = content.find("stellaPM");
  ASSERT_LT(header, content.size());
  for (std::size_t field = 8; field < 120; field += 8) {
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1} << 32U, std::uint64_t{1} << 63U, ~std::uint64_t{0}}) {
      std::string planted = content;
      std::memcpy(planted.data() + header + field, &value, sizeof(value));
      if (planted == content) continue;
      std::ofstream(path, std::ios::binary) << with_checksums_of(planted);
      const auto weights = load_encoder(job, Precision::f32);
      EXPECT_TRUE(weights->packed) << field;
      EXPECT_EQ(vector(*weights), exact) << field;
    }
  }
}

TEST_F(EncoderLoadingTest, ADamagedCheckpointCostsNoPackedWeights) {
  EncoderJob job = this->job();
  const fs::path blob = put_into_cache(job, sha256_of(job.files.front()));
  load_encoder(job, Precision::f32);
  const auto size = fs::file_size(blob);
  fs::resize_file(blob, size / 2);
  try {
    load_encoder(job, Precision::f32);
    ADD_FAILURE() << "loaded half a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::malformed_file);
    EXPECT_THAT(error.what(), HasSubstr("model.safetensors"));
  }
  EXPECT_EQ(files(".packed"), 1U);
}

TEST_F(EncoderLoadingTest, ADamagedBlobIsNoticedAndNothingIsKeptOfIt) {
  EncoderJob job = this->job();
  const fs::path blob = put_into_cache(job, sha256_of(job.files.front()));
  const auto sound = vector(*load_encoder(job, Precision::f32));
  fs::remove_all(folder_ / "packed");
  flip_last_byte(blob);
  for (const bool keeps : {true, false}) {
    if (!keeps) job.packed_folder.clear();
    for (const Precision precision : {Precision::automatic, Precision::f32, Precision::int16}) {
      if (!kernels::supports(*job.kernels, precision) && precision != Precision::automatic) continue;
      const std::string message = test::error_of([&] { load_encoder(job, precision); }, Errc::integrity);
      EXPECT_THAT(message, HasSubstr("model.safetensors"));
      EXPECT_THAT(message, HasSubstr("stella cache verify --repair"));
      EXPECT_EQ(files(""), 0U) << to_string(precision);
    }
  }
  job.small_bytes = std::size_t{1} << 40U;
  EXPECT_THAT(test::error_of([&] { load_encoder(job, Precision::automatic); }, Errc::integrity), HasSubstr("damaged"));
  flip_last_byte(blob);
  EXPECT_EQ(vector(*load_encoder(job, Precision::f32)), sound);
}

TEST_F(EncoderLoadingTest, ABlobNamedByItsSha1IsGitsOrPlain) {
  const std::string content = read_text_file(job().files.front());
  const std::string header = "blob " + std::to_string(content.size()) + std::string(1, '\0');
  for (const std::string& hash : {sha1_of(header + content), sha1_of(content)}) {
    EncoderJob job = this->job();
    const fs::path blob = put_into_cache(job, hash);
    EXPECT_TRUE(load_encoder(job, Precision::f32)->packed);
    fs::remove_all(folder_ / "packed");
    flip_last_byte(blob);
    EXPECT_THAT(test::error_of([&] { load_encoder(job, Precision::f32); }, Errc::integrity), HasSubstr("damaged"));
    fs::remove_all(folder_ / "snapshot");
    fs::remove_all(folder_ / "models--a--b");
  }
}

TEST_F(EncoderLoadingTest, AFlippedBitInPackedWeightsIsNoticedAndSaid) {
  const EncoderJob job = this->job();
  const std::vector<float> exact = vector(*load_encoder(job, Precision::f32));
  const fs::path path = only_packed_file();
  const std::string content = read_text_file(path);
  for (std::size_t at = 100; at < content.size(); at += content.size() / 40) {
    std::string damaged = content;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    std::ofstream(path, std::ios::binary) << damaged;
    std::vector<std::string> lines;
    set_log_sink([&](LogLevel level, std::string_view line) {
      if (level >= LogLevel::warning) lines.emplace_back(line);
    });
    const auto weights = load_encoder(job, Precision::f32);
    set_log_sink({});
    EXPECT_TRUE(weights->packed) << at;
    EXPECT_EQ(vector(*weights), exact) << at;
    ASSERT_EQ(lines.size(), 1U) << at;
    EXPECT_THAT(lines[0], HasSubstr("packing again"));
    EXPECT_EQ(read_text_file(path), content);
  }
}

TEST_F(EncoderLoadingTest, WeightsReplacedInPlaceWithTheSameSizeAndTimeArePackedAnew) {
  EncoderJob job = this->job();
  const fs::path file = folder_ / "model.safetensors";
  fs::copy_file(job.files.front(), file);
  job.files = {file};
  const auto time = fs::last_write_time(file);
  const auto first = vector(*load_encoder(job, Precision::f32));
  flip_last_byte(file);
  fs::last_write_time(file, time);
  const auto weights = load_encoder(job, Precision::f32);
  EXPECT_TRUE(weights->packed);
  EXPECT_EQ(files(".packed"), 1U) << "that of the earlier contents is of no use";
}

TEST_F(EncoderLoadingTest, WeightsThatChangeWhileTheyArePackedAreAnError) {
  EncoderJob job = this->job();
  const fs::path file = folder_ / "model.safetensors";
  fs::copy_file(job.files.front(), file);
  job.files = {file};
  job.on_progress = [&](std::size_t, std::size_t) { flip_last_byte(file); };
  EXPECT_THAT(test::error_of([&] { load_encoder(job, Precision::f32); }, Errc::io_error), HasSubstr("changed"));
  EXPECT_EQ(files(""), 0U);
}

TEST_F(EncoderLoadingTest, LoadsAtTheSameTimeAgreeAndOnePacks) {
  constexpr std::size_t kLoads = 4;
  std::vector<std::shared_ptr<const LoadedEncoder>> weights(kLoads);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kLoads; ++i) {
    threads.emplace_back([this, &weights, i] {
      ParallelTeam team(2);
      EncoderJob job = this->job();
      job.team = &team;
      weights[i] = load_encoder(job, Precision::automatic);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t packed = 0;
  for (const auto& one : weights) {
    packed += one->packed ? 1 : 0;
    EXPECT_EQ(one->choice.precision, weights[0]->choice.precision);
    EXPECT_EQ(one->choice.reason, weights[0]->choice.reason);
    EXPECT_EQ(vector(*one), vector(*weights[0]));
  }
  EXPECT_EQ(packed, 1U);
  EXPECT_EQ(files(""), 2U);
}

TEST_F(EncoderLoadingTest, AFolderThatOthersCanWriteToIsNotUsed) {
  const EncoderJob job = this->job();
  load_encoder(job, Precision::f32);
  fs::permissions(job.packed_folder, fs::perms::all);
  const auto weights = load_encoder(job, Precision::f32);
  EXPECT_FALSE(weights->mapped);
  EXPECT_EQ(files(""), 1U);
}

TEST_F(EncoderLoadingTest, AFolderThatCannotBeWrittenIsNoError) {
  EncoderJob job = this->job();
  std::ofstream(folder_ / "file") << "no folder";
  job.packed_folder = folder_ / "file";
  const auto weights = load_encoder(job, Precision::automatic);
  EXPECT_FALSE(weights->mapped);
  EXPECT_EQ(vector(*weights).size(), weights->encoder->hidden());
}

TEST_F(EncoderLoadingTest, AFullDiskIsNoError) {
  for (const Precision precision : {Precision::automatic, Precision::f32, Precision::int8}) {
    EncoderJob job = this->job();
    if (!kernels::supports(*job.kernels, precision) && precision != Precision::automatic) continue;
    job.packed_folder = folder_ / "full";
    // Files of this process end here: writing fails as on a full disk.
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit limit{10'000, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    const auto weights = load_encoder(job, precision);
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_FALSE(weights->mapped);
    const Precision chosen = weights->choice.precision;  // automatic measures, and may choose otherwise another time
    EXPECT_TRUE(chosen == precision || precision == Precision::automatic) << to_string(chosen);
    job.packed_folder = folder_ / to_string(precision);
    EXPECT_EQ(vector(*weights), vector(*load_encoder(job, chosen))) << to_string(precision);
  }
}

TEST_F(EncoderLoadingTest, WithoutAFolderNothingIsWritten) {
  EncoderJob job = this->job();
  job.packed_folder.clear();
  load_encoder(job, Precision::automatic);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 0);
}

TEST_F(EncoderLoadingTest, ASmallEncoderIsF32AndNotKept) {
  EncoderJob job = this->job();
  job.small_bytes = fs::file_size(job.files.front()) + 1;
  const auto weights = load_encoder(job, Precision::automatic);
  EXPECT_EQ(weights->choice.precision, Precision::f32);
  EXPECT_THAT(weights->choice.reason, HasSubstr("small"));
  EXPECT_EQ(known_choice(job, Precision::automatic)->precision, Precision::f32);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 0);
}

TEST_F(EncoderLoadingTest, GivingUpLeavesNoFileBehind) {
  EncoderJob job = this->job();
  job.on_progress = [](std::size_t done, std::size_t total) {
    if (done * 2 > total) throw Error(Errc::cancelled, "cancelled");
  };
  EXPECT_THROW(load_encoder(job, Precision::f32), Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "packed"), {}), 0);
}

TEST_F(EncoderLoadingTest, APrecisionThatTheKernelsLackIsRefusedWithThoseTheyHave) {
  EncoderJob job = this->job();
  job.kernels = &kernels::select(KernelSet::portable);
  for (const Precision precision : {Precision::bf16, Precision::int16, Precision::int8}) {
    if (kernels::supports(*job.kernels, precision)) continue;
    const std::string message = test::error_of([&] { load_encoder(job, precision); }, Errc::unsupported_processor);
    EXPECT_THAT(message, HasSubstr(to_string(precision)));
    EXPECT_THAT(message, HasSubstr("choose one of: auto, f32"));
  }
}

}  // namespace
}  // namespace stella::engine
