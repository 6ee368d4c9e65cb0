#include "engine/model_parts.hpp"

#include "base/mapped_file.hpp"
#include "base/thread_pool.hpp"
#include "base/typed_error.hpp"
#include "engine/awaited.hpp"
#include "engine/compute.hpp"
#include "engine/source_identity.hpp"
#include "engine/tensor_files.hpp"
#include "engine/validation.hpp"
#include "stella/error.hpp"
#include "tokenizer/tokenizer_file.hpp"
#include "weights/tensors.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;

DownloadedFile fetched(std::string file, fs::path path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return {std::move(file), std::move(path), error ? 0 : static_cast<std::uint64_t>(size)};
}

tokenizer::TokenizerSettings tokenizer_settings(const weights::ModelSpec& spec) {
  tokenizer::TokenizerSettings settings;
  settings.lowercase_first = spec.lower_case;
  if (const auto& bert = spec.bert_text) {
    settings.bert_lowercase = bert->lowercase;
    settings.bert_strip_accents = bert->strip_accents;
    settings.bert_chinese_chars = bert->chinese_chars;
  }
  return settings;
}

/// Asks `source` to stop.
struct Stop {
  std::stop_source& source;
  void operator()() const { source.request_stop(); }
};

/// A part of a model and its place in the memory, which goes last.
template <class T>
std::shared_ptr<const T> with_lease(std::shared_ptr<MemoryLease> lease, std::shared_ptr<const T> part) {
  if (!lease) return part;
  struct Held {
    std::shared_ptr<MemoryLease> lease;
    std::shared_ptr<const T> part;
  };
  lease->settle();
  const T* const value = part.get();
  return {std::make_shared<const Held>(Held{std::move(lease), std::move(part)}), value};
}

}  // namespace

void prepare_loading() {
  tokenizer::prepare_json();
}

std::shared_ptr<ModelParts> ModelParts::create(const Machine& machine, ModelSetup setup) {
  std::shared_ptr<ModelParts> parts(new ModelParts(machine, std::move(setup)));
  parts->prepare();
  return parts;
}

/// Runs `work` with a token that the runtime's end stops too, which it then says.
template <class Work>
auto ModelParts::until_stopped(const std::stop_token& asked, Work work) const {
  std::stop_source either;
  const std::stop_callback by_caller(asked, Stop{either});
  const std::stop_callback by_end(machine_.shut_down, Stop{either});
  try {
    return work(either.get_token());
  } catch (const Error& error) {
    if (error.errc() != Errc::cancelled || !machine_.shut_down.stop_requested()) throw;
    throw Error(Errc::shut_down, "the runtime is shutting down");
  }
}

/// Makes a part, and once more where it failed on a damaged file that could be replaced meanwhile.
template <class Make>
auto ModelParts::make_or_mend(const std::stop_token& stop, Make make) const {
  try {
    return make(stop);
  } catch (...) {
    if (!may_be_damage(std::current_exception())) throw;
    Awaited<bool> replaced([&](const std::stop_token& token, auto done) { files().mend(token, std::move(done)); });
    if (!replaced.get(stop)) throw;
  }
  return make(stop);
}

template <class T, class Make>
std::shared_ptr<SharedOnce<T>> ModelParts::part(Make make) const {
  // Weakly: this owns the parts. An attempt whose model is gone has nobody left to wait for it.
  return SharedOnce<T>::create(*machine_.loading, [weak = weak_from_this(), make](const std::stop_token& stop) {
    const auto self = weak.lock();
    if (!self) throw Error(Errc::cancelled, "cancelled");
    return self->until_stopped(stop, [&](const std::stop_token& either) {
      return self->make_or_mend(either, [&](const std::stop_token& token) { return make(*self, token); });
    });
  });
}

