#include "engine/model.hpp"

#include "base/thread_pool.hpp"
#include "base/typed_error.hpp"
#include "engine/deadline.hpp"
#include "engine/join.hpp"

#include <utility>

namespace stella::engine {

std::shared_ptr<Model> Model::create(const Machine& machine, ModelSetup setup) {
  return std::shared_ptr<Model>(new Model(machine, std::move(setup)));
}

void Model::embed(EmbedRequest request, const std::stop_token& stop, Completion<EmbedResult> done) {
  if (request.any_count && request.size() == 0) return done(nullptr, {});
  const auto when = request.options.deadline;
  if (!when || parts_->is_loaded()) {
    return start(std::make_shared<PendingEmbed>(std::move(request), std::move(done)), stop);
  }
  // Loading knows no deadline; once there is something to compute, Compute looks at it.
  const auto deadline = std::make_shared<Deadline>(machine_.timer, *when, stop);
  start(std::make_shared<PendingEmbed>(
            std::move(request),
            [deadline, done = std::move(done)](std::exception_ptr error, EmbedResult result) mutable {
              done(deadline->error_of(std::move(error)), std::move(result));
            }),
        deadline->token());
}

void Model::tokenize(TokenizeRequest request, const std::stop_token& stop, Completion<std::vector<Tokens>> done) {
  start(std::make_shared<PendingTokenize>(std::move(request), std::move(done)), stop);
}

void Model::decode(DecodeRequest request, const std::stop_token& stop, Completion<std::vector<std::string>> done) {
  parts_->tokenizer(stop, [pool = machine_.pool, request = std::move(request), stop, done = std::move(done)](
                              std::exception_ptr error, std::shared_ptr<const tokenizer::Tokenizer> tokenizer) mutable {
    if (error) return done(std::move(error), {});
    pool->post(
        [request = std::move(request), stop, done = std::move(done), tokenizer = std::move(tokenizer)]() mutable {
          try {
            std::vector<std::string> texts;
            for (const TokenIds& ids : request.ids) {
              if (stop.stop_requested()) throw Error(Errc::cancelled, "cancelled");
              texts.push_back(tokenizer->decode(ids, request.skip_special_tokens));
            }
            done(nullptr, std::move(texts));
          } catch (...) {
            done(typed_error(std::current_exception()), {});
          }
        });
  });
}

void Model::start(PendingPtr pending, const std::stop_token& stop) {
  try {
    pending->check_sizes(parts_->known());
  } catch (...) {
    return pending->fail(std::current_exception());
  }
  const auto [tokenizer, encoder] = pending->needs();
  const bool loaded = encoder ? parts_->peek_encoder() != nullptr : parts_->peek_tokenizer() != nullptr;
  if (loaded) return gather(pending, stop);
  // Nobody waits for gigabytes to be fetched only to hear that a text is not UTF-8.
  machine_.pool->post([self = shared_from_this(), pending = std::move(pending), stop] {
    try {
      pending->check_texts();
    } catch (...) {
      return pending->fail(std::current_exception());
    }
    self->gather(pending, stop);
  });
}

void Model::gather(const PendingPtr& pending, const std::stop_token& stop) {
  auto join = Join::start(stop, [self = shared_from_this(), pending, stop](std::exception_ptr error) {
    if (error) return pending->fail(std::move(error));
    self->check_room_and_submit(pending, stop);
  });
  const auto [tokenizer, encoder] = pending->needs();
  // The join outlives its branches, so that they may start further ones.
  parts_->checkpoint(join->token(),
                     join->branch<std::shared_ptr<const Checkpoint>>(
                         [self = shared_from_this(), pending, &branches = *join](const auto& checkpoint) {
                           pending->resolve(self->parts_->known(), *checkpoint);
                           if (!checkpoint->heads.empty()) self->gather_heads(pending, branches);
                         }));
  if (tokenizer) {
    parts_->tokenizer(join->token(), join->branch<std::shared_ptr<const tokenizer::Tokenizer>>(
                                         [pending](auto value) { pending->resolved.tokenizer = std::move(value); }));
  }
  if (encoder) {
    parts_->encoder(join->token(), join->branch<std::shared_ptr<const LoadedEncoder>>(
                                       [pending](const auto& value) { pending->resolved.encoder = value->encoder; }));
  }
  join->close();
}

void Model::gather_heads(const PendingPtr& pending, Join& join) const {
  for (std::size_t i = 0; i < pending->dimensions.size(); ++i) {
    parts_->head(pending->dimensions[i], join.token(),
                 join.branch<std::shared_ptr<const Head>>(
                     [pending, i](const auto& value) { pending->resolved.heads[i].head = value->head; }));
  }
}

void Model::check_room_and_submit(const PendingPtr& pending, const std::stop_token& stop) {
  if (!pending->may_leave_no_room()) return pending->submit(*machine_.compute, stop);
  machine_.pool->post([self = shared_from_this(), pending, stop] {
    try {
      pending->check_room();
    } catch (...) {
      return pending->fail(std::current_exception());
    }
    pending->submit(*self->machine_.compute, stop);
  });
}

}  // namespace stella::engine
