#include "engine/prompt.hpp"
#include "stella/model.hpp"

namespace stella {

// In the library it stands beside what loads models, which is not fuzzed here.
std::string ModelDescription::prompt_for(const std::string& task) const {
  return engine::get_task(prompts, task.empty() ? default_task : task);
}

}  // namespace stella
