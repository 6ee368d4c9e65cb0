// Token ids by strangers: lists of any numbers, held to a naive statement of which are taken.
#include "server/routes/openai.hpp"
#include "server/routes/tei.hpp"
#include "server_support.hpp"

#include <algorithm>
#include <vector>

using namespace stella;
using fuzz::check;
using server::Family;

namespace {

using Lists = std::vector<std::vector<std::int64_t>>;

/// Numbers of one to eight bytes, near the limits as often as not; 0xFF ends a list.
Lists lists_of(const std::uint8_t* data, std::size_t size) {
  Lists lists(1);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint8_t code = data[i];
    if (code == 0xFF) {
      lists.emplace_back();
      continue;
    }
    std::int64_t value = code;
    if (code >= 0xC0) {
      constexpr std::int64_t kNear[] = {1000,           101, 102, std::int64_t{1} << 31, std::int64_t{1} << 32,
                                        INT64_MAX - 64, 0};
      value = kNear[(code - 0xC0) % std::size(kNear)] + (i + 1 < size ? data[++i] % 5 - 2 : 0);
    }
    lists.back().push_back(value);
  }
  return lists;
}

std::string json_of(const Lists& lists) {
  std::string out = "[";
  for (const auto& list : lists) {
    out += out.size() == 1 ? "[" : ",[";
    for (const std::int64_t id : list) out += (out.back() == '[' ? "" : ",") + std::to_string(id);
    out += "]";
  }
  return out + "]";
}

bool all(const Lists& lists, bool (*holds)(const std::vector<std::int64_t>&)) {
  return std::all_of(lists.begin(), lists.end(), holds);
}

bool is_known(const std::vector<std::int64_t>& list) {
  return !list.empty() && std::all_of(list.begin(), list.end(), [](std::int64_t id) { return id >= 0 && id < 1000; });
}

bool is_whole(const std::vector<std::int64_t>& list) {
  return list.size() >= 2 && list.front() == 101 && list.back() == 102;
}

void check_same(const std::vector<TokenIds>& taken, const Lists& given) {
  check(taken.size() == given.size(), "every list is taken");
  for (std::size_t i = 0; i < given.size(); ++i)
    check(std::equal(taken[i].begin(), taken[i].end(), given[i].begin(), given[i].end()), "ids are taken as they are");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const server::ModelFacts facts = fuzz::server_facts();
  const Lists lists = lists_of(data, size);
  const std::string ids = json_of(lists);
  const bool good = lists.size() <= fuzz::kMaxBatch && all(lists, is_known);

  std::vector<TokenIds> taken;
  const bool openai = fuzz::takes_or_answers(Family::openai, [&] {
    taken = server::parse_openai(server::parse_json("{\"input\":" + ids + "}"), facts).inputs.ids;
  });
  check(openai == (good && all(lists, is_whole)),
        "OpenAI's route takes ids of this vocabulary with its special tokens");
  if (openai) check_same(taken, lists);

  const bool tei = fuzz::takes_or_answers(Family::tei, [&] {
    taken = server::parse_embed(server::parse_json("{\"inputs\":" + ids + "}"), facts).inputs.ids;
  });
  check(tei == good, "TEI's route takes ids of this vocabulary");
  if (tei) check_same(taken, lists);

  const bool decode = fuzz::takes_or_answers(
      Family::tei, [&] { taken = server::parse_decode(server::parse_json("{\"ids\":" + ids + "}"), facts).ids; });
  check(decode == good, "so does /decode");
  if (decode) check_same(taken, lists);
  return 0;
}
