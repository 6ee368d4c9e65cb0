#include "tokenizer/tokenizer.hpp"

#include "base/lfs.hpp"
#include "base/mapped_file.hpp"
#include "base/utf8.hpp"
#include "stella/error.hpp"
#include "tokenizer/tokenizer_file.hpp"
#include "tokenizer/word_cache.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace stella::tokenizer {
namespace {

/// What one encode() works in; kept for the next.
struct EncodeScratch {
  std::vector<NormalizerScratch> normalized;  // one for each normalizer
  Bpe::Scratch bpe;
  WordPiece::Scratch wordpiece;
  WordCache cache;
};

void apply_settings(const TokenizerSettings& settings, std::vector<Normalizer>& normalizers) {
  for (Normalizer& normalizer : normalizers) {
    const auto* const bert = std::get_if<BertNormalizer>(&normalizer);
    if (bert == nullptr) continue;
    BertNormalizerOptions options = bert->options();
    options.lowercase = settings.bert_lowercase.value_or(options.lowercase);
    options.strip_accents = settings.bert_strip_accents.value_or(options.strip_accents);
    options.handle_chinese_chars = settings.bert_chinese_chars.value_or(options.handle_chinese_chars);
    normalizer.emplace<BertNormalizer>(options);
  }
}

}  // namespace

struct Tokenizer::Impl {
  TokenizerParts parts;
  Vocabulary added;    // content as id_to_token() shows it
  Vocabulary special;  // contents of special tokens, as the file has them
  AddedTokenFinder in_raw_text;
  AddedTokenFinder in_normalized_text;

  void assign_added_tokens(const std::string& source);
  std::string_view normalize(std::string_view text, std::vector<NormalizerScratch>& scratch, Budget& budget) const;
  void normalize(AlignedText& text, Budget& budget) const;
  void encode_text(std::string_view text, EncodeScratch& scratch, Budget& budget,
                   std::vector<std::int32_t>& ids) const;
  template <class Model, class Scratch>
  void encode_words(const Model& model, Scratch& scratch, std::string_view text, WordCache& cache, Budget& budget,
                    std::vector<std::int32_t>& ids) const;
  /// The same as encode_text(), with each id's offsets and, where they are trimmed, its spaces.
  void encode_text(std::string_view text, EncodeScratch& scratch, Budget& budget, Encoding& result,
                   std::vector<TokenSpaces>& spaces) const;
  template <class Model, class Scratch>
  void encode_words(const Model& model, Scratch& scratch, const AlignedText& text, std::size_t begin, std::size_t end,
                    Budget& budget, Encoding& result, std::vector<TokenSpaces>& spaces) const;

  std::unique_ptr<EncodeScratch> borrow() const;
  void give_back(std::unique_ptr<EncodeScratch> scratch) const;

  mutable std::mutex idle_mutex;
  mutable std::vector<std::unique_ptr<EncodeScratch>> idle;  // at most one for each thread that ever encoded at once
};

