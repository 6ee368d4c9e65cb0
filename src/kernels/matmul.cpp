// Splits a matrix product into tasks. What a task computes for a row does not depend on how the rows were split.
#include "base/cpu.hpp"
#include "kernels/kernels.hpp"
#include "kernels/packed_matrix.hpp"
#include "kernels/workspace.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

namespace stella::kernels {
namespace {

constexpr std::size_t divide_up(std::size_t n, std::size_t by) {
  return (n + by - 1) / by;
}

/// How one call is cut. Rows come in chunks whose packed form is bounded; a chunk in row panels; a task is
/// `task_row_panels` row panels times `task_panels` weight panels.
struct Plan {
  std::size_t chunk_rows = 0;
  std::size_t panel_rows = 0;
  std::size_t block_rows = 0;  // room for so many in a row panel
  std::size_t a_stride = 0;    // bytes of a row panel
  std::size_t task_row_panels = 0;
  std::size_t task_panels = 0;
  std::size_t stored_panels = 0;  // multiplied and then stored at once, while the accumulators are in cache
  bool panel_first = true;
  std::size_t c_floats = 0;  // accumulators of a task, rounded up to whole cache lines
};

Plan make_plan(const GemmOps& ops, const PackedMatrix::Impl& w, std::size_t m, std::size_t threads) {
  constexpr std::size_t kChunkBytes = std::size_t{8} << 20U;
  constexpr std::size_t kMaxPanels = 8;
  constexpr std::size_t kTasksPerThread = 4;
  const std::size_t l2 = cpu_features().l2_bytes;
  const std::size_t k_padded = w.header.k_padded;
  const std::size_t row_bytes = divide_up(k_padded, ops.kc) * ops.kc * ops.a_element;

  Plan plan;
  const std::size_t most_rows = std::max<std::size_t>(1, kChunkBytes / row_bytes / ops.mr) * ops.mr;
  plan.chunk_rows =
      m <= most_rows ? m : std::min(most_rows, divide_up(divide_up(m, divide_up(m, most_rows)), ops.mr) * ops.mr);
  // Few rows are one panel; else panels are even (7 rows are 4 and 3, not 6 and 1).
  const bool few = m >= ops.least_few_rows && m <= ops.most_few_rows && m == plan.chunk_rows;
  plan.panel_rows = few ? m : divide_up(plan.chunk_rows, divide_up(plan.chunk_rows, ops.mr));
  plan.block_rows = std::max(plan.panel_rows, ops.mr);
  plan.a_stride = plan.block_rows * row_bytes;

  // Either the activations of a task stay in a part of the cache while weights stream by, or, where k is too long for
  // that, their current block of columns does. The rest of the cache is for accumulators, for weights on their way,
  // and for a second thread that may share the core.
  constexpr std::size_t kMaxRows = 256;
  const std::size_t whole_rows = l2 / 4 / row_bytes;
  plan.panel_first = whole_rows >= std::min<std::size_t>(plan.chunk_rows, 128);
  const std::size_t cached_rows = plan.panel_first ? whole_rows : l2 / 4 / (ops.kc * ops.a_element);
  const std::size_t task_rows = std::min(cached_rows, kMaxRows);
  plan.task_row_panels =
      std::clamp<std::size_t>(task_rows / plan.panel_rows, 1, divide_up(plan.chunk_rows, plan.panel_rows));

  const std::size_t row_tasks = divide_up(divide_up(plan.chunk_rows, plan.panel_rows), plan.task_row_panels);
  const std::size_t wanted = divide_up(w.panel_count * row_tasks, kTasksPerThread * threads);
  plan.task_panels = std::clamp<std::size_t>(wanted, 1, kMaxPanels);
  if (static_cast<RowOrder>(w.header.row_order) == RowOrder::interleaved) plan.task_panels += plan.task_panels % 2;
  // Even, for the sake of gate/up pairs.
  plan.stored_panels = plan.panel_first ? std::min<std::size_t>(plan.task_panels, 2) : plan.task_panels;
  plan.c_floats = divide_up(plan.task_row_panels * plan.panel_rows * plan.stored_panels * ops.nr, 16) * 16;
  return plan;
}

/// One chunk of rows, first packed, then multiplied.
class Chunk {
 public:
  Chunk(const GemmOps& ops, const MatmulArgs& args, const Plan& plan, Workspace::Impl& scratch, std::size_t workers)
      : ops_(ops), args_(args), w_(args.w->impl()), plan_(plan) {
    const std::size_t row_panels = divide_up(plan.chunk_rows, plan.panel_rows);
    a_ = scratch.activations.at_least(row_panels * plan.a_stride);
    scales_ = reinterpret_cast<float*>(scratch.scales.at_least(plan.chunk_rows * sizeof(float)));
    c_ = reinterpret_cast<float*>(scratch.per_worker.at_least(workers * plan.c_floats * sizeof(float)));
    y_columns_ = args.epilogue == Epilogue::none || args.epilogue == Epilogue::gelu ? w_.header.n : w_.header.n / 2;
  }

