/* stella.h from C99. `client check MODEL` checks every function; `client embed MODEL TASK DIMENSION` embeds the lines of
 * standard input and writes the vectors to standard output, row by row. */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stella.h>

enum { SMALL = 256, LARGE = 1024, THREADS = 8, ROUNDS = 20 };

static int failures = 0;

static void expect(bool condition, const char* what, int line) {
  if (condition) return;
  fprintf(stderr, "line %d: not so: %s\n", line, what);
  ++failures;
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

/* The call failed with `status`, and its message has `part`. Frees the error. */
static void expect_error(stella_status status, stella_status wanted, stella_error** error, const char* part, int line) {
  if (status != wanted || stella_error_code(*error) != wanted || strstr(stella_error_message(*error), part) == NULL) {
    fprintf(stderr, "line %d: %s \"%s\" in place of %s \"…%s…\"\n", line, stella_status_name(status),
            stella_error_message(*error), stella_status_name(wanted), part);
    ++failures;
  }
  stella_error_free(*error);
  *error = NULL;
}
#define FAILS(call, wanted, part)                                  \
  do {                                                             \
    stella_error* error = NULL;                                    \
    const stella_status status = (call);                           \
    expect_error(status, (wanted), &error, (part), __LINE__);      \
  } while (0)
#define REFUSED(call, part) FAILS(call, STELLA_ERROR_INVALID_ARGUMENT, part)

static void succeed(stella_status status, stella_error* error, int line) {
  if (status == STELLA_OK && error == NULL) return;
  fprintf(stderr, "line %d: %s: %s\n", line, stella_status_name(status), stella_error_message(error));
  exit(1);
}
#define OK(call)                                   \
  do {                                             \
    stella_error* error = NULL;                    \
    const stella_status status = (call);           \
    succeed(status, error, __LINE__);              \
  } while (0)

static stella_model* open_model(const char* name, const stella_options* options) {
  stella_model* model = NULL;
  OK(stella_model_new(name, options, NULL, &model, &error));
  return model;
}

static stella_request* new_request(size_t dimension) {
  stella_request* request = NULL;
  OK(stella_request_new(&request, &error));
  OK(stella_request_set_dimensions(request, &dimension, 1, &error));
  return request;
}

static void add_text(stella_request* request, const char* text) {
  OK(stella_request_add_text(request, text, strlen(text), &error));
}

static const char* const texts[] = {"What are safetensors, and what are they good for?", "A car is parked.", "naïve café, 北京", "x"};
enum { TEXTS = sizeof texts / sizeof *texts };

static stella_request* request_of_texts(size_t dimension) {
  stella_request* request = new_request(dimension);
  for (size_t i = 0; i < TEXTS; ++i) add_text(request, texts[i]);
  return request;
}

/* (rows, columns), for free(). */
static float* copy_vectors(const stella_result* result, size_t index, size_t* rows, size_t* columns) {
  const float* values = NULL;
  size_t stride = 0;
  OK(stella_result_vectors(result, index, &values, rows, columns, &stride, &error));
  float* const copy = malloc(*rows * *columns * sizeof *copy);
  for (size_t i = 0; i < *rows; ++i) memcpy(copy + i * *columns, values + i * stride, *columns * sizeof *copy);
  return copy;
}

static float* embed(const stella_model* model, const stella_request* request, size_t* rows, size_t* columns) {
  stella_result* result = NULL;
  OK(stella_embed(model, request, NULL, &result, &error));
  EXPECT(stella_result_size(result) >= 1);
  float* const vectors = copy_vectors(result, 0, rows, columns);
  stella_result_free(result);
  return vectors;
}

static void check_arguments(const char* name) {
  stella_model* model = open_model(name, NULL);
  stella_model* other = NULL;
  stella_options* options = NULL;
  stella_request* request = NULL;
  stella_runtime* runtime = NULL;
  stella_cancel* cancel = NULL;
  stella_result* result = NULL;
  stella_tokens* tokens = NULL;
  stella_description* description = NULL;
  const char* text = "";
  const float* floats = NULL;
  const int32_t* ids = NULL;
  const size_t* sizes = NULL;
  uint64_t number = 1;
  size_t a = 1, b = 1, c = 1;
  float memory[SMALL];

  REFUSED(stella_cancel_new(NULL, &error), "cancel is NULL");
  REFUSED(stella_options_new(NULL, &error), "options is NULL");
  REFUSED(stella_runtime_new(NULL, NULL, &error), "runtime is NULL");
  REFUSED(stella_request_new(NULL, &error), "request is NULL");
  REFUSED(stella_set_log(NULL, NULL, 4, &error), "level is 4");
  REFUSED(stella_model_new(NULL, NULL, NULL, &other, &error), "name is NULL");
  REFUSED(stella_model_new(name, NULL, NULL, NULL, &error), "model is NULL");
  REFUSED(stella_model_new("no/such/model/anywhere", NULL, NULL, &other, &error), "no/such/model/anywhere");
  EXPECT(other == NULL);
  EXPECT(stella_model_new(NULL, NULL, NULL, &other, NULL) == STELLA_ERROR_INVALID_ARGUMENT);

  OK(stella_options_new(&options, &error));
  REFUSED(stella_options_set_text(NULL, STELLA_OPTION_REVISION, "main", &error), "options is NULL");
  REFUSED(stella_options_set_text(options, STELLA_OPTION_REVISION, NULL, &error), "value is NULL");
  REFUSED(stella_options_set_text(options, STELLA_OPTION_THREADS, "2", &error), "option is 22");
  REFUSED(stella_options_set_text(options, STELLA_OPTION_PRECISION, "f23", &error), "f23");
  REFUSED(stella_options_set_text(options, STELLA_OPTION_KERNELS, "mmx", &error), "mmx");
  REFUSED(stella_options_set_number(NULL, STELLA_OPTION_THREADS, 1, &error), "options is NULL");
  REFUSED(stella_options_set_number(options, STELLA_OPTION_REVISION, 1, &error), "option is 1,");
  REFUSED(stella_options_set_number(options, STELLA_OPTION_OFFLINE, 2, &error), "STELLA_OPTION_OFFLINE is 2");
  REFUSED(stella_options_set_progress(NULL, NULL, NULL, &error), "options is NULL");
  OK(stella_options_set_number(options, STELLA_OPTION_THREADS, 100000, &error));
  REFUSED(stella_runtime_new(options, &runtime, &error), "4096");
  EXPECT(runtime == NULL);
  OK(stella_options_set_number(options, STELLA_OPTION_THREADS, UINT64_MAX, &error));
  REFUSED(stella_runtime_new(options, &runtime, &error), "4096");
  OK(stella_options_set_number(options, STELLA_OPTION_THREADS, 0, &error));
  OK(stella_options_set_number(options, STELLA_OPTION_TEAMS, UINT64_MAX, &error));
  REFUSED(stella_runtime_new(options, &runtime, &error), "4096");

  OK(stella_request_new(&request, &error));
  REFUSED(stella_request_add_text(NULL, "x", 1, &error), "request is NULL");
  REFUSED(stella_request_add_text(request, NULL, 1, &error), "text is NULL");
  REFUSED(stella_request_add_ids(request, NULL, 1, &error), "ids is NULL");
  REFUSED(stella_request_set_text(NULL, STELLA_REQUEST_TASK, "s2p", &error), "request is NULL");
  REFUSED(stella_request_set_text(request, STELLA_REQUEST_TASK, NULL, &error), "value is NULL");
  REFUSED(stella_request_set_text(request, 99, "x", &error), "field is 99");
  REFUSED(stella_request_set_number(NULL, STELLA_REQUEST_PRIORITY, 0, &error), "request is NULL");
  REFUSED(stella_request_set_number(request, 99, 0, &error), "field is 99");
  REFUSED(stella_request_set_number(request, STELLA_REQUEST_PRIORITY, 3, &error), "it takes 0, 1 or 2");
  REFUSED(stella_request_set_number(request, STELLA_REQUEST_NORMALIZE, 7, &error), "it takes 0 or 1");
  REFUSED(stella_request_set_number(request, STELLA_REQUEST_TIMEOUT_MS, UINT64_MAX, &error), "STELLA_REQUEST_TIMEOUT_MS");
  REFUSED(stella_request_set_dimensions(NULL, NULL, 0, &error), "request is NULL");
  REFUSED(stella_request_set_dimensions(request, NULL, 2, &error), "dimensions is NULL");
  REFUSED(stella_request_set_output(NULL, 0, memory, 1, SMALL, &error), "request is NULL");
  REFUSED(stella_request_set_output(request, 1, memory, 1, SMALL, &error), "index is 1, and there are 1");
  REFUSED(stella_request_clear(NULL, &error), "request is NULL");

  /* What no memory holds, the sizes that overflow in it included. */
  const size_t huge[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, SIZE_MAX / 2};
  for (size_t i = 0; i < sizeof huge / sizeof *huge; ++i) {
    REFUSED(stella_request_add_text(request, "x", huge[i], &error), "length is ");
    REFUSED(stella_request_add_ids(request, &(int32_t){1}, huge[i], &error), "count is ");
    REFUSED(stella_request_add_ids(request, &(int32_t){1}, huge[i] / 4 + 1, &error), "count is ");
    REFUSED(stella_request_set_dimensions(request, &(size_t){SMALL}, huge[i], &error), "count is ");
    REFUSED(stella_request_set_dimensions(request, &(size_t){SMALL}, huge[i] / 8 + 1, &error), "count is ");
    REFUSED(stella_request_set_output(request, 0, memory, huge[i], SMALL, &error), "rows is ");
    REFUSED(stella_request_set_output(request, 0, memory, 1, huge[i], &error), "stride is ");
    REFUSED(stella_request_set_output(request, 0, memory, SMALL, huge[i] / SMALL, &error), "stride is ");
    REFUSED(stella_request_set_output(request, huge[i], memory, 1, SMALL, &error), "index is ");
  }
  OK(stella_request_set_number(request, STELLA_REQUEST_MAX_LENGTH, UINT64_MAX, &error));
  add_text(request, "x");
  REFUSED(stella_embed(model, request, NULL, &result, &error), "18446744073709551615");
  OK(stella_request_set_number(request, STELLA_REQUEST_MAX_LENGTH, 0, &error));
  OK(stella_request_set_dimensions(request, &(size_t){SIZE_MAX}, 1, &error));
  FAILS(stella_embed(model, request, NULL, &result, &error), STELLA_ERROR_UNSUPPORTED_DIMENSION, "18446744073709551615");
  OK(stella_request_set_dimensions(request, NULL, 0, &error));
  OK(stella_request_clear(request, &error));

  REFUSED(stella_model_load(NULL, NULL, &error), "model is NULL");
  REFUSED(stella_model_unload(NULL, &error), "model is NULL");
  REFUSED(stella_model_memory(NULL, &number, &number, &error), "model is NULL");
  EXPECT(number == 0);
  REFUSED(stella_model_memory(model, NULL, &number, &error), "private_bytes is NULL");
  REFUSED(stella_model_describe(NULL, NULL, &description, &error), "model is NULL");
  REFUSED(stella_model_describe(model, NULL, NULL, &error), "description is NULL");
  REFUSED(stella_description_text(NULL, STELLA_DESCRIPTION_TYPE, &text, &error), "description is NULL");
  EXPECT(text == NULL);
  REFUSED(stella_description_number(NULL, STELLA_DESCRIPTION_HIDDEN, &number, &error), "description is NULL");
  REFUSED(stella_description_dimensions(NULL, &sizes, &a, &error), "description is NULL");
  REFUSED(stella_description_prompt(NULL, 0, &text, &text, &error), "description is NULL");
  REFUSED(stella_embed(NULL, request, NULL, &result, &error), "model is NULL");
  REFUSED(stella_embed(model, NULL, NULL, &result, &error), "request is NULL");
  REFUSED(stella_embed(model, request, NULL, NULL, &error), "result is NULL");
  REFUSED(stella_embed_async(model, request, NULL, NULL, NULL, &error), "callback is NULL");
  REFUSED(stella_tokenize(NULL, request, NULL, &tokens, &error), "model is NULL");
  REFUSED(stella_tokenize(model, request, NULL, NULL, &error), "tokens is NULL");
  REFUSED(stella_tokens_ids(NULL, 0, &ids, &a, NULL, &error), "tokens is NULL");
  REFUSED(stella_result_vectors(NULL, 0, &floats, &a, &b, &c, &error), "result is NULL");
  REFUSED(stella_result_counts(NULL, 0, &a, &b, NULL, &error), "result is NULL");

  /* Without texts there is a result without rows. */
  OK(stella_embed(model, request, NULL, &result, &error));
  EXPECT(stella_result_size(result) == 0);
  REFUSED(stella_result_counts(result, 0, &a, &b, NULL, &error), "text is 0, and there are 0");
  REFUSED(stella_result_vectors(result, 1, &floats, &a, &b, NULL, &error), "index is 1, and there are 0");
  REFUSED(stella_result_vectors(result, 0, NULL, &a, &b, NULL, &error), "values is NULL");
  stella_result_free(result);

  add_text(request, "x");
  REFUSED(stella_request_add_ids(request, &(int32_t){1}, 1, &error), "texts or ids");
  OK(stella_request_set_output(request, 0, memory, 1, SMALL - 1, &error));
  OK(stella_request_set_dimensions(request, &(size_t){SMALL}, 1, &error));
  OK(stella_request_set_output(request, 0, memory, 1, SMALL - 1, &error));
  REFUSED(stella_embed(model, request, NULL, &result, &error), "256");
  EXPECT(result == NULL);
  OK(stella_request_set_dimensions(request, &(size_t){300}, 1, &error));
  FAILS(stella_embed(model, request, NULL, &result, &error), STELLA_ERROR_UNSUPPORTED_DIMENSION, "256");
  OK(stella_request_set_dimensions(request, (size_t[]){SMALL, LARGE}, 2, &error));
  OK(stella_request_set_output(request, 1, memory, 1, LARGE, &error));
  REFUSED(stella_embed(model, request, NULL, &result, &error), "others do not");
  OK(stella_request_set_output(request, 0, NULL, 0, 0, &error));
  OK(stella_request_add_text(request, NULL, 0, &error));
  FAILS(stella_embed(model, request, NULL, &result, &error), STELLA_ERROR_EMPTY_TEXT, "index 1");
  OK(stella_request_clear(request, &error));
  OK(stella_request_add_text(request, "\xff", 1, &error));
  FAILS(stella_embed(model, request, NULL, &result, &error), STELLA_ERROR_INVALID_UTF8, "index 0");
  OK(stella_request_clear(request, &error));
  add_text(request, "x");
  OK(stella_request_set_text(request, STELLA_REQUEST_TASK, "nonsense", &error));
  REFUSED(stella_embed(model, request, NULL, &result, &error), "nonsense");

  /* All of it takes NULL. */
  EXPECT(stella_error_code(NULL) == STELLA_OK && *stella_error_message(NULL) == 0 && *stella_error_detail(NULL, 1) == 0);
  EXPECT(stella_result_size(NULL) == 0 && stella_runtime_threads(NULL) == 0 && *stella_runtime_kernels(NULL) == 0);
  stella_error_free(NULL);
  stella_cancel_request(NULL);
  stella_cancel_free(cancel);
  stella_runtime_free(runtime);
  stella_result_free(NULL);
  stella_tokens_free(NULL);
  stella_description_free(NULL);
  stella_request_free(NULL);
  stella_options_free(NULL);
  stella_model_free(NULL);
  stella_request_free(request);
  stella_options_free(options);
  stella_model_free(model);
}

struct mailbox {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int calls;
  stella_result* result;
  stella_error* error;
};

static void on_done(void* user, stella_result* result, stella_error* error) {
  struct mailbox* box = user;
  pthread_mutex_lock(&box->mutex);
  ++box->calls;
  box->result = result;
  box->error = error;
  pthread_cond_signal(&box->changed);
  pthread_mutex_unlock(&box->mutex);
}

static void wait_for(struct mailbox* box) {
  pthread_mutex_lock(&box->mutex);
  while (box->calls == 0) pthread_cond_wait(&box->changed, &box->mutex);
  pthread_mutex_unlock(&box->mutex);
}

static void check_ways(const char* name) {
  stella_model* model = open_model(name, NULL);
  stella_request* request = request_of_texts(SMALL);
  size_t rows = 0, columns = 0, tokens = 0, full = 0;
  int32_t truncated = -1;
  float* const wanted = embed(model, request, &rows, &columns);
  const size_t bytes = TEXTS * SMALL * sizeof *wanted;
  EXPECT(rows == TEXTS && columns == SMALL);
  double norm = 0;
  for (size_t j = 0; j < SMALL; ++j) norm += (double)wanted[j] * wanted[j];
  EXPECT(fabs(norm - 1) < 1e-5);

  /* With a callback, whose request may go at once. */
  struct mailbox box = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, NULL};
  OK(stella_embed_async(model, request, NULL, on_done, &box, &error));
  stella_request_free(request);
  wait_for(&box);
  EXPECT(box.error == NULL && stella_result_size(box.result) == TEXTS);
  float* const called = copy_vectors(box.result, 0, &rows, &columns);
  EXPECT(memcmp(called, wanted, bytes) == 0);
  OK(stella_result_counts(box.result, 0, &tokens, &full, &truncated, &error));
  EXPECT(tokens > 3 && full == tokens && truncated == 0);
  OK(stella_result_counts(box.result, 0, NULL, NULL, NULL, &error));
  REFUSED(stella_result_counts(box.result, TEXTS, &tokens, &full, &truncated, &error), "text is 4, and there are 4");
  stella_result_free(box.result);
  free(called);

  /* Into memory, two dimensions, with room between the rows. */
  enum { STRIDE = SMALL + 3 };
  static float small[TEXTS][STRIDE], large[TEXTS][LARGE];
  const size_t dimensions[] = {SMALL, LARGE};
  for (size_t i = 0; i < TEXTS; ++i) memset(small[i], 0x55, sizeof small[i]);
  request = request_of_texts(SMALL);
  OK(stella_request_set_dimensions(request, dimensions, 2, &error));
  OK(stella_request_set_output(request, 0, small[0], TEXTS, STRIDE, &error));
  OK(stella_request_set_output(request, 1, large[0], TEXTS, LARGE, &error));
  stella_result* result = NULL;
  OK(stella_embed(model, request, NULL, &result, &error));
  const float* values = NULL;
  size_t stride = 0;
  OK(stella_result_vectors(result, 0, &values, &rows, &columns, &stride, &error));
  EXPECT(values == small[0] && rows == TEXTS && columns == SMALL && stride == STRIDE);
  for (size_t i = 0; i < TEXTS; ++i) {
    EXPECT(memcmp(small[i], wanted + i * SMALL, SMALL * sizeof *wanted) == 0);
    for (size_t j = SMALL; j < STRIDE; ++j) EXPECT(memcmp(&small[i][j], "\x55\x55\x55\x55", 4) == 0);
  }
  stella_result_free(result);
  stella_request_free(request);

  /* By token ids. */
  request = request_of_texts(SMALL);
  stella_tokens* ids = NULL;
  OK(stella_tokenize(model, request, NULL, &ids, &error));
  stella_request* by_ids = new_request(SMALL);
  for (size_t i = 0; i < TEXTS; ++i) {
    const int32_t* first = NULL;
    size_t count = 0;
    OK(stella_tokens_ids(ids, i, &first, &count, &full, &error));
    EXPECT(count > 2 && full == count);
    OK(stella_request_add_ids(by_ids, first, count, &error));
  }
  REFUSED(stella_tokens_ids(ids, TEXTS, &(const int32_t*){NULL}, &full, NULL, &error), "text is 4, and there are 4");
  REFUSED(stella_tokenize(model, by_ids, NULL, &(stella_tokens*){NULL}, &error), "ids");
  float* const from_ids = embed(model, by_ids, &rows, &columns);
  EXPECT(memcmp(from_ids, wanted, bytes) == 0);
  free(from_ids);
  stella_tokens_free(ids);
  stella_request_free(by_ids);

  /* Options of a request. */
  OK(stella_request_set_text(request, STELLA_REQUEST_TASK, "document", &error));
  OK(stella_request_set_number(request, STELLA_REQUEST_MAX_LENGTH, 8, &error));
  OK(stella_embed(model, request, NULL, &result, &error));
  OK(stella_result_counts(result, 0, &tokens, &full, &truncated, &error));
  EXPECT(tokens == 8 && full > 8 && truncated == 1);
  stella_result_free(result);
  OK(stella_request_set_number(request, STELLA_REQUEST_REFUSE_LONG, 1, &error));
  FAILS(stella_embed(model, request, NULL, &result, &error), STELLA_ERROR_TEXT_TOO_LONG, "index 0");
  OK(stella_request_set_number(request, STELLA_REQUEST_MAX_LENGTH, 0, &error));
  OK(stella_request_set_text(request, STELLA_REQUEST_TASK, "", &error));
  OK(stella_request_set_text(request, STELLA_REQUEST_PROMPT, "A prompt: ", &error));
  float* const prompted = embed(model, request, &rows, &columns);
  EXPECT(memcmp(prompted, wanted, bytes) != 0);
  OK(stella_request_set_text(request, STELLA_REQUEST_PROMPT, NULL, &error));
  free(prompted);
  float* const again = embed(model, request, &rows, &columns);
  EXPECT(memcmp(again, wanted, bytes) == 0);
  free(again);

  /* Memory, and letting go of it. */
  uint64_t own = 0, mapped = 0;
  OK(stella_model_memory(model, &own, &mapped, &error));
  EXPECT(own + mapped > 0);
  OK(stella_model_unload(model, &error));
  OK(stella_model_memory(model, &own, &mapped, &error));
  EXPECT(own + mapped == 0);
  stella_request_free(request);
  stella_model_free(model);
  free(wanted);
}

