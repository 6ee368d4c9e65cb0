#include "engine/schedule.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const int kModel = 0;
const int kOtherModel = 0;

/// Texts that have been tokenized already.
Schedule::Request request(RequestId id, std::vector<std::uint32_t> tokens, const std::string& client = "",
                          Urgency urgency = Urgency::bulk, const void* model = &kModel) {
  return {.id = id,
          .model = model,
          .client = client,
          .urgency = urgency,
          .tokenized = true,
          .sizes = std::move(tokens),
          .deadline = {}};
}

/// The requests of a pass, in the order in which its texts were taken.
std::vector<RequestId> requests_of(const std::vector<TextOfRequest>& pass) {
  std::vector<RequestId> ids;
  for (const TextOfRequest& text : pass) ids.push_back(text.request);
  return ids;
}

TEST(Schedule, GivesTextsInOrderAndEachOnce) {
  Schedule schedule;
  ASSERT_TRUE(schedule.add(request(7, {500, 1000, 548, 1, 3000, 2})));
  using Pass = std::vector<TextOfRequest>;
  EXPECT_EQ(schedule.take_pass(Urgency::bulk), (Pass{{7, 0}, {7, 1}, {7, 2}}));  // 2,048 tokens
  EXPECT_EQ(schedule.take_pass(Urgency::bulk), (Pass{{7, 3}}));
  EXPECT_EQ(schedule.take_pass(Urgency::bulk), (Pass{{7, 4}}));  // longer than any pass: alone
  EXPECT_EQ(schedule.take_pass(Urgency::bulk), (Pass{{7, 5}}));
  EXPECT_TRUE(schedule.empty());
  EXPECT_EQ(schedule.take_pass(Urgency::bulk), Pass{});
}

TEST(Schedule, TheRequestsOfOneClientTakeTurnsTextByText) {
  Schedule schedule;
  schedule.add(request(1, {700, 700, 700}));
  schedule.add(request(2, {10, 10}));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(1, 2, 1, 2));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(1));
}

TEST(Schedule, AHundredRequestsOfOneClientDoNotKeepAnotherWaiting) {
  Schedule schedule;
  for (RequestId id = 0; id < 100; ++id) schedule.add(request(id, std::vector<std::uint32_t>(50, 200), "many"));
  schedule.take_pass(Urgency::bulk);
  schedule.add(request(100, {300, 300}, "other"));
  const auto ids = requests_of(schedule.take_pass(Urgency::bulk));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 100U), 2);
}

TEST(Schedule, ClientsShareTokensOfPassesWhateverTheyHaveWaiting) {
  Schedule schedule;
  for (RequestId id = 0; id < 30; ++id) schedule.add(request(id, std::vector<std::uint32_t>(100, 100), "many"));
  schedule.add(request(30, std::vector<std::uint32_t>(1000, 100), "one"));
  std::map<bool, std::size_t> texts;
  for (int pass = 0; pass < 20; ++pass) {
    for (const RequestId id : requests_of(schedule.take_pass(Urgency::bulk))) ++texts[id == 30];
  }
  EXPECT_EQ(texts[true], texts[false]);
}

TEST(Schedule, AClientWhoseTextDoesNotFitLeavesTheRestToOthersAndComesFirstNextTime) {
  Schedule schedule;
  schedule.add(request(1, {1000, 1500}, "a"));
  schedule.add(request(2, {400, 400, 100}, "b"));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(1, 2, 2, 2));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(1));
}

TEST(Schedule, APassIsOfOneModelAndModelsTakeTurns) {
  Schedule schedule;
  for (RequestId id = 0; id < 5; ++id) schedule.add(request(id, {2000}, "", Urgency::bulk, &kModel));
  for (RequestId id = 10; id < 15; ++id) schedule.add(request(id, {2000}, "", Urgency::bulk, &kOtherModel));
  schedule.add(request(20, {10}, "other", Urgency::bulk, &kOtherModel));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(0));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(20, 10));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(1));
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(11));
}

TEST(Schedule, ShortQueriesAreNeverPackedWithBulkTexts) {
  Schedule schedule;
  schedule.add(request(1, {100, 100}));
  schedule.add(request(2, {10}, "", Urgency::interactive));
  EXPECT_EQ(schedule.next_pass(), Urgency::interactive);
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::interactive)), ElementsAre(2));
  EXPECT_EQ(schedule.next_pass(), Urgency::bulk);
  EXPECT_THAT(requests_of(schedule.take_pass(Urgency::bulk)), ElementsAre(1, 1));
  EXPECT_EQ(schedule.next_pass(), std::nullopt);
}