void ModelParts::prepare() {
  checkpoint_ = part<Checkpoint>([](const ModelParts& self, const std::stop_token& stop) {
    return read_checkpoint(self.files(), self.known(), stop);
  });
  tokenizer_ = part<tokenizer::Tokenizer>(
      [](const ModelParts& self, const std::stop_token& stop) { return self.make_tokenizer(stop); });
  encoder_ =
      part<LoadedEncoder>([](const ModelParts& self, const std::stop_token& stop) { return self.make_encoder(stop); });
}

std::shared_ptr<SharedOnce<Head>> ModelParts::head_part(std::size_t dimension) {
  const std::lock_guard lock(heads_mutex_);
  std::shared_ptr<SharedOnce<Head>>& entry = heads_[dimension];
  if (!entry) {
    entry = part<Head>(
        [dimension](const ModelParts& self, const std::stop_token& stop) { return self.make_head(dimension, stop); });
  }
  return entry;
}

/// Runs `work` on a loading thread and completes with what it returns or throws.
template <class T, class Work>
void ModelParts::on_a_thread(const std::stop_token& stop, Completion<T> done, Work work) const {
  machine_.loading->post([self = shared_from_this(), stop, done = std::move(done), work = std::move(work)]() mutable {
    T value{};
    std::exception_ptr error;
    try {
      value = self->until_stopped(stop, [&](const std::stop_token& either) { return work(*self, either); });
    } catch (...) {
      error = typed_error(std::current_exception());
    }
    self = nullptr;  // whoever is told next may end everything that it holds
    done(std::move(error), std::move(value));
  });
}

void ModelParts::describe(const std::stop_token& stop, Completion<Description> done) {
  checkpoint_->get(stop, [self = shared_from_this(), stop, done = std::move(done)](
                             std::exception_ptr error, std::shared_ptr<const Checkpoint> checkpoint) mutable {
    if (error) return done(std::move(error), {});
    self->on_a_thread<Description>(
        stop, std::move(done), [checkpoint = std::move(checkpoint)](const ModelParts& parts, const std::stop_token&) {
          return Description{checkpoint, parts.precision_choice(*checkpoint)};
        });
  });
}

void ModelParts::needs(const std::stop_token& stop, Completion<LoadNeeds> done) {
  on_a_thread<LoadNeeds>(stop, std::move(done), [](const ModelParts& self, const std::stop_token& token) {
    AwaitedTensors files(self.files());
    const auto checkpoint = self.checkpoint_->wait(token);
    return load_needs(self.encoder_job(*checkpoint, tensor_paths(files.get(token))), self.setup_.precision);
  });
}

void ModelParts::load(const std::stop_token& stop, Completion<LoadedParts> done) {
  encoder_->get(stop, [self = shared_from_this(), done = std::move(done)](
                          std::exception_ptr error, std::shared_ptr<const LoadedEncoder> encoder) mutable {
    if (error) return done(std::move(error), {});
    auto tokenizer = encoder->tokenizer;
    done(nullptr, {self->checkpoint_->peek(), std::move(tokenizer), std::move(encoder)});
  });
}

std::vector<std::shared_ptr<SharedOnce<Head>>> ModelParts::head_parts() const {
  std::vector<std::shared_ptr<SharedOnce<Head>>> parts;
  const std::lock_guard lock(heads_mutex_);
  for (const auto& [dimension, part] : heads_) parts.push_back(part);
  return parts;
}

std::shared_ptr<const Head> ModelParts::peek_head(std::size_t dimension) const {
  const std::lock_guard lock(heads_mutex_);
  const auto part = heads_.find(dimension);
  return part == heads_.end() ? nullptr : part->second->peek();
}

MemoryUse ModelParts::memory() const {
  MemoryUse use;
  if (const auto loaded = encoder_->peek()) {
    use.mapped_bytes = loaded->encoder->mapped_bytes();
    use.private_bytes = loaded->encoder->weight_bytes() - use.mapped_bytes;
  }
  for (const auto& part : head_parts()) {
    if (const auto head = part->peek()) use.private_bytes += head->head->weight_bytes();
  }
  return use;
}

