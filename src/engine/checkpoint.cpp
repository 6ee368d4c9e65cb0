#include "engine/checkpoint.hpp"

#include "base/immortal.hpp"
#include "base/mapped_file.hpp"
#include "base/thread_pool.hpp"
#include "engine/join.hpp"
#include "engine/source_identity.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;
using Done = Completion<std::shared_ptr<const Checkpoint>>;

constexpr std::array kNames{"config.json",
                            "modules.json",
                            "1_Pooling/config.json",
                            "config_sentence_transformers.json",
                            "sentence_bert_config.json",
                            "tokenizer_config.json"};

/// Everything that reading gathers on its way. Each branch of a join writes a member of its own.
struct Reading {
  std::shared_ptr<ModelFiles> files;
  KnownModel known;
  ThreadPool* pool = nullptr;
  std::stop_token stop;
  Done done;
  std::array<std::optional<fs::path>, kNames.size()> paths;
  std::vector<std::string> listing;
  std::optional<fs::path> modules_head_config;
  weights::ModelSpec spec;

  void finish(std::exception_ptr error, std::shared_ptr<const Checkpoint> value = nullptr) {
    done(std::move(error), std::move(value));
  }
};
using ReadingPtr = std::shared_ptr<Reading>;

/// Passes the value on; a file that the checkpoint does not have is no error.
Completion<fs::path> optional_file(Completion<fs::path> done) {
  return [done = std::move(done)](std::exception_ptr error, fs::path path) mutable {
    if (error && is_entry_not_found(error)) error = nullptr;
    done(std::move(error), std::move(path));
  };
}

weights::ModelSpec parse_spec(const Reading& reading) {
  const auto text = [&](std::size_t i) {
    return reading.paths[i] ? std::optional(read_sound_text(*reading.paths[i])) : std::nullopt;
  };
  weights::SpecFiles files;
  files.source = reading.files->source();
  files.config_json = text(0).value();
  files.modules_json = text(1);
  files.pooling_json = text(2);
  files.sentence_transformers_json = text(3);
  files.sentence_bert_json = text(4);
  files.tokenizer_config_json = text(5);
  return weights::parse_model_spec(files);
}

/// The size in "2_Dense_1024", the folder of a head in Stella's layout.
std::optional<std::size_t> head_size(const std::string& folder) {
  constexpr std::string_view kPrefix = "2_Dense_";
  if (!folder.starts_with(kPrefix)) return std::nullopt;
  const std::string digits = folder.substr(kPrefix.size());
  if (digits.empty() || digits.size() > 7 || digits.front() == '0') return std::nullopt;
  if (!std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
    return std::nullopt;
  }
  return std::stoul(digits);
}

std::map<std::size_t, std::string> find_heads(const Reading& reading) {
  std::map<std::size_t, std::string> heads;
  for (const std::string& file : reading.listing) {
    const std::string folder = file.substr(0, file.find('/'));
    if (file != folder + "/config.json") continue;
    if (const auto size = head_size(folder)) heads.emplace(*size, folder);
  }
  if (reading.spec.modules_head_folder) {
    for (const std::size_t size : reading.known.dimensions) heads.emplace(size, "2_Dense_" + std::to_string(size));
  }
  if (reading.modules_head_config) {
    const std::string& folder = *reading.spec.modules_head_folder;
    const weights::HeadSpec head =
        weights::parse_head_spec(read_sound_text(*reading.modules_head_config), folder, reading.files->source());
    heads.insert_or_assign(head.out, folder);
  } else if (reading.spec.modules_head) {
    heads.insert_or_assign(*reading.spec.modules_head, *reading.spec.modules_head_folder);
  }
  return heads;
}

std::size_t choose_default(const Checkpoint& checkpoint, const Reading& reading) {
  constexpr std::size_t kPreferred = 1024;
  if (checkpoint.heads.empty()) return checkpoint.spec.encoder.hidden;
  if (checkpoint.heads.contains(kPreferred)) return kPreferred;
  if (checkpoint.spec.modules_head_folder) {
    for (const auto& [size, folder] : checkpoint.heads) {
      if (folder == *reading.spec.modules_head_folder) return size;
    }
  }
  return checkpoint.heads.begin()->first;
}