/// Ids follow the library: those of the file do not count, a token of the model keeps its id, others are numbered on.
void Tokenizer::Impl::assign_added_tokens(const std::string& source) {
  Vocabulary known;  // content → index in `tokens`
  std::vector<AddedToken> tokens;
  std::size_t bytes = 0;
  auto next_id = static_cast<std::int32_t>(parts.vocabulary.size());
  for (AddedToken& token : parts.added_tokens) {
    if (token.content.empty()) continue;
    bytes += token.content.size();
    if (token.special) special.set(token.content, 0);
    const std::int32_t at = known.find(token.content);
    if (at < 0) {
      known.set(token.content, static_cast<std::int32_t>(tokens.size()));
      const std::int32_t id = parts.vocabulary.find(token.content);
      token.id = id >= 0 ? id : next_id++;
      tokens.push_back(std::move(token));
    } else {
      AddedToken& earlier = tokens[static_cast<std::size_t>(at)];
      token.id = earlier.id;
      earlier = std::move(token);
    }
  }
  std::vector<AddedToken> raw;
  std::vector<AddedToken> normalized;
  std::vector<NormalizerScratch> scratch(parts.normalizers.size());
  Vocabulary patterns;
  Budget budget(bytes);
  std::size_t normalized_bytes = 0;
  for (AddedToken& token : tokens) {
    if (token.normalized) {
      const std::string_view pattern = normalize(token.content, scratch, budget);
      normalized_bytes += pattern.size();
      check_added_token(pattern.size(), normalized_bytes, source);
      if (pattern.empty() || patterns.find(pattern) >= 0) {
        throw Error(Errc::malformed_file,
                    source + ": added token '" + token.content +
                        "' is empty or equals another once it is normalized; download the file again",
                    {.file = source});
      }
      token.content = pattern;
      patterns.set(token.content, 0);
    }
    added.set(token.content, token.id);
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  parts.added_tokens.clear();
  in_raw_text = AddedTokenFinder(std::move(raw));
  in_normalized_text = AddedTokenFinder(std::move(normalized));
}

std::string_view Tokenizer::Impl::normalize(std::string_view text, std::vector<NormalizerScratch>& scratch,
                                            Budget& budget) const {
  for (std::size_t i = 0; i < parts.normalizers.size(); ++i) {
    text = std::visit(
        [&](const auto& normalizer) {
          if constexpr (requires { normalizer.apply(text, scratch[i], budget); }) {
            return normalizer.apply(text, scratch[i], budget);
          } else {
            return normalizer.apply(text, scratch[i]);
          }
        },
        parts.normalizers[i]);
    budget.check("normalizer");
  }
  return text;
}

void Tokenizer::Impl::normalize(AlignedText& text, Budget& budget) const {
  for (const Normalizer& one : parts.normalizers) {
    std::visit(
        [&](const auto& normalizer) {
          if constexpr (requires { normalizer.apply(text, budget); }) {
            normalizer.apply(text, budget);
          } else {
            normalizer.apply(text);
          }
        },
        one);
    budget.check("normalizer");
  }
}

template <class Model, class Scratch>
void Tokenizer::Impl::encode_words(const Model& model, Scratch& scratch, std::string_view text, WordCache& cache,
                                   Budget& budget, std::vector<std::int32_t>& ids) const {
  const auto encode = [&](std::string_view word) {
    WordCache::Entry* const place = cache.place(word);
    if (WordCache::find(place, word, ids)) return;
    budget.check("pre_tokenizer");
    const std::size_t before = ids.size();
    model.encode_word(word, scratch, budget, ids);
    WordCache::store(place, word, std::span(ids).subspan(before));
  };
  for_each_word(parts.splitters, text, budget, encode);
}

void Tokenizer::Impl::encode_text(std::string_view text, EncodeScratch& scratch, Budget& budget,
                                  std::vector<std::int32_t>& ids) const {
  const auto push = [&ids](std::int32_t id, std::string_view) { ids.push_back(id); };
  const auto words = [&](std::string_view part) {
    if (const Bpe* bpe = std::get_if<Bpe>(&parts.model)) {
      encode_words(*bpe, scratch.bpe, part, scratch.cache, budget, ids);
    } else {
      encode_words(std::get<WordPiece>(parts.model), scratch.wordpiece, part, scratch.cache, budget, ids);
    }
  };
  const auto normalized = [&](std::string_view part) {
    in_normalized_text.split(normalize(part, scratch.normalized, budget), budget, words, push);
  };
  in_raw_text.split(text, budget, normalized, push);
}

template <class Model, class Scratch>
void Tokenizer::Impl::encode_words(const Model& model, Scratch& scratch, const AlignedText& text, std::size_t begin,
                                   std::size_t end, Budget& budget, Encoding& result,
                                   std::vector<TokenSpaces>& spaces) const {
  std::vector<TokenOffsets> ranges;
  const auto encode = [&](std::string_view word, std::span<const TokenOffsets> offsets) {
    budget.check("pre_tokenizer");
    ranges.clear();
    const std::size_t before = result.ids.size();
    model.encode_word(word, scratch, budget, result.ids, ranges);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      result.offsets.push_back({offsets[ranges[i].start].start, offsets[ranges[i].stop - 1].stop});
      if (!parts.trims.empty()) spaces.emplace_back(parts.vocabulary.token(result.ids[before + i]));
    }
  };
  for_each_aligned_word(parts.splitters, text.text().substr(begin, end - begin),
                        text.offsets().subspan(begin, end - begin), budget, encode);
}

void Tokenizer::Impl::encode_text(std::string_view text, EncodeScratch& scratch, Budget& budget, Encoding& result,
                                  std::vector<TokenSpaces>& spaces) const {
  const auto push = [&](std::int32_t id, std::string_view token, const TokenOffsets& offsets) {
    result.ids.push_back(id);
    result.offsets.push_back(offsets);
    if (!parts.trims.empty()) spaces.emplace_back(token);
  };
  const auto begin_in = [](std::string_view whole, std::string_view part) {
    return static_cast<std::size_t>(part.data() - whole.data());
  };
  const auto in_raw = [&](std::string_view part) {
    AlignedText aligned(part, begin_in(text, part));
    normalize(aligned, budget);
    const auto words = [&](std::string_view words_of) {
      const std::size_t begin = begin_in(aligned.text(), words_of);
      const std::size_t end = begin + words_of.size();
      if (const Bpe* bpe = std::get_if<Bpe>(&parts.model)) {
        encode_words(*bpe, scratch.bpe, aligned, begin, end, budget, result, spaces);
      } else {
        encode_words(std::get<WordPiece>(parts.model), scratch.wordpiece, aligned, begin, end, budget, result,
                     spaces);
      }
    };
    in_normalized_text.split(aligned.text(), budget, words, [&](std::int32_t id, std::string_view token) {
      const auto offsets = aligned.offsets().subspan(begin_in(aligned.text(), token), token.size());
      push(id, token, {offsets.front().start, offsets.back().stop});
    });
  };
  in_raw_text.split(text, budget, in_raw, [&](std::int32_t id, std::string_view token) {
    const std::size_t begin = begin_in(text, token);
    push(id, token, {begin, begin + token.size()});
  });
}