static void check_description(const char* name) {
  stella_model* model = open_model(name, NULL);
  stella_description* description = NULL;
  OK(stella_model_describe(model, NULL, &description, &error));
  stella_model_free(model); /* the description is apart from it */
  const char* text = NULL;
  OK(stella_description_text(description, STELLA_DESCRIPTION_TYPE, &text, &error));
  EXPECT(strcmp(text, "new") == 0);
  OK(stella_description_text(description, STELLA_DESCRIPTION_DEFAULT_TASK, &text, &error));
  EXPECT(strlen(text) > 0);
  OK(stella_description_text(description, STELLA_DESCRIPTION_DIRECTORY, &text, &error));
  EXPECT(strlen(text) > 0);
  OK(stella_description_text(description, STELLA_DESCRIPTION_COMMIT, &text, &error));
  EXPECT(strlen(text) == 0);
  OK(stella_description_text(description, STELLA_DESCRIPTION_PRECISION, &text, &error));
  OK(stella_description_text(description, STELLA_DESCRIPTION_PRECISION_REASON, &text, &error));
  REFUSED(stella_description_text(description, STELLA_DESCRIPTION_HIDDEN, &text, &error), "field is 20");
  uint64_t hidden = 0, limit = 0, length = 0, layers = 0, dimension = 0, prompts = 0;
  OK(stella_description_number(description, STELLA_DESCRIPTION_HIDDEN, &hidden, &error));
  OK(stella_description_number(description, STELLA_DESCRIPTION_LAYERS, &layers, &error));
  OK(stella_description_number(description, STELLA_DESCRIPTION_MAX_LENGTH, &length, &error));
  OK(stella_description_number(description, STELLA_DESCRIPTION_MAX_LENGTH_LIMIT, &limit, &error));
  OK(stella_description_number(description, STELLA_DESCRIPTION_DEFAULT_DIMENSION, &dimension, &error));
  OK(stella_description_number(description, STELLA_DESCRIPTION_PROMPTS, &prompts, &error));
  EXPECT(hidden > 0 && layers > 0 && length > 0 && limit >= length && dimension == LARGE && prompts > 0);
  REFUSED(stella_description_number(description, STELLA_DESCRIPTION_TYPE, &limit, &error), "field is 1,");
  const size_t* dimensions = NULL;
  size_t count = 0;
  OK(stella_description_dimensions(description, &dimensions, &count, &error));
  EXPECT(count >= 2 && dimensions[0] == SMALL);
  bool has_query = false;
  for (size_t i = 0; i < prompts; ++i) {
    const char* prompt = NULL;
    OK(stella_description_prompt(description, i, &text, &prompt, &error));
    has_query = has_query || (strcmp(text, "s2p") == 0 && strlen(prompt) > 0);
  }
  EXPECT(has_query);
  REFUSED(stella_description_prompt(description, (size_t)prompts, &text, &text, &error), "index");
  stella_description_free(description);
}