TEST(Schedule, AThousandQueriesArePackedIntoFullPasses) {
  Schedule schedule;
  for (RequestId id = 0; id < 1000; ++id) {
    schedule.add(request(id, {20}, std::to_string(id % 7), Urgency::interactive));
  }
  std::size_t passes = 0;
  while (!schedule.empty()) {
    schedule.take_pass(Urgency::interactive);
    ++passes;
  }
  EXPECT_EQ(passes, 10U);  // 20,000 tokens, 102 texts of 20 in each pass
}

TEST(Schedule, SeveralTeamsShareWhatWaits) {
  Schedule schedule(4);
  schedule.add(request(1, std::vector<std::uint32_t>(40, 100)));  // 4,000 tokens
  EXPECT_THAT(schedule.take_pass(Urgency::bulk), SizeIs(10));
  EXPECT_THAT(schedule.take_pass(Urgency::bulk), SizeIs(7));  // 750 of 3,000
  EXPECT_THAT(schedule.take_pass(Urgency::bulk), SizeIs(5));  // 512 at least
  schedule.add(request(2, std::vector<std::uint32_t>(200, 100)));
  EXPECT_THAT(schedule.take_pass(Urgency::bulk), SizeIs(20));
}

TEST(Schedule, APassThatInterruptsIsSmall) {
  Schedule schedule;
  for (RequestId id = 0; id < 100; ++id) schedule.add(request(id, {20}, "", Urgency::interactive));
  EXPECT_THAT(schedule.take_urgent_pass(), SizeIs(25));  // 500 of 512 tokens
}

/// Queries of `tokens` keep coming: how often in a row they may interrupt.
int overtaken(Schedule& schedule, std::uint32_t tokens, RequestId& next) {
  int times = 0;
  for (;; ++times) {
    schedule.add(request(next++, {tokens}, "", Urgency::interactive));
    if (!schedule.may_overtake()) return times;
    schedule.take_urgent_pass();
  }
}