void ModelParts::let_go() {
  for (const auto& part : head_parts()) part->reset();
  encoder_->reset();
  tokenizer_->reset();
}

std::shared_ptr<MemoryLease> ModelParts::reserve(ModelPart part, const LoadNeeds& needs,
                                                 const std::stop_token& stop) const {
  if (!setup_.memory) return nullptr;
  Awaited<std::shared_ptr<MemoryLease>> lease(
      [&](const std::stop_token& token, auto done) { setup_.memory->reserve(part, needs, token, std::move(done)); });
  return lease.get(stop);
}

std::shared_ptr<const tokenizer::Tokenizer> ModelParts::make_tokenizer(const std::stop_token& stop) const {
  AwaitedFile file(files(), "tokenizer.json", AwaitedFile::Need::required);
  const auto checkpoint = checkpoint_->wait(stop);
  const fs::path path = file.get(stop);
  auto tokenizer = std::make_shared<const tokenizer::Tokenizer>(
      tokenizer::Tokenizer::from_file(path, tokenizer_settings(checkpoint->spec)));
  check_sound(path, MappedFile(path).bytes());  // other tokens are as wrong as other weights
  return tokenizer;
}

EncoderJob ModelParts::encoder_job(const Checkpoint& checkpoint, std::vector<fs::path> files) const {
  EncoderJob job;
  job.source = setup_.files->source();
  job.spec = checkpoint.spec.encoder;
  job.files = std::move(files);
  job.kernels = machine_.kernels;
  job.packed_folder = setup_.packed_folder;
  job.small_bytes = setup_.small_encoder_bytes;
  return job;
}

std::shared_ptr<const LoadedEncoder> ModelParts::make_encoder(const std::stop_token& stop) const {
  AwaitedTensors awaited(files());  // fetched while the other parts are
  const auto tokenizer = tokenizer_->wait(stop);
  const auto checkpoint = checkpoint_->wait(stop);
  EncoderJob job = encoder_job(*checkpoint, tensor_paths(awaited.get(stop)));
  const auto check = [&] {
    if (stop.stop_requested()) throw Error(Errc::cancelled, "cancelled while the model was being loaded");
  };
  check();
  std::shared_ptr<MemoryLease> lease;
  if (setup_.memory) lease = reserve(ModelPart::encoder, load_needs(job, setup_.precision), stop);
  // Not the compute thread's: packing takes seconds, in which what is loaded answers its requests. The system shares
  // the processors between the two, and a team that lives for one load costs a few threads and no idle ones.
  ParallelTeam team(machine_.compute->threads());
  job.tokenizer = tokenizer;
  job.team = &team;
  job.on_progress = [&](std::size_t bytes, std::size_t total) {
    check();
    if (setup_.on_load && total > 0) setup_.on_load(static_cast<double>(bytes) / static_cast<double>(total));
  };
  job.on_more_needs = [&](const LoadNeeds& needs) {
    lease = nullptr;  // what was said to be needed is no longer
    lease = reserve(ModelPart::encoder, needs, stop);
  };
  LoadedEncoder loaded = *load_encoder(job, setup_.precision);
  loaded.encoder = with_lease(std::move(lease), std::move(loaded.encoder));
  return std::make_shared<const LoadedEncoder>(std::move(loaded));
}

std::optional<PrecisionChoice> ModelParts::precision_choice(const Checkpoint& checkpoint) const {
  if (const auto loaded = encoder_->peek()) return loaded->choice;
  auto files = present_tensors(checkpoint.directory);
  if (!files) return std::nullopt;
  return known_choice(encoder_job(checkpoint, *std::move(files)), setup_.precision);
}

