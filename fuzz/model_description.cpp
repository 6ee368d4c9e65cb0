// config.json and its neighbours, each ended by a zero byte; the last piece is a head's config.json.
#include "fuzz.hpp"
#include "weights/json_reader.hpp"
#include "weights/model_spec.hpp"

using namespace stella;
using fuzz::check;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Pieces pieces(data, size);
  const auto optional = [&]() -> std::optional<std::string> {
    std::string piece = pieces.next();
    if (piece.empty()) return std::nullopt;
    return piece;
  };
  weights::SpecFiles files;
  files.source = "model";
  files.config_json = pieces.next();
  files.modules_json = optional();
  files.pooling_json = optional();
  files.sentence_transformers_json = optional();
  files.sentence_bert_json = optional();
  files.tokenizer_config_json = optional();
  fuzz::holds_or_throws([&] {
    const weights::ModelSpec spec = weights::parse_model_spec(files);
    const weights::EncoderSpec& encoder = spec.encoder;
    constexpr std::size_t kLargest = weights::JsonObject::kLargest;
    for (const std::size_t value : {encoder.vocab_size, encoder.hidden, encoder.layers, encoder.heads, encoder.kv_heads,
                                    encoder.head_dim, encoder.intermediate, encoder.max_positions}) {
      check(value > 0 && value <= kLargest, "sizes are positive and of 31 bits");
    }
    check(encoder.heads % encoder.kv_heads == 0, "heads share keys evenly");
    check(encoder.norm_eps >= 0 && encoder.rope_theta > 0 && encoder.rope_ntk_factor > 0, "constants are positive");
    check(!spec.max_seq_length || *spec.max_seq_length > 0, "a longest input has a token");
  });
  const std::string head = pieces.next();
  fuzz::holds_or_throws([&] {
    const weights::HeadSpec spec = weights::parse_head_spec(head, "2_Dense_256", "model");
    check(spec.in > 0 && spec.out > 0, "a head has a size");
  });
  return 0;
}
