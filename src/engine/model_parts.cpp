#include "engine/model_parts.hpp"

#include "base/mapped_file.hpp"
#include "base/thread_pool.hpp"
#include "base/typed_error.hpp"
#include "engine/compute.hpp"
#include "engine/join.hpp"
#include "engine/source_identity.hpp"
#include "engine/validation.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <utility>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

/// Runs `make` on the pool and completes with what it returns or throws.
template <class T, class Make>
void on_pool(ThreadPool& pool, Completion<T> done, Make make) {
  pool.post([done = std::move(done), make = std::optional(std::move(make))]() mutable {
    T value{};
    std::exception_ptr error;
    try {
      value = (*make)();
    } catch (...) {
      error = typed_error(std::current_exception());
    }
    make.reset();  // whoever is told next may end everything that it holds
    done(error, error ? T{} : std::move(value));
  });
}

DownloadedFile fetched(std::string file, fs::path path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return {std::move(file), std::move(path), error ? 0 : static_cast<std::uint64_t>(size)};
}

/// The shards behind an index, each of them a file of the checkpoint.
void fetch_shards(const std::shared_ptr<ModelFiles>& files, const std::vector<std::string>& names, fs::path index,
                  const std::stop_token& stop, Completion<std::vector<DownloadedFile>> done) {
  struct Shards {
    std::vector<DownloadedFile> files;
    Completion<std::vector<DownloadedFile>> done;
  };
  auto shards = std::make_shared<Shards>();
  shards->files.resize(names.size() + 1);
  shards->files.back() = fetched(kIndexFile, std::move(index));
  shards->done = std::move(done);
  auto join = Join::start(stop, [shards](std::exception_ptr error) {
    if (error) shards->files.clear();
    shards->done(std::move(error), std::move(shards->files));
  });
  for (std::size_t i = 0; i < names.size(); ++i) {
    get_required(*files, names[i], join->token(), join->branch<fs::path>([shards, i, name = names[i]](fs::path path) {
      shards->files[i] = fetched(name, std::move(path));
    }));
  }
  join->close();
}

void fetch_index(const std::shared_ptr<ModelFiles>& files, ThreadPool& pool, const std::stop_token& stop,
                 Completion<std::vector<DownloadedFile>> done) {
  files->get(kIndexFile, stop,
             [files, &pool, stop, done = std::move(done)](std::exception_ptr error, fs::path index) mutable {
               if (error && is_entry_not_found(error)) {
                 error = std::make_exception_ptr(
                     Error(files->is_local() ? Errc::malformed_file : Errc::entry_not_found,
                           "'" + files->source() + "' has neither " + kWeightsFile + " nor " + kIndexFile +
                               "; weights in other formats (pytorch_model.bin, GGUF, ONNX) cannot be "
                               "read, so save the model as safetensors",
                           {.file = kWeightsFile}));
               }
               if (error) return done(std::move(error), {});
               on_pool<std::vector<std::string>>(
                   pool,
                   [files, stop, index, done = std::move(done)](std::exception_ptr failure,
                                                                std::vector<std::string> names) mutable {
                     if (failure) return done(std::move(failure), {});
                     fetch_shards(files, names, std::move(index), stop, std::move(done));
                   },
                   [index, files] {
                     return weights::shard_names(read_sound_text(index), files->source() + "/" + kIndexFile);
                   });
             });
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

std::vector<fs::path> tensor_paths(const std::vector<DownloadedFile>& files) {
  std::vector<fs::path> paths;
  for (const DownloadedFile& file : files) {
    if (file.file != kIndexFile) paths.push_back(file.path);
  }
  return paths;
}

void fetch_tensor_files(const std::shared_ptr<ModelFiles>& files, ThreadPool& pool, const std::stop_token& stop,
                        Completion<std::vector<DownloadedFile>> done) {
  files->get(kWeightsFile, stop,
             [files, &pool, stop, done = std::move(done)](std::exception_ptr error, fs::path path) mutable {
               if (error && is_entry_not_found(error)) return fetch_index(files, pool, stop, std::move(done));
               if (error) return done(std::move(error), {});
               done(nullptr, {fetched(kWeightsFile, std::move(path))});
             });
}

}  // namespace