struct worker {
  pthread_t thread;
  const stella_model* model;
  float* vectors;
};

static void* work(void* argument) {
  struct worker* worker = argument;
  stella_request* request = request_of_texts(SMALL);
  size_t rows = 0, columns = 0;
  worker->vectors = embed(worker->model, request, &rows, &columns);
  stella_request_free(request);
  return NULL;
}

static void* cancel_it(void* cancel) {
  stella_cancel_request(cancel);
  return NULL;
}

static void check_threads(const char* name) {
  stella_options* options = NULL;
  stella_runtime* runtime = NULL;
  stella_model* model = NULL;
  OK(stella_options_new(&options, &error));
  OK(stella_options_set_number(options, STELLA_OPTION_THREADS, 2, &error));
  OK(stella_options_set_text(options, STELLA_OPTION_PRECISION, "f32", &error));
  OK(stella_runtime_new(options, &runtime, &error));
  EXPECT(stella_runtime_threads(runtime) == 2 && strlen(stella_runtime_kernels(runtime)) > 0);
  OK(stella_model_new(name, options, runtime, &model, &error));
  stella_runtime_free(runtime); /* the model keeps it */
  stella_options_free(options);
  OK(stella_model_load(model, NULL, &error));
  struct worker workers[THREADS];
  for (size_t i = 0; i < THREADS; ++i) {
    workers[i].model = model;
    EXPECT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
  }
  for (size_t i = 0; i < THREADS; ++i) {
    pthread_join(workers[i].thread, NULL);
    EXPECT(memcmp(workers[i].vectors, workers[0].vectors, TEXTS * SMALL * sizeof(float)) == 0);
  }
  for (size_t i = 0; i < THREADS; ++i) free(workers[i].vectors);

  /* What is lent is given back with the call, whenever that is cancelled: nothing writes to freed memory. */
  enum { MANY = 400 };
  stella_request* request = new_request(LARGE);
  for (size_t i = 0; i < MANY; ++i) add_text(request, texts[i % TEXTS]);
  for (int round = 0; round < ROUNDS; ++round) {
    stella_cancel* cancel = NULL;
    stella_result* result = NULL;
    stella_error* error = NULL;
    pthread_t thread;
    float* const memory = malloc((size_t)MANY * LARGE * sizeof *memory);
    struct mailbox box = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, NULL};
    OK(stella_cancel_new(&cancel, &error));
    OK(stella_request_set_output(request, 0, memory, MANY, LARGE, &error));
    if (round == 0) stella_cancel_request(cancel);
    EXPECT(pthread_create(&thread, NULL, cancel_it, cancel) == 0);
    if (round % 2 == 0) {
      const stella_status status = stella_embed(model, request, cancel, &result, &error);
      EXPECT(status == STELLA_OK || status == STELLA_ERROR_CANCELLED);
      EXPECT(round != 0 || status == STELLA_ERROR_CANCELLED);
    } else {
      OK(stella_embed_async(model, request, cancel, on_done, &box, &error));
      wait_for(&box);
      EXPECT((box.result == NULL) == (stella_error_code(box.error) == STELLA_ERROR_CANCELLED));
    }
    free(memory);
    pthread_join(thread, NULL);
    stella_cancel_free(cancel);
    stella_result_free(result);
    stella_result_free(box.result);
    stella_error_free(error);
    stella_error_free(box.error);
  }
  OK(stella_request_set_output(request, 0, NULL, 0, 0, &error));
  for (size_t i = 0; i < (size_t)MANY * 20; ++i) add_text(request, texts[i % TEXTS]);
  OK(stella_request_set_number(request, STELLA_REQUEST_TIMEOUT_MS, 1, &error));
  FAILS(stella_embed(model, request, NULL, &(stella_result*){NULL}, &error), STELLA_ERROR_DEADLINE_EXCEEDED, "");
  stella_request_free(request);
  stella_model_free(model);
}