std::unique_ptr<EncodeScratch> Tokenizer::Impl::borrow() const {
  {
    const std::lock_guard lock(idle_mutex);
    if (!idle.empty()) {
      auto scratch = std::move(idle.back());
      idle.pop_back();
      return scratch;
    }
  }
  auto scratch = std::make_unique<EncodeScratch>();
  scratch->normalized.resize(parts.normalizers.size());
  return scratch;
}

void Tokenizer::Impl::give_back(std::unique_ptr<EncodeScratch> scratch) const {
  const std::lock_guard lock(idle_mutex);
  idle.push_back(std::move(scratch));
}

Tokenizer Tokenizer::from_json(std::string_view json, const std::string& source, const TokenizerSettings& settings) {
  refuse_lfs_pointer(json, source);
  auto impl = std::make_unique<Impl>();
  // sentence-transformers looks for a Lowercase of the file's own, and BERT's is none to it; twice does no harm.
  if (settings.lowercase_first) impl->parts.normalizers.emplace_back(std::in_place_type<LowercaseNormalizer>);
  read_tokenizer_json(json, source, impl->parts);
  apply_settings(settings, impl->parts.normalizers);
  impl->assign_added_tokens(source);
  return Tokenizer(std::move(impl));
}

Tokenizer Tokenizer::from_file(const std::filesystem::path& path, const TokenizerSettings& settings) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string(), settings);
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

namespace {

/// Keeps `kept` of the elements from `before` on, on the side that is not cut.
template <class T>
void cut(std::vector<T>& from, std::size_t before, std::size_t kept, TruncationSide side) {
  if (side == TruncationSide::left) {
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(before), from.end() - static_cast<std::ptrdiff_t>(kept));
  } else {
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(before + kept), from.end());
  }
}

}  // namespace

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const std::size_t specials = options.add_special_tokens ? special_tokens_per_text() : 0;
  if (options.max_length < specials) {
    throw Error(Errc::invalid_argument, "a maximum length of " + std::to_string(options.max_length) +
                                            " tokens leaves no room for the " + std::to_string(specials) +
                                            " special tokens; raise it");
  }
  if (const std::size_t offset = utf8::find_invalid(text); offset != std::string_view::npos) {
    throw Error(Errc::invalid_utf8, "text is not valid UTF-8 at byte " + std::to_string(offset) + "; convert it first");
  }
  if (options.cancelled != nullptr && options.cancelled->load(std::memory_order_relaxed)) {
    throw Error(Errc::cancelled, "cancelled");
  }
  Encoding result;
  result.ids.reserve(text.size() / 3 + specials);
  const auto add = [&](const std::vector<std::int32_t>& ids) {
    if (options.add_special_tokens) result.ids.insert(result.ids.end(), ids.begin(), ids.end());
  };
  add(impl_->parts.around.before);
  const std::size_t before = result.ids.size();
  auto scratch = impl_->borrow();
  Budget budget(text.size(), options.cancelled);
  std::vector<TokenSpaces> spaces;  // of the text's tokens
  if (options.offsets) {
    impl_->encode_text(text, *scratch, budget, result, spaces);
  } else {
    impl_->encode_text(text, *scratch, budget, result.ids);
  }
  impl_->give_back(std::move(scratch));
  const std::size_t own = result.ids.size() - before;
  result.full_tokens = own + specials;
  const std::size_t kept = std::min(own, options.max_length - specials);
  const TruncationSide side = options.truncation_side.value_or(impl_->parts.truncation_side);
  cut(result.ids, before, kept, side);
  add(impl_->parts.around.after);
  if (options.offsets) {
    cut(result.offsets, 0, kept, side);
    if (!spaces.empty()) cut(spaces, 0, kept, side);
    trim_offsets(impl_->parts.trims, text, options.add_special_tokens, spaces, result.offsets);
    result.offsets.insert(result.offsets.begin(), before, {});
    result.offsets.resize(result.ids.size());
    result.special.assign(result.ids.size(), true);
    std::fill_n(result.special.begin() + static_cast<std::ptrdiff_t>(before), kept, false);
  }
  return result;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  const TokenizerParts& parts = impl_->parts;
  if (parts.decoder_error) throw Error(*parts.decoder_error);
  DecodedTokens tokens;
  for (const std::int32_t id : ids) {
    const std::string_view token = id_to_token(id);
    if (token.data() == nullptr || (skip_special_tokens && impl_->special.find(token) >= 0)) continue;
    tokens.emplace_back(token);
  }
  if (parts.decoders) return tokenizer::decode(*parts.decoders, std::move(tokens));
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) text.append(i == 0 ? "" : " ").append(tokens[i]);
  return text;
}

TruncationSide Tokenizer::truncation_side() const noexcept {
  return impl_->parts.truncation_side;
}

std::size_t Tokenizer::special_tokens_per_text() const noexcept {
  return impl_->parts.around.before.size() + impl_->parts.around.after.size();
}

std::string_view Tokenizer::id_to_token(std::int32_t id) const noexcept {
  const std::string_view token = impl_->added.token(id);
  return token.data() == nullptr ? impl_->parts.vocabulary.token(id) : token;
}

}  // namespace stella::tokenizer