std::shared_ptr<ModelParts> ModelParts::create(const Machine& machine, ModelSetup setup) {
  std::shared_ptr<ModelParts> parts(new ModelParts(machine, std::move(setup)));
  parts->prepare();
  return parts;
}

// Makes a part, and once more where it failed on a damaged file that could be replaced meanwhile.
template <class T, class Make>
void ModelParts::make_or_mend(const std::stop_token& stop, Completion<std::shared_ptr<const T>> done, Make make) {
  auto last = std::make_shared<Completion<std::shared_ptr<const T>>>(std::move(done));
  make(*this, stop,
       [self = shared_from_this(), stop, last, make](std::exception_ptr error, std::shared_ptr<const T> value) mutable {
         if (!error || !may_be_damage(error)) return (*last)(std::move(error), std::move(value));
         ModelFiles& files = *self->setup_.files;
         files.mend(stop, [self = std::move(self), stop, last, make, error](std::exception_ptr failure, bool replaced) {
           if (failure) return (*last)(std::move(failure), nullptr);
           if (!replaced) return (*last)(error, nullptr);
           make(*self, stop, [last](std::exception_ptr again, std::shared_ptr<const T> made) {
             (*last)(std::move(again), std::move(made));
           });
         });
       });
}

void ModelParts::prepare() {
  // The parts hold the model weakly: it owns them. An attempt whose model is gone has nobody left to wait for it.
  const auto part = [weak = weak_from_this()](auto make) {
    return [weak, make]<class T>(const std::stop_token& stop, Completion<std::shared_ptr<const T>> done) {
      if (const auto self = weak.lock()) return self->make_or_mend<T>(stop, std::move(done), make);
      done(std::make_exception_ptr(Error(Errc::cancelled, "cancelled")), nullptr);
    };
  };
  checkpoint_ = SharedOnce<Checkpoint>::create(part([](ModelParts& self, const std::stop_token& stop, auto done) {
    read_checkpoint(self.setup_.files, self.setup_.known, *self.machine_.pool, stop, std::move(done));
  }));
  tokenizer_ = SharedOnce<tokenizer::Tokenizer>::create(part(
      [](ModelParts& self, const std::stop_token& stop, auto done) { self.make_tokenizer(stop, std::move(done)); }));
  encoder_ = SharedOnce<LoadedEncoder>::create(
      part([](ModelParts& self, const std::stop_token& stop, auto done) { self.make_encoder(stop, std::move(done)); }));
}

std::shared_ptr<SharedOnce<Head>> ModelParts::head_part(std::size_t dimension) {
  const std::lock_guard lock(heads_mutex_);
  std::shared_ptr<SharedOnce<Head>>& entry = heads_[dimension];
  if (!entry) {
    entry = SharedOnce<Head>::create([weak = weak_from_this(), dimension](
                                         const std::stop_token& stop, Completion<std::shared_ptr<const Head>> done) {
      if (const auto self = weak.lock()) {
        return self->make_or_mend<Head>(stop, std::move(done),
                                        [dimension](ModelParts& parts, const auto& token, auto made) {
                                          parts.make_head(dimension, token, std::move(made));
                                        });
      }
      done(std::make_exception_ptr(Error(Errc::cancelled, "cancelled")), nullptr);
    });
  }
  return entry;
}

void ModelParts::describe(const std::stop_token& stop, Completion<Description> done) {
  checkpoint_->get(stop, [self = shared_from_this(), done = std::move(done)](
                             std::exception_ptr error, std::shared_ptr<const Checkpoint> checkpoint) mutable {
    if (error) return done(std::move(error), {});
    ThreadPool& pool = *self->machine_.pool;
    pool.post([self = std::move(self), done = std::move(done), checkpoint = std::move(checkpoint)]() mutable {
      try {
        auto choice = self->precision_choice(*checkpoint);
        done(nullptr, {std::move(checkpoint), std::move(choice)});
      } catch (...) {
        done(std::current_exception(), {});
      }
    });
  });
}