static void on_log(void* user, int32_t level, const char* line) {
  (void)level;
  (void)line;
  pthread_mutex_lock(&((struct mailbox*)user)->mutex);
  ++((struct mailbox*)user)->calls;
  pthread_mutex_unlock(&((struct mailbox*)user)->mutex);
}

static void check_log(const char* name) {
  struct mailbox box = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, NULL};
  OK(stella_set_log(on_log, &box, STELLA_LOG_DEBUG, &error));
  stella_model* model = open_model(name, NULL);
  OK(stella_model_load(model, NULL, &error));
  EXPECT(box.calls > 0);
  OK(stella_set_log(NULL, NULL, STELLA_LOG_DEBUG, &error));
  stella_model_free(model);
}

static void check_versions(void) {
  EXPECT(stella_abi_version() == STELLA_ABI_VERSION);
  EXPECT(strlen(stella_version()) >= 5);
  EXPECT(strcmp(stella_status_name(STELLA_OK), "ok") == 0);
  EXPECT(strcmp(stella_status_name(STELLA_ERROR_HUB_UNREACHABLE), "hub_unreachable") == 0);
  EXPECT(strcmp(stella_status_name(STELLA_ERROR_UNAVAILABLE), "unavailable") == 0);
  EXPECT(strcmp(stella_status_name(STELLA_ERROR_UNKNOWN), "unknown") == 0);
  EXPECT(strcmp(stella_status_name(1000), "unknown") == 0);
}

static int run_embed(const char* name, const char* task, size_t dimension) {
  stella_model* model = open_model(name, NULL);
  stella_request* request = new_request(dimension);
  OK(stella_request_set_text(request, STELLA_REQUEST_TASK, task, &error));
  char line[65536];
  while (fgets(line, sizeof line, stdin) != NULL) {
    OK(stella_request_add_text(request, line, strcspn(line, "\n"), &error));
  }
  size_t rows = 0, columns = 0;
  float* const vectors = embed(model, request, &rows, &columns);
  const size_t wrote = fwrite(vectors, sizeof *vectors, rows * columns, stdout);
  free(vectors);
  stella_request_free(request);
  stella_model_free(model);
  return wrote == rows * columns ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc == 5 && strcmp(argv[1], "embed") == 0) return run_embed(argv[2], argv[3], (size_t)atoi(argv[4]));
  if (argc != 3 || strcmp(argv[1], "check") != 0) return 2;
  check_versions();
  check_arguments(argv[2]);
  check_ways(argv[2]);
  check_description(argv[2]);
  check_threads(argv[2]);
  check_log(argv[2]);
  if (failures == 0) puts("all is as stella.h says");
  return failures != 0;
}
