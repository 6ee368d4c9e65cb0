#include "engine/checkpoint.hpp"

#include "base/immortal.hpp"
#include "engine/awaited.hpp"
#include "engine/source_identity.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::array kNames{"config.json",
                            "modules.json",
                            "1_Pooling/config.json",
                            "config_sentence_transformers.json",
                            "sentence_bert_config.json",
                            "tokenizer_config.json"};

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

/// Those of the registry, else those in the checkpoint's list of files; and the one in modules.json.
std::map<std::size_t, std::string> find_heads(ModelFiles& files, const KnownModel& known,
                                              const weights::ModelSpec& spec, const std::stop_token& stop) {
  std::optional<Awaited<std::vector<std::string>>> listing;
  if (known.dimensions.empty()) {
    listing.emplace([&](const std::stop_token& token, auto done) { files.list(token, std::move(done)); });
  }
  const auto& folder = spec.modules_head_folder;
  std::optional<AwaitedFile> config;
  if (folder && !spec.modules_head) config.emplace(files, *folder + "/config.json", AwaitedFile::Need::required);
  std::map<std::size_t, std::string> heads;
  for (const std::string& file : listing ? listing->get(stop) : std::vector<std::string>()) {
    const std::string top = file.substr(0, file.find('/'));
    if (file != top + "/config.json") continue;
    if (const auto size = head_size(top)) heads.emplace(*size, top);
  }
  if (folder) {
    for (const std::size_t size : known.dimensions) heads.emplace(size, "2_Dense_" + std::to_string(size));
  }
  if (config) {
    const std::string text = read_sound_text(config->get(stop));
    heads.insert_or_assign(weights::parse_head_spec(text, *folder, files.source()).out, *folder);
  } else if (spec.modules_head) {
    heads.insert_or_assign(*spec.modules_head, *folder);
  }
  return heads;
}

std::size_t choose_default(const Checkpoint& checkpoint) {
  constexpr std::size_t kPreferred = 1024;
  if (checkpoint.heads.empty()) return checkpoint.spec.encoder.hidden;
  if (checkpoint.heads.contains(kPreferred)) return kPreferred;
  if (checkpoint.spec.modules_head_folder) {
    for (const auto& [size, folder] : checkpoint.heads) {
      if (folder == *checkpoint.spec.modules_head_folder) return size;
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

}  // namespace

const std::vector<std::string>& small_files() {
  static const Immortal<std::vector<std::string>> names(kNames.begin(), kNames.end());
  return *names;
}

std::shared_ptr<const Checkpoint> read_checkpoint(ModelFiles& files, const KnownModel& known,
                                                  const std::stop_token& stop) {
  std::vector<AwaitedFile> awaited;
  for (const char* name : kNames) {
    awaited.emplace_back(files, name, awaited.empty() ? AwaitedFile::Need::required : AwaitedFile::Need::optional);
  }
  const fs::path config = awaited[0].get(stop);
  const auto text = [&](std::size_t i) {
    const fs::path path = awaited[i].get(stop);
    return path.empty() ? std::nullopt : std::optional(read_sound_text(path));
  };
  weights::SpecFiles texts;
  texts.source = files.source();
  texts.config_json = read_sound_text(config);
  texts.modules_json = text(1);
  texts.pooling_json = text(2);
  texts.sentence_transformers_json = text(3);
  texts.sentence_bert_json = text(4);
  texts.tokenizer_config_json = text(5);

  auto checkpoint = std::make_shared<Checkpoint>();
  checkpoint->spec = weights::parse_model_spec(texts);
  checkpoint->heads = find_heads(files, known, checkpoint->spec, stop);
  for (const auto& [size, folder] : checkpoint->heads) checkpoint->dimensions.push_back(size);
  if (checkpoint->dimensions.empty()) checkpoint->dimensions.push_back(checkpoint->spec.encoder.hidden);
  checkpoint->default_dimension = choose_default(*checkpoint);
  checkpoint->max_length_limit = std::min(checkpoint->spec.encoder.max_positions, kMaxInput);
  checkpoint->default_max_length =
      std::min(checkpoint->spec.max_seq_length.value_or(checkpoint->max_length_limit), checkpoint->max_length_limit);
  checkpoint->prompts =
      Prompts(checkpoint->spec.prompts, is_stella(*checkpoint, known.name), checkpoint->spec.default_prompt_name);
  checkpoint->directory = config.parent_path();
  checkpoint->source = files.source();
  return checkpoint;
}

}  // namespace stella::engine