void ModelParts::load(const std::stop_token& stop, Completion<LoadedParts> done) {
  struct Loading {
    LoadedParts parts;
    Completion<LoadedParts> done;
  };
  auto loading = std::make_shared<Loading>();
  loading->done = std::move(done);
  auto join = Join::start(stop, [loading](std::exception_ptr error) {
    LoadedParts parts = error ? LoadedParts{} : std::move(loading->parts);
    loading->done(std::move(error), std::move(parts));
  });
  checkpoint_->get(join->token(), join->branch<std::shared_ptr<const Checkpoint>>(
                                      [loading](auto value) { loading->parts.checkpoint = std::move(value); }));
  tokenizer_->get(join->token(), join->branch<std::shared_ptr<const tokenizer::Tokenizer>>(
                                     [loading](auto value) { loading->parts.tokenizer = std::move(value); }));
  encoder_->get(join->token(), join->branch<std::shared_ptr<const LoadedEncoder>>(
                                   [loading](auto value) { loading->parts.encoder = std::move(value); }));
  join->close();
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
    (loaded->mapped ? use.mapped_bytes : use.private_bytes) += loaded->encoder->weight_bytes();
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

void ModelParts::make_tokenizer(const std::stop_token& stop,
                                Completion<std::shared_ptr<const tokenizer::Tokenizer>> done) {
  struct Parts {
    std::shared_ptr<const Checkpoint> checkpoint;
    fs::path path;
    Completion<std::shared_ptr<const tokenizer::Tokenizer>> done;
  };
  auto parts = std::make_shared<Parts>();
  parts->done = std::move(done);
  auto join = Join::start(stop, [self = shared_from_this(), parts](std::exception_ptr error) {
    if (error) return parts->done(std::move(error), nullptr);
    on_pool<std::shared_ptr<const tokenizer::Tokenizer>>(*self->machine_.pool, std::move(parts->done), [parts] {
      auto tokenizer = std::make_shared<const tokenizer::Tokenizer>(
          tokenizer::Tokenizer::from_file(parts->path, tokenizer_settings(parts->checkpoint->spec)));
      check_sound(parts->path, MappedFile(parts->path).bytes());  // other tokens are as wrong as other weights
      return tokenizer;
    });
  });
  checkpoint_->get(join->token(), join->branch<std::shared_ptr<const Checkpoint>>(
                                      [parts](auto value) { parts->checkpoint = std::move(value); }));
  get_required(*setup_.files, "tokenizer.json", join->token(),
               join->branch<fs::path>([parts](fs::path path) { parts->path = std::move(path); }));
  join->close();
}

void ModelParts::make_encoder(const std::stop_token& stop, Completion<std::shared_ptr<const LoadedEncoder>> done) {
  struct Parts {
    std::shared_ptr<const Checkpoint> checkpoint;
    std::vector<fs::path> files;
    std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
    Completion<std::shared_ptr<const LoadedEncoder>> done;
  };
  auto parts = std::make_shared<Parts>();
  parts->done = std::move(done);
  auto join = Join::start(stop, [self = shared_from_this(), parts, stop](std::exception_ptr error) {
    if (error) return parts->done(std::move(error), nullptr);
    on_pool<std::shared_ptr<const LoadedEncoder>>(*self->machine_.pool, std::move(parts->done), [self, parts, stop] {
      return self->pack_encoder(*parts->checkpoint, parts->files, parts->tokenizer, stop);
    });
  });
  checkpoint_->get(join->token(), join->branch<std::shared_ptr<const Checkpoint>>(
                                      [parts](auto value) { parts->checkpoint = std::move(value); }));
  tokenizer_->get(join->token(), join->branch<std::shared_ptr<const tokenizer::Tokenizer>>(
                                     [parts](auto value) { parts->tokenizer = std::move(value); }));
  fetch_tensor_files(setup_.files, *machine_.pool, join->token(),
                     join->branch<std::vector<DownloadedFile>>(
                         [parts](const std::vector<DownloadedFile>& files) { parts->files = tensor_paths(files); }));
  join->close();
}

EncoderJob ModelParts::encoder_job(const Checkpoint& checkpoint, TensorFiles files) const {
  EncoderJob job;
  job.source = setup_.files->source();
  job.spec = checkpoint.spec.encoder;
  job.files = std::move(files);
  job.kernels = machine_.kernels;
  job.packed_folder = setup_.packed_folder;
  job.small_bytes = setup_.small_encoder_bytes;
  return job;
}

std::shared_ptr<const LoadedEncoder> ModelParts::pack_encoder(const Checkpoint& checkpoint, const TensorFiles& files,
                                                              std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                                              const std::stop_token& stop) const {
  const auto check = [&] {
    if (machine_.shut_down.stop_requested()) throw Error(Errc::shut_down, "the runtime is shutting down");
    if (stop.stop_requested()) throw Error(Errc::cancelled, "cancelled while the model was being loaded");
  };
  check();
  // A team of its own: what is already loaded goes on computing meanwhile.
  ParallelTeam team(machine_.compute->threads());
  EncoderJob job = encoder_job(checkpoint, files);
  job.tokenizer = std::move(tokenizer);
  job.team = &team;
  job.on_progress = [&](std::size_t bytes, std::size_t total) {
    check();
    if (setup_.on_load && total > 0) setup_.on_load(static_cast<double>(bytes) / static_cast<double>(total));
  };
  return load_encoder(job, setup_.precision);
}

std::optional<PrecisionChoice> ModelParts::precision_choice(const Checkpoint& checkpoint) const {
  if (const auto loaded = encoder_->peek()) return loaded->choice;
  const fs::path index = checkpoint.directory / kIndexFile;
  TensorFiles files;
  std::error_code error;
  if (fs::exists(checkpoint.directory / kWeightsFile, error)) {
    files.push_back(checkpoint.directory / kWeightsFile);
  } else if (fs::exists(index, error)) {
    for (const std::string& name : weights::shard_names(read_sound_text(index), index.string())) {
      files.push_back(checkpoint.directory / name);
      if (!fs::exists(files.back(), error)) return std::nullopt;
    }
  }
  if (files.empty()) return std::nullopt;
  return known_choice(encoder_job(checkpoint, std::move(files)), setup_.precision);
}

void ModelParts::make_head(std::size_t dimension, const std::stop_token& stop,
                           Completion<std::shared_ptr<const Head>> done) {
  struct Parts {
    std::shared_ptr<const Checkpoint> checkpoint;
    fs::path config;
    fs::path weights;
    Completion<std::shared_ptr<const Head>> done;
  };
  auto parts = std::make_shared<Parts>();
  parts->done = std::move(done);
  auto join = Join::start(stop, [self = shared_from_this(), parts, stop, dimension](std::exception_ptr error) {
    if (error) return parts->done(std::move(error), nullptr);
    on_pool<std::shared_ptr<const Head>>(*self->machine_.pool, std::move(parts->done), [self, parts, stop, dimension] {
      return self->pack_head(*parts->checkpoint, dimension, parts->config, parts->weights, stop);
    });
  });
  checkpoint_->get(
      join->token(), join->branch<std::shared_ptr<const Checkpoint>>([self = shared_from_this(), parts, dimension,
                                                                      &branches = *join](auto checkpoint) {
        parts->checkpoint = std::move(checkpoint);
        const std::string& folder = parts->checkpoint->heads.at(dimension);
        get_required(self->files(), folder + "/config.json", branches.token(),
                     branches.template branch<fs::path>([parts](fs::path path) { parts->config = std::move(path); }));
        get_required(self->files(), folder + "/" + kWeightsFile, branches.token(),
                     branches.template branch<fs::path>([parts](fs::path path) { parts->weights = std::move(path); }));
      }));
  join->close();
}

std::shared_ptr<const Head> ModelParts::pack_head(const Checkpoint& checkpoint, std::size_t dimension,
                                                  const fs::path& config, const fs::path& weights,
                                                  const std::stop_token& stop) const {
  if (stop.stop_requested()) throw Error(Errc::cancelled, "cancelled while a head was being loaded");
  const std::string& folder = checkpoint.heads.at(dimension);
  const weights::HeadSpec spec = weights::parse_head_spec(read_sound_text(config), folder, checkpoint.source);
  const std::size_t hidden = checkpoint.spec.encoder.hidden;
  if (spec.in != hidden || spec.out != dimension) {
    throw Error(Errc::malformed_file,
                checkpoint.source + "/" + folder + "/config.json: the head is " + std::to_string(spec.in) + " to " +
                    std::to_string(spec.out) + ", but " + std::to_string(hidden) + " to " + std::to_string(dimension) +
                    " is needed",
                {.file = config.string()});
  }
  const auto tensors = std::make_shared<const weights::Tensors>(weights::Tensors::open(std::array{weights}));
  SourceCheck sound(tensors, identify(checkpoint.source, {weights}).hashes);
  ParallelTeam team(1);
  models::LoadContext context;
  context.kernels = machine_.kernels;
  context.team = &team;
  auto head = std::make_shared<const models::DenseHead>(spec, *tensors, context);
  sound.finish([] {});
  return std::make_shared<const Head>(Head{std::move(head)});
}

void ModelParts::download(DownloadRequest request, const std::stop_token& stop,
                          Completion<std::vector<DownloadedFile>> done) {
  struct Downloads {
    std::mutex mutex;
    std::vector<DownloadedFile> files;  // guarded by mutex
    Completion<std::vector<DownloadedFile>> done;

    void add(std::string file, fs::path path) {
      DownloadedFile one = fetched(std::move(file), std::move(path));
      const std::lock_guard lock(mutex);
      files.push_back(std::move(one));
    }
  };
  auto downloads = std::make_shared<Downloads>();
  downloads->done = std::move(done);
  auto join = Join::start(stop, [self = shared_from_this(), downloads](std::exception_ptr error) {
    if (error) downloads->files.clear();
    std::sort(downloads->files.begin(), downloads->files.end(),
              [](const DownloadedFile& a, const DownloadedFile& b) { return a.file < b.file; });
    downloads->done(std::move(error), std::move(downloads->files));
  });
  const auto fetch = [self = shared_from_this(), downloads, &branches = *join](const std::string& file, bool required) {
    Completion<fs::path> keep = branches.branch<fs::path>([downloads, file](fs::path path) {
      if (!path.empty()) downloads->add(file, std::move(path));
    });
    if (required) return get_required(self->files(), file, branches.token(), std::move(keep));
    self->files().get(file, branches.token(),
                      [keep = std::move(keep)](std::exception_ptr error, fs::path path) mutable {
                        if (error && is_entry_not_found(error)) error = nullptr;
                        keep(std::move(error), std::move(path));
                      });
  };
  for (const std::string& file : small_files()) fetch(file, file == "config.json");
  fetch("tokenizer.json", true);
  fetch_tensor_files(setup_.files, *machine_.pool, join->token(),
                     join->branch<std::vector<DownloadedFile>>([downloads](std::vector<DownloadedFile> files) {
                       for (DownloadedFile& file : files) downloads->add(std::move(file.file), std::move(file.path));
                     }));
  checkpoint_->get(join->token(), join->branch<std::shared_ptr<const Checkpoint>>([self = shared_from_this(),
                                                                                   request = std::move(request),
                                                                                   fetch](auto checkpoint) mutable {
    std::vector<std::size_t> dimensions = request.all_heads ? checkpoint->dimensions : request.dimensions;
    if (dimensions.empty()) dimensions.push_back(checkpoint->default_dimension);
    std::sort(dimensions.begin(), dimensions.end());
    dimensions.erase(std::unique(dimensions.begin(), dimensions.end()), dimensions.end());
    for (const std::size_t dimension : dimensions) {
      validate_dimension(self->setup_.known.name, dimension, checkpoint->dimensions);
      if (checkpoint->heads.empty()) continue;
      fetch(checkpoint->heads.at(dimension) + "/config.json", true);
      fetch(checkpoint->heads.at(dimension) + "/" + kWeightsFile, true);
    }
  }));
  join->close();
}

}  // namespace stella::engine