  void run(std::size_t first_row, std::size_t rows, ParallelTeam& team) {
    const std::size_t row_panels = divide_up(rows, plan_.panel_rows);
    // A query's few rows are one row panel, which the workers share.
    const std::size_t piece = row_panels == 1 ? divide_up(rows, team.size()) : plan_.panel_rows;
    team.run(row_panels == 1 ? divide_up(rows, piece) : row_panels,
             [&](std::size_t task, std::size_t) { pack(first_row, rows, task * piece, piece); });
    const std::size_t row_tasks = divide_up(row_panels, plan_.task_row_panels);
    const std::size_t column_tasks = divide_up(w_.panel_count, plan_.task_panels);
    // Where all rows are one task, reading weights takes the time, and does so best in one sweep; else workers that
    // read the same weights at the same time share them in the cache.
    const TaskOrder order = row_tasks == 1 ? TaskOrder::apart : TaskOrder::shared;
    team.run(
        row_tasks * column_tasks,
        [&](std::size_t task, std::size_t worker) {
          multiply(first_row, rows, task % row_tasks, task / row_tasks, worker);
        },
        order);
  }

 private:
  /// Rows [at, at + count) of the chunk, all of one row panel.
  void pack(std::size_t first_row, std::size_t rows, std::size_t at, std::size_t count) {
    PackRows p;
    p.x = args_.x + (first_row + at) * w_.header.k;
    p.rows = std::min(count, rows - at);
    p.block_rows = plan_.block_rows;
    p.k = w_.header.k;
    p.k_padded = w_.header.k_padded;
    p.column_weights = w_.column_weights;
    p.split = w_.split;
    p.split_count = w_.header.split_count;
    p.copies = w_.header.copies;
    p.out = a_ + at / plan_.panel_rows * plan_.a_stride + at % plan_.panel_rows * ops_.kc * ops_.a_element;
    p.scales = scales_ + at;
    ops_.pack_rows(p);
  }

  void multiply(std::size_t first_row, std::size_t rows, std::size_t row_task, std::size_t column_task,
                std::size_t worker) {
    const std::size_t row_panel = row_task * plan_.task_row_panels;
    const std::size_t at = row_panel * plan_.panel_rows;
    const std::size_t first = column_task * plan_.task_panels;
    const std::size_t end = std::min(first + plan_.task_panels, w_.panel_count);
    MultiplyBlock t;
    t.a = a_ + row_panel * plan_.a_stride;
    t.a_stride = plan_.a_stride;
    t.rows = std::min(plan_.task_row_panels * plan_.panel_rows, rows - at);
    t.panel_rows = plan_.panel_rows;
    t.b_stride = w_.panel_bytes;
    t.k_padded = w_.header.k_padded;
    t.panel_first = plan_.panel_first;
    t.c = c_ + worker * plan_.c_floats;
    for (std::size_t panel = first; panel < end; panel += plan_.stored_panels) {
      t.b = w_.panels + panel * w_.panel_bytes;
      t.panels = std::min(plan_.stored_panels, end - panel);
      t.b_sums = w_.b_sums == nullptr ? nullptr : w_.b_sums + panel * ops_.nr;
      ops_.multiply(t);
      store(t, first_row, at, panel);
    }
  }