bool is_stella(const Checkpoint& checkpoint, const std::string& name) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // A directory may be called anything; several heads in Stella's layout are found nowhere else.
  return lower.find("stella") != std::string::npos || checkpoint.heads.size() > 1;
}

std::shared_ptr<const Checkpoint> assemble(Reading& reading) {
  auto checkpoint = std::make_shared<Checkpoint>();
  checkpoint->heads = find_heads(reading);
  checkpoint->spec = reading.spec;
  for (const auto& [size, folder] : checkpoint->heads) checkpoint->dimensions.push_back(size);
  const std::size_t hidden = checkpoint->spec.encoder.hidden;
  if (checkpoint->dimensions.empty()) checkpoint->dimensions.push_back(hidden);
  checkpoint->default_dimension = choose_default(*checkpoint, reading);
  checkpoint->max_length_limit = std::min(checkpoint->spec.encoder.max_positions, kMaxInput);
  checkpoint->default_max_length =
      std::min(checkpoint->spec.max_seq_length.value_or(checkpoint->max_length_limit), checkpoint->max_length_limit);
  checkpoint->prompts = Prompts(checkpoint->spec.prompts, is_stella(*checkpoint, reading.known.name),
                                checkpoint->spec.default_prompt_name);
  checkpoint->directory = reading.paths[0]->parent_path();
  checkpoint->source = reading.files->source();
  return checkpoint;
}

/// Runs `step` on the pool; what it throws fails the reading.
template <class Step>
void on_pool(const ReadingPtr& reading, Step step) {
  reading->pool->post([reading, step = std::move(step)]() mutable {
    try {
      step();
    } catch (...) {
      reading->finish(std::current_exception());
    }
  });
}

/// Second step: the heads, where neither the registry nor modules.json gives them.
void find_head_files(const ReadingPtr& reading) {
  auto join = Join::start(reading->stop, [reading](std::exception_ptr error) {
    if (error) return reading->finish(std::move(error));
    on_pool(reading, [reading] { reading->finish(nullptr, assemble(*reading)); });
  });
  if (reading->known.dimensions.empty()) {
    reading->files->list(join->token(),
                         join->branch<std::vector<std::string>>(
                             [reading](std::vector<std::string> files) { reading->listing = std::move(files); }));
  }
  if (reading->spec.modules_head_folder && !reading->spec.modules_head) {
    get_required(*reading->files, *reading->spec.modules_head_folder + "/config.json", join->token(),
                 join->branch<fs::path>([reading](fs::path path) { reading->modules_head_config = std::move(path); }));
  }
  join->close();
}

}  // namespace

const std::vector<std::string>& small_files() {
  static const Immortal<std::vector<std::string>> names(kNames.begin(), kNames.end());
  return *names;
}

void read_checkpoint(const std::shared_ptr<ModelFiles>& files, const KnownModel& known, ThreadPool& pool,
                     const std::stop_token& stop, Done done) {
  auto reading = std::make_shared<Reading>();
  reading->files = files;
  reading->known = known;
  reading->pool = &pool;
  reading->stop = stop;
  reading->done = std::move(done);
  auto join = Join::start(stop, [reading](std::exception_ptr error) {
    if (error) return reading->finish(std::move(error));
    on_pool(reading, [reading] {
      reading->spec = parse_spec(*reading);
      find_head_files(reading);
    });
  });
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    Completion<fs::path> keep = join->branch<fs::path>([reading, i](fs::path path) {
      if (!path.empty()) reading->paths[i] = std::move(path);
    });
    if (i == 0) {
      get_required(*files, kNames[i], join->token(), std::move(keep));
    } else {
      files->get(kNames[i], join->token(), optional_file(std::move(keep)));
    }
  }
  join->close();
}

}  // namespace stella::engine