TEST(Schedule, QueriesThatKeepComingGetAsManyTokensAsBulk) {
  Schedule schedule;
  RequestId next = 1000;
  schedule.add(request(1, {2000}));
  EXPECT_EQ(overtaken(schedule, 512, next), 4);  // 2,048 tokens
  EXPECT_EQ(schedule.next_pass(), Urgency::bulk);
  schedule.take_pass(Urgency::bulk);
  EXPECT_FALSE(schedule.may_overtake());  // not before it has been computed
  schedule.bulk_ran(1024);
  EXPECT_EQ(overtaken(schedule, 512, next), 2);
  schedule.bulk_ran(100'000);
  EXPECT_EQ(overtaken(schedule, 512, next), 4);  // what was not used is not saved up
}

TEST(Schedule, AShortPassCountsAsWhatReadingTheWeightsTakes) {
  Schedule schedule;
  RequestId next = 1000;
  EXPECT_EQ(overtaken(schedule, 1, next), 2048 / 64);
}

TEST(Schedule, QueriesBetweenBulkPassesCountToo) {
  Schedule schedule;
  for (RequestId id = 0; id < 4; ++id) schedule.add(request(id, {2000}));
  for (RequestId id = 10; id < 400; ++id) schedule.add(request(id, {20}, "", Urgency::interactive));
  std::vector<Urgency> passes;
  for (int i = 0; i < 8; ++i) {
    const auto urgency = schedule.next_pass();
    ASSERT_TRUE(urgency);
    passes.push_back(*urgency);
    const std::size_t texts = schedule.take_pass(*urgency).size();
    if (*urgency == Urgency::bulk) schedule.bulk_ran(2000 * texts);
  }
  // Of each two passes in a row at least one is bulk.
  for (std::size_t i = 0; i + 1 < passes.size() && i < 6; ++i) {
    EXPECT_TRUE(passes[i] == Urgency::bulk || passes[i + 1] == Urgency::bulk || i == 0) << i;
  }
}

TEST(Schedule, QueriesAloneOweNothing) {
  Schedule schedule;
  for (RequestId id = 0; id < 1000; ++id) schedule.add(request(id, {500}, "", Urgency::interactive));
  while (!schedule.empty()) schedule.take_pass(Urgency::interactive);
  schedule.add(request(1000, {500}, "", Urgency::interactive));
  EXPECT_TRUE(schedule.may_overtake());
}

TEST(Schedule, ARemovedRequestIsForgottenWhereverItIs) {
  Schedule schedule;
  schedule.add(request(1, {1000, 1000, 1000}));
  schedule.add(request(2, {30}));
  schedule.take_pass(Urgency::bulk);
  schedule.remove(1);
  schedule.remove(1);
  EXPECT_TRUE(schedule.empty());  // 2 was in the pass
  EXPECT_EQ(schedule.waiting_texts(), 0U);
  EXPECT_EQ(schedule.waiting_tokens(), 0U);
  schedule.add({.id = 3, .client = "", .urgency = Urgency::interactive, .sizes = {10, 10}});
  EXPECT_TRUE(schedule.has_texts(Urgency::interactive));
  schedule.remove(3);
  EXPECT_TRUE(schedule.empty());
}

TEST(Schedule, TextsOfAllModelsAreTokenizedInTurnOfTheirClients) {
  Schedule schedule;
  for (RequestId id = 0; id < 20; ++id) {
    schedule.add({.id = id, .model = &kModel, .client = "many", .sizes = std::vector<std::uint32_t>(100, 1000)});
  }
  schedule.add({.id = 20, .model = &kOtherModel, .client = "other", .sizes = {1000, 1000}});
  const auto ids = requests_of(schedule.take_texts(Urgency::bulk, 10'000, 100));
  EXPECT_THAT(ids, SizeIs(10));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 20U), 2);
  EXPECT_THAT(schedule.take_texts(Urgency::bulk, 1'000'000, 5), SizeIs(5));
  EXPECT_THAT(schedule.take_texts(Urgency::interactive, 1'000'000, 5), IsEmpty());
}

TEST(Schedule, ATokenizedRequestWaitsForAPass) {
  Schedule schedule;
  schedule.add({.id = 1, .model = &kModel, .client = "a", .urgency = Urgency::interactive, .sizes = {40, 400}});
  EXPECT_EQ(schedule.next_pass(), std::nullopt);
  EXPECT_TRUE(schedule.may_overtake());  // to be tokenized
  EXPECT_EQ(schedule.waiting_tokens(), 11U + 101U);
  EXPECT_THAT(schedule.take_texts(Urgency::interactive, 1000, 10), SizeIs(2));
  schedule.tokenized(1, {10, 90});
  EXPECT_EQ(schedule.waiting_tokens(), 100U);
  EXPECT_EQ(schedule.next_pass(), Urgency::interactive);
  EXPECT_THAT(schedule.take_pass(Urgency::interactive), SizeIs(2));
  EXPECT_EQ(schedule.waiting_texts(), 0U);
  schedule.tokenized(2, {10});  // one that is gone
  EXPECT_TRUE(schedule.empty());
}

TEST(Schedule, NoMoreWaitsThanMay) {
  Schedule schedule(1, {.texts = 4, .tokens = 1000});
  EXPECT_TRUE(schedule.add(request(1, {10, 10, 10, 10, 10})));  // nothing waits: whatever it is
  EXPECT_FALSE(schedule.add(request(2, {10})));
  schedule.take_pass(Urgency::bulk);
  EXPECT_TRUE(schedule.add(request(2, {500})));
  EXPECT_TRUE(schedule.add({.id = 3, .sizes = {400 * 4 - 4}}));  // about 400 tokens
  EXPECT_FALSE(schedule.add(request(4, {101})));
  EXPECT_TRUE(schedule.add(request(4, {100})));
  schedule.remove(2);
  EXPECT_TRUE(schedule.add(request(5, {500})));
}

TEST(Schedule, DeadlinesAreMetInTheirOrderAlsoOfWhatIsComputed) {
  using std::chrono::seconds;
  const Schedule::Time now{};
  Schedule schedule;
  Schedule::Request late = request(1, {10});
  late.deadline = now + seconds(20);
  Schedule::Request soon = request(2, {10});
  soon.deadline = now + seconds(10);
  schedule.add(late);
  schedule.add(soon);
  schedule.add(request(3, {10}));
  schedule.take_pass(Urgency::bulk);
  EXPECT_EQ(schedule.next_deadline(), now + seconds(10));
  EXPECT_EQ(schedule.expired(now + seconds(9)), std::nullopt);
  EXPECT_EQ(schedule.expired(now + seconds(10)), RequestId{2});
  schedule.remove(2);
  EXPECT_EQ(schedule.expired(now + seconds(15)), std::nullopt);
  EXPECT_EQ(schedule.expired(now + seconds(25)), RequestId{1});
  schedule.remove(1);
  EXPECT_EQ(schedule.next_deadline(), std::nullopt);
}

}  // namespace
}  // namespace stella::engine