  void store(const MultiplyBlock& t, std::size_t first_row, std::size_t at, std::size_t panel) {
    StoreBlock s;
    s.c = t.c;
    s.rows = t.rows;
    s.first_panel = panel;
    s.panels = t.panels;
    if (w_.col_scale != nullptr) {
      s.row_scale = scales_ + at;
      s.col_scale = w_.col_scale + panel * ops_.nr;
    }
    s.bias = args_.bias;
    const std::size_t y_at = (first_row + at) * y_columns_;
    s.residual = args_.residual == nullptr ? nullptr : args_.residual + y_at;
    s.y = args_.y + y_at;
    s.y_columns = y_columns_;
    s.integer_accumulators = ops_.integer_accumulators;
    s.epilogue = args_.epilogue;
    ops_.store(s);
  }

  const GemmOps& ops_;
  const MatmulArgs& args_;
  const PackedMatrix::Impl& w_;
  const Plan& plan_;
  std::byte* a_;   // (row panels, a_stride)
  float* scales_;  // (chunk_rows)
  float* c_;       // (workers, c_floats)
  std::size_t y_columns_;
};

void check(const GemmOps& ops, const MatmulArgs& args) {
  const PackedHeader& h = args.w->impl().header;
  const bool glu = args.epilogue == Epilogue::glu_gelu || args.epilogue == Epilogue::glu_silu;
  if (h.nr != ops.nr || h.group != ops.group || h.b_element != ops.b_element) {
    throw Error(Errc::invalid_argument, "matmul: the weights were packed for another kernel set; pack them again");
  }
  if (glu != (static_cast<RowOrder>(h.row_order) == RowOrder::interleaved)) {
    throw Error(Errc::invalid_argument, "matmul: the GLU epilogues and interleaved weights go together");
  }
}

}  // namespace

void matmul(const Kernels& kernels, const MatmulArgs& args, ParallelTeam& team, Workspace& workspace) {
  if (args.m == 0) return;
  const GemmOps& ops = gemm_ops(kernels, args.w->precision());
  check(ops, args);
  const Plan plan = make_plan(ops, args.w->impl(), args.m, team.size());
  Chunk chunk(ops, args, plan, workspace.impl(), team.size());
  for (std::size_t row = 0; row < args.m; row += plan.chunk_rows) {
    chunk.run(row, std::min(plan.chunk_rows, args.m - row), team);
  }
}

double measure_throughput(const Kernels& kernels, Precision precision, std::size_t m, std::size_t n, std::size_t k,
                          ParallelTeam& team) {
  std::vector<float> weights(n * k);
  std::vector<float> x(m * k);
  std::vector<float> y(m * n);
  std::uint32_t state = 1;  // any numbers with busy bits
  for (std::vector<float>* values : {&weights, &x}) {
    for (float& value : *values) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(state >> 8U) * 0x1p-23F - 1.0F;
    }
  }
  const MatrixSource source{weights.data(), DType::f32, n, k};
  const PackedMatrix packed = pack(kernels, precision, RowOrder::plain, {&source, 1}, team);
  Workspace workspace;
  double fastest = 1e30;
  for (int run = 0; run < 5; ++run) {
    const auto start = std::chrono::steady_clock::now();
    matmul(kernels, {x.data(), m, &packed, nullptr, nullptr, y.data(), Epilogue::none}, team, workspace);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    if (run > 0) fastest = std::min(fastest, time.count());  // the first one warms the caches
  }
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / std::max(fastest, 1e-9);
}

}  // namespace stella::kernels