std::shared_ptr<const Head> ModelParts::make_head(std::size_t dimension, const std::stop_token& stop) const {
  const auto checkpoint = checkpoint_->wait(stop);
  const std::string& folder = checkpoint->heads.at(dimension);
  AwaitedFile awaited_config(files(), folder + "/config.json", AwaitedFile::Need::required);
  AwaitedFile awaited_weights(files(), folder + "/" + kWeightsFile, AwaitedFile::Need::required);
  const fs::path config = awaited_config.get(stop);
  const fs::path weights = awaited_weights.get(stop);
  const weights::HeadSpec spec = weights::parse_head_spec(read_sound_text(config), folder, checkpoint->source);
  const std::size_t hidden = checkpoint->spec.encoder.hidden;
  if (spec.in != hidden || spec.out != dimension) {
    throw Error(Errc::malformed_file,
                checkpoint->source + "/" + folder + "/config.json: the head is " + std::to_string(spec.in) + " to " +
                    std::to_string(spec.out) + ", but " + std::to_string(hidden) + " to " + std::to_string(dimension) +
                    " is needed",
                {.file = config.string()});
  }
  const std::uint64_t bytes = models::DenseHead::packed_bytes(spec, *machine_.kernels);
  auto lease = reserve(ModelPart::head, {bytes, bytes, 0}, stop);
  const auto tensors = std::make_shared<const weights::Tensors>(weights::Tensors::open(std::array{weights}));
  SourceCheck sound(tensors, identify(checkpoint->source, {weights}).hashes);
  ParallelTeam alone(1);
  models::LoadContext context;
  context.kernels = machine_.kernels;
  context.team = &alone;
  std::shared_ptr<const models::DenseHead> head = std::make_shared<models::DenseHead>(spec, *tensors, context);
  sound.finish([&] {
    if (stop.stop_requested()) throw Error(Errc::cancelled, "cancelled while a head was being loaded");
  });
  return std::make_shared<const Head>(Head{with_lease(std::move(lease), std::move(head))});
}

std::vector<DownloadedFile> ModelParts::fetch_all(const DownloadRequest& request, const std::stop_token& asked) const {
  const Together together(asked);
  const std::stop_token stop = together.token();
  AwaitedTensors tensors(files(), &together);
  std::vector<AwaitedFile> awaited;
  const auto ask = [&](const std::string& file, AwaitedFile::Need need) {
    awaited.emplace_back(files(), file, need, &together);
  };
  for (const std::string& file : small_files()) ask(file, AwaitedFile::Need::optional);
  ask("tokenizer.json", AwaitedFile::Need::required);
  return together.run([&] {
    const auto checkpoint = checkpoint_->wait(stop);
    std::vector<std::size_t> dimensions = request.all_heads ? checkpoint->dimensions : request.dimensions;
    if (dimensions.empty()) dimensions.push_back(checkpoint->default_dimension);
    std::sort(dimensions.begin(), dimensions.end());
    dimensions.erase(std::unique(dimensions.begin(), dimensions.end()), dimensions.end());
    for (const std::size_t dimension : dimensions) {
      validate_dimension(setup_.known.name, dimension, checkpoint->dimensions);
      if (checkpoint->heads.empty()) continue;
      const std::string& folder = checkpoint->heads.at(dimension);
      ask(folder + "/config.json", AwaitedFile::Need::required);
      ask(folder + "/" + kWeightsFile, AwaitedFile::Need::required);
    }
    std::vector<DownloadedFile> all;
    for (AwaitedFile& file : awaited) {
      if (fs::path path = file.get(stop); !path.empty()) all.push_back(fetched(file.name(), std::move(path)));
    }
    for (AwaitedTensors::File& file : tensors.get(stop)) all.push_back(fetched(file.name, std::move(file.path)));
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.file < b.file; });
    return all;
  });
}

void ModelParts::download(DownloadRequest request, const std::stop_token& stop,
                          Completion<std::vector<DownloadedFile>> done) {
  on_a_thread<std::vector<DownloadedFile>>(
      stop, std::move(done), [request = std::move(request)](const ModelParts& self, const std::stop_token& token) {
        return self.fetch_all(request, token);
      });
}

}  // namespace stella::engine
