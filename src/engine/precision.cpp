#include "engine/precision.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace stella::engine {
namespace {

constexpr std::array kPreference{Precision::int16, Precision::bf16, Precision::f32};
constexpr double kAsFast = 0.95;  // of the fastest

// Of what people embed: short and long, with and without an instruction, prose, code, tables, other scripts.
constexpr std::array<const char*, 18> kTexts{
    "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: What are some ways "
    "to "
    "reduce stress?",
    "Instruct: Retrieve semantically similar text.\nQuery: The quick brown fox jumps over the lazy dog.",
    "how long does it take for a transaction to be confirmed",
    "There are many effective ways to reduce stress. Some common techniques include deep breathing, meditation and "
    "physical activity. Engaging in hobbies, spending time in nature and connecting with loved ones can also help. "
    "Setting boundaries, practising self-care and learning to say no can keep stress from building up.",
    "Green tea has been consumed for centuries for its potential health benefits. It contains antioxidants that may "
    "help protect the body against damage caused by free radicals. Regular consumption has been associated with "
    "improved heart health, better brain function and a reduced risk of certain types of cancer.",
    "def binary_search(items, wanted):\n    low, high = 0, len(items)\n    while low < high:\n        middle = (low + "
    "high) // 2\n        if items[middle] < wanted:\n            low = middle + 1\n        else:\n            high = "
    "middle\n    return low",
    "SELECT customer_id, SUM(amount) AS total FROM orders WHERE created_at >= '2024-01-01' GROUP BY customer_id ORDER "
    "BY total DESC LIMIT 10;",
    "2019: 3.14 %, 2020: -2.71 %, 2021: 1.41 %, 2022: 0.577 %, 2023: 161.8 %; total 9,876,543.21",
    "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller staatlichen Gewalt.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "人人生而自由，在尊严和权利上一律平等。",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "The mitochondrion is an organelle found in the cells of most eukaryotes. It generates most of the cell's supply "
    "of "
    "adenosine triphosphate, used as a source of chemical energy. Mitochondria were first discovered by Albert von "
    "Kölliker in 1857 in the voluntary muscles of insects, and named by Carl Benda in 1898.",
    "The parties agree that any dispute arising out of or in connection with this contract shall be finally settled by "
    "arbitration; the seat of arbitration shall be Geneva, and the language of the proceedings shall be English.",
    "terrible battery, great screen!!! would NOT buy again :( 2/5",
    "weather",
    "a",  // the shortest are the hardest: nothing averages out
    "?",
};

}  // namespace

void check_precision(const kernels::Kernels& kernels, Precision wanted) {
  if (wanted == Precision::automatic || kernels::supports(kernels, wanted)) return;
  std::string known = "auto";
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
    if (kernels::supports(kernels, precision)) known += std::string(", ") + to_string(precision);
  }
  throw Error(Errc::unsupported_processor, std::string("precision ") + to_string(wanted) +
                                               " does not run with the kernels \"" + kernels::name_of(kernels) +
                                               "\" of this processor; choose one of: " + known);
}

std::vector<RankedPrecision> rank_precisions(std::vector<RankedPrecision> measured) {
  double fastest = 0;
  for (const RankedPrecision& one : measured) fastest = std::max(fastest, one.speed);
  const auto preference = [](Precision precision) {
    return std::find(kPreference.begin(), kPreference.end(), precision) - kPreference.begin();
  };
  std::stable_sort(measured.begin(), measured.end(), [&](const RankedPrecision& a, const RankedPrecision& b) {
    const bool a_fast = a.speed >= kAsFast * fastest;
    const bool b_fast = b.speed >= kAsFast * fastest;
    if (a_fast != b_fast) return a_fast;
    return a_fast ? preference(a.precision) < preference(b.precision) : a.speed > b.speed;
  });
  // What comes after f32 is slower, or no more exact: it is never taken.
  const auto f32 = std::find_if(measured.begin(), measured.end(),
                                [](const RankedPrecision& one) { return one.precision == Precision::f32; });
  if (f32 != measured.end()) measured.erase(f32 + 1, measured.end());
  return measured;
}

std::vector<RankedPrecision> measure_precisions(const kernels::Kernels& kernels, const weights::EncoderSpec& spec,
                                                ParallelTeam& team) {
  constexpr std::size_t kRows = 256;
  constexpr std::size_t kMaxColumns = 4096;  // more would take longer and say the same
  const std::size_t n = std::min(spec.intermediate, kMaxColumns);
  std::vector<RankedPrecision> measured;
  double f32 = 0;
  for (const Precision precision : {Precision::f32, Precision::int16, Precision::bf16}) {
    if (!kernels::supports(kernels, precision)) continue;
    const double speed = kernels::measure_throughput(kernels, precision, kRows, n, spec.hidden, team);
    if (precision == Precision::f32) f32 = speed;
    measured.push_back({precision, speed / f32});
  }
  return measured;
}

std::string describe_choice(const RankedPrecision& chosen, const models::Agreement& agreement) {
  if (chosen.precision == Precision::f32) return "no faster precision agrees with f32 on this checkpoint";
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(),
                "%.1f times f32's products on this processor; cosine to f32 over %zu texts: mean %.6f, least %.6f",
                chosen.speed, kTexts.size(), agreement.mean, agreement.least);
  return text.data();
}

CalibrationTexts calibration_texts(const tokenizer::Tokenizer& tokenizer) {
  CalibrationTexts texts;
  texts.offsets.push_back(0);
  for (const char* text : kTexts) {
    const tokenizer::Encoding encoding = tokenizer.encode(text);
    texts.ids.insert(texts.ids.end(), encoding.ids.begin(), encoding.ids.end());
    texts.offsets.push_back(static_cast<std::int32_t>(texts.ids.size()));
  }
  return texts;
}

}  // namespace stella::engine
