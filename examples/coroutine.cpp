// Coroutines: many operations at once on one thread, none of which blocks it.
//
//   example_coroutine [MODEL]      a directory or a repository id; default: the published Stella Small
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <stella/stella.hpp>

namespace {

float dot(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

boost::asio::awaitable<void> search(std::string name) {
  stella::StellaEmbeddingModel model{std::move(name)};  // cheap: nothing is fetched or read yet

  // The first operation fetches and loads what it needs. A query gets the prompt of its task, documents get none.
  const std::vector<float> query = co_await model.embed("What is the capital of China?", "s2p", 1024);

  const std::vector<std::string> documents{"The capital of China is Beijing.", "The cat sits outside."};
  stella::EmbedOptions options;
  options.task = "document";
  options.dimensions = {1024, 256};  // two sizes from one pass through the encoder
  const std::vector<stella::Embedding> rows = co_await model.batch_embed(documents, options);

  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::printf("%.3f  %s (%zu tokens)\n", static_cast<double>(dot(query, rows[i].vectors[0].second)),
                documents[i].c_str(), rows[i].tokens);
  }
}

}  // namespace

int main(int argc, char** argv) {
  boost::asio::io_context io;
  int status = 0;
  boost::asio::co_spawn(io, search(argc > 1 ? argv[1] : "NovaSearch/stella_en_400M_v5"),
                        [&](const std::exception_ptr& error) {
                          try {
                            if (error) std::rethrow_exception(error);
                          } catch (const std::exception& e) {
                            std::fprintf(stderr, "%s\n", e.what());
                            status = 1;
                          }
                        });
  io.run();
  return status;
}
