/* stella.cpp for C and for whatever calls C: a stable ABI over stella::Model (stella/model.hpp).
 *
 * Conventions
 *   Handles are opaque. What a function gives through a pointer to a handle is the caller's, who frees it with the
 *   handle's own _free(), which takes NULL. Pointers into a handle live as long as the handle.
 *   Names, paths and prompts are UTF-8 and end with NUL; texts have a length, and may hold NUL.
 *   A function that can fail returns STELLA_OK or one of the codes below, and gives through its last argument, unless
 *   that is NULL, an error with a message (NULL where all is well). What else it would have given is then NULL or 0.
 *   A NULL where the comment does not allow it, a number that is none of the names, an index beyond the end, or a length
 *   that no memory has is STELLA_ERROR_INVALID_ARGUMENT with a message that names the argument; nothing is done then.
 *   No C++ exception leaves the library, and the library prints nothing.
 *
 * Threads
 *   "Thread-safe": may be called on one handle by any number of threads at once. "One thread at a time": not together
 *   with any other function on the same handle. No handle may be used while or after it is freed.
 *   A callback runs on a thread of the library: it must return, may call every function here, and must not let an
 *   exception or a longjmp() out.
 *   After fork() models and runtimes of the parent answer STELLA_ERROR_INVALID_ARGUMENT in the child; make new ones.
 */
#ifndef STELLA_H
#define STELLA_H

#include <stddef.h>
#include <stdint.h>

#define STELLA_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Versions ---------------------------------------------------------------------------------------------------- */

/* Grows with every change that a compiled program could notice; functions and names are only ever added within one. */
#define STELLA_ABI_VERSION 1

/* STELLA_ABI_VERSION of the library that is loaded: a program compares it with its own. Thread-safe. */
STELLA_API uint32_t stella_abi_version(void);
/* Of the library, "0.1.0". Thread-safe. */
STELLA_API const char* stella_version(void);

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

typedef int32_t stella_status;

enum {
  STELLA_OK = 0,
  /* Wrong input. */
  STELLA_ERROR_INVALID_ARGUMENT = 1,
  STELLA_ERROR_UNSUPPORTED_DIMENSION = 2,
  STELLA_ERROR_EMPTY_TEXT = 3,
  STELLA_ERROR_EMPTY_BATCH = 4,
  STELLA_ERROR_BATCH_TOO_LARGE = 5,
  STELLA_ERROR_TEXT_TOO_LARGE = 6,
  STELLA_ERROR_TEXT_TOO_LONG = 7,
  STELLA_ERROR_INVALID_UTF8 = 8,
  STELLA_ERROR_ALREADY_REGISTERED = 9,
  /* Files of a checkpoint. */
  STELLA_ERROR_MALFORMED_FILE = 10,
  STELLA_ERROR_MISSING_TENSOR = 11,
  STELLA_ERROR_UNSUPPORTED_MODEL = 12,
  /* Machine. */
  STELLA_ERROR_IO = 13,
  STELLA_ERROR_OUT_OF_MEMORY = 14,
  STELLA_ERROR_UNSUPPORTED_PROCESSOR = 15,
  STELLA_ERROR_CANCELLED = 16,
  STELLA_ERROR_SHUT_DOWN = 17,
  /* The hub. */
  STELLA_ERROR_REPOSITORY_NOT_FOUND = 18,
  STELLA_ERROR_GATED_REPO = 19,
  STELLA_ERROR_REVISION_NOT_FOUND = 20,
  STELLA_ERROR_ENTRY_NOT_FOUND = 21,
  STELLA_ERROR_LOCAL_ENTRY_NOT_FOUND = 22,
  STELLA_ERROR_HTTP = 23,
  STELLA_ERROR_FILE_METADATA = 24,
  STELLA_ERROR_HUB_UNREACHABLE = 25,
  STELLA_ERROR_OFFLINE = 26,
  STELLA_ERROR_INTEGRITY = 27,
  /* Machine and load. */
  STELLA_ERROR_RESOURCE_LIMIT = 28,
  STELLA_ERROR_LIMIT_EXCEEDED = 29,
  STELLA_ERROR_OVERLOADED = 30,
  STELLA_ERROR_DEADLINE_EXCEEDED = 31,
  STELLA_ERROR_UNAVAILABLE = 32,
  /* A defect of the library, or a code that this version of the header does not know. */
  STELLA_ERROR_UNKNOWN = -1
};

typedef struct stella_error stella_error;

/* What else is known of an error. */
enum {
  STELLA_DETAIL_FILE = 1,       /* path, or name in the hub */
  STELLA_DETAIL_TENSOR = 2,     /* in that file */
  STELLA_DETAIL_URL = 3,        /* without user and query */
  STELLA_DETAIL_REQUEST_ID = 4, /* the hub's, for its operators */
  STELLA_DETAIL_CAUSE = 5,      /* of STELLA_ERROR_LOCAL_ENTRY_NOT_FOUND */
  STELLA_DETAIL_HTTP_STATUS = 6 /* "404" */
};

/* One of the codes above; STELLA_OK of NULL. Thread-safe. */
STELLA_API stella_status stella_error_code(const stella_error* error);
/* One line: what was wrong, with what, and what to do; "" of NULL. Thread-safe. */
STELLA_API const char* stella_error_message(const stella_error* error);
/* A detail; "" where it does not apply, and of NULL. Thread-safe. */
STELLA_API const char* stella_error_detail(const stella_error* error, int32_t detail);
/* "unsupported_dimension" of STELLA_ERROR_UNSUPPORTED_DIMENSION, "unknown" of what is none. Thread-safe. */
STELLA_API const char* stella_status_name(stella_status status);
STELLA_API void stella_error_free(stella_error* error);

/* ---- Log --------------------------------------------------------------------------------------------------------- */

enum { STELLA_LOG_DEBUG = 0, STELLA_LOG_INFO = 1, STELLA_LOG_WARNING = 2, STELLA_LOG_ERROR = 3 };

/* One line without a newline, possibly from several threads at once. */
typedef void (*stella_log_callback)(void* user, int32_t level, const char* line);

/* Where remarks of at least `level` go, for the whole process; NULL: nowhere, as at the start. A call that runs already
 * may go on for a moment after it was replaced. Thread-safe. */
STELLA_API stella_status stella_set_log(stella_log_callback callback, void* user, int32_t level, stella_error** error);

/* ---- Cancellation ------------------------------------------------------------------------------------------------ */

typedef struct stella_cancel stella_cancel;

STELLA_API stella_status stella_cancel_new(stella_cancel** cancel, stella_error** error);
/* Ends every operation that was given this handle, now and later, with STELLA_ERROR_CANCELLED. Thread-safe. */
STELLA_API void stella_cancel_request(stella_cancel* cancel);
/* Operations that were given it go on. */
STELLA_API void stella_cancel_free(stella_cancel* cancel);

/* ---- Options of runtimes and models ------------------------------------------------------------------------------ */

typedef struct stella_options stella_options;

enum {
  /* Texts. */
  STELLA_OPTION_REVISION = 1,         /* of the repository; "main" */
  STELLA_OPTION_PRECISION = 2,        /* "auto", "f32", "bf16", "int16", "int8"; "auto" */
  STELLA_OPTION_TOKEN = 3,            /* for the hub; HF_TOKEN or the token file */
  STELLA_OPTION_ENDPOINT = 4,         /* of the hub; HF_ENDPOINT */
  STELLA_OPTION_HOME = 5,             /* folder for the hub's cache ("hub") and packed weights ("stella"); HF_HOME */
  STELLA_OPTION_PACKED_DIRECTORY = 6, /* for packed weights; below the home */
  STELLA_OPTION_KERNELS = 7,          /* "auto", "portable", "avx2", "avx512"; "auto" */
  /* Numbers. */
  STELLA_OPTION_OFFLINE = 20,           /* 1: the hub is never asked; HF_HUB_OFFLINE */
  STELLA_OPTION_KEEP_PACKED = 21,       /* 0: no packed weights are kept on the disk; 1 */
  STELLA_OPTION_THREADS = 22,           /* that compute; 0: as many as this process may use */
  STELLA_OPTION_TEAMS = 23,             /* that these form; 0: by caches and NUMA nodes */
  STELLA_OPTION_MAX_QUEUED_TEXTS = 24,  /* beyond which STELLA_ERROR_OVERLOADED is the answer; 0: any number */
  STELLA_OPTION_MAX_QUEUED_TOKENS = 25, /* the same of tokens */
  STELLA_OPTION_SMALL_MODEL_BYTES = 26  /* no packed weights are kept of smaller encoders; 33554432 */
};

/* Of a file that is fetched; `total` is 0 while it is unknown. Never twice at once for one operation. */
typedef void (*stella_progress_callback)(void* user, const char* file, uint64_t bytes, uint64_t total);

/* All as the comments above say. Values are looked at by stella_runtime_new() and stella_model_new(), which copy them.
 * One thread at a time. */
STELLA_API stella_status stella_options_new(stella_options** options, stella_error** error);
STELLA_API stella_status stella_options_set_text(stella_options* options, int32_t option, const char* value,
                                                 stella_error** error);
STELLA_API stella_status stella_options_set_number(stella_options* options, int32_t option, uint64_t value,
                                                   stella_error** error);
/* `callback` NULL: nobody is told, as at the start. */
STELLA_API stella_status stella_options_set_progress(stella_options* options, stella_progress_callback callback,
                                                     void* user, stella_error** error);
STELLA_API void stella_options_free(stella_options* options);

/* ---- Runtimes: the threads that models share --------------------------------------------------------------------- */

typedef struct stella_runtime stella_runtime;

/* Of the options threads, teams, kernels and what may be queued; `options` NULL: the defaults. */
STELLA_API stella_status stella_runtime_new(const stella_options* options, stella_runtime** runtime,
                                            stella_error** error);
/* How many threads compute; 0 of NULL. Thread-safe. */
STELLA_API size_t stella_runtime_threads(const stella_runtime* runtime);
/* Which kernels they run, "avx512-vnni" for example; "" of NULL. Thread-safe. */
STELLA_API const char* stella_runtime_kernels(const stella_runtime* runtime);
/* The threads end with the last model that uses them: what is pending then is STELLA_ERROR_SHUT_DOWN. */
STELLA_API void stella_runtime_free(stella_runtime* runtime);

/* ---- Models ------------------------------------------------------------------------------------------------------ */

typedef struct stella_model stella_model;

/* `name`: a directory in the hub's file layout, "demo" for the bundled model, else a repository's id. Nothing is read
 * or fetched until an operation needs it. `options` NULL: the defaults. `runtime` NULL: one of the model's own where
 * the options have threads, teams, kernels or what may be queued, else the one that the process shares. */
STELLA_API stella_status stella_model_new(const char* name, const stella_options* options, stella_runtime* runtime,
                                          stella_model** model, stella_error** error);
/* Operations that run are not ended by it; whoever waits for them is answered. */
STELLA_API void stella_model_free(stella_model* model);
/* Fetches what is missing and loads all but the heads. Blocks. `cancel` may be NULL. Thread-safe. */
STELLA_API stella_status stella_model_load(const stella_model* model, const stella_cancel* cancel,
                                           stella_error** error);
/* Lets go of the weights; the next operation loads them again. Thread-safe. */
STELLA_API stella_status stella_model_unload(const stella_model* model, stella_error** error);
/* Bytes of weights: this process's own, and of mapped files that it shares. Thread-safe. */
STELLA_API stella_status stella_model_memory(const stella_model* model, uint64_t* private_bytes, uint64_t* mapped_bytes,
                                             stella_error** error);

/* What the checkpoint's files say of a model. */
typedef struct stella_description stella_description;

enum {
  /* Texts. */
  STELLA_DESCRIPTION_TYPE = 1,             /* "new", "qwen2" or "bert" */
  STELLA_DESCRIPTION_DEFAULT_TASK = 2,     /*  */
  STELLA_DESCRIPTION_DIRECTORY = 3,        /* that holds config.json */
  STELLA_DESCRIPTION_COMMIT = 4,           /* of the repository; "" where it is none */
  STELLA_DESCRIPTION_PRECISION = 5,        /* on this machine; "" until the first load chooses */
  STELLA_DESCRIPTION_PRECISION_REASON = 6, /* for people */
  /* Numbers. */
  STELLA_DESCRIPTION_HIDDEN = 20,
  STELLA_DESCRIPTION_LAYERS = 21,
  STELLA_DESCRIPTION_MAX_LENGTH = 22,       /* tokens of a text, unless a request says otherwise */
  STELLA_DESCRIPTION_MAX_LENGTH_LIMIT = 23, /* most that a request may say */
  STELLA_DESCRIPTION_DEFAULT_DIMENSION = 24,
  STELLA_DESCRIPTION_PROMPTS = 25 /* how many tasks stella_description_prompt() has */
};

/* Loads no weights; may fetch small files. Blocks. `cancel` may be NULL. Thread-safe. */
STELLA_API stella_status stella_model_describe(const stella_model* model, const stella_cancel* cancel,
                                               stella_description** description, stella_error** error);
/* Thread-safe, all four. */
STELLA_API stella_status stella_description_text(const stella_description* description, int32_t field,
                                                 const char** value, stella_error** error);
STELLA_API stella_status stella_description_number(const stella_description* description, int32_t field,
                                                   uint64_t* value, stella_error** error);
/* Sizes of the trained heads, ascending; none: the pooled vector only. */
STELLA_API stella_status stella_description_dimensions(const stella_description* description, const size_t** dimensions,
                                                       size_t* count, stella_error** error);
/* The `index`th task by name and the prompt it puts before each text. */
STELLA_API stella_status stella_description_prompt(const stella_description* description, size_t index,
                                                   const char** task, const char** prompt, stella_error** error);
STELLA_API void stella_description_free(stella_description* description);

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

typedef struct stella_request stella_request;

enum {
  /* Texts. */
  STELLA_REQUEST_TASK = 1,   /* "s2p", "document", …; "": the model's default */
  STELLA_REQUEST_PROMPT = 2, /* put before each text as it is; wins over the task. NULL: none */
  STELLA_REQUEST_CLIENT = 3, /* requests of different clients take turns */
  /* Numbers. */
  STELLA_REQUEST_NORMALIZE = 20,     /* 0: vectors keep the length that the model gives them; 1 */
  STELLA_REQUEST_MAX_LENGTH = 21,    /* tokens of a text; 0: the model's own */
  STELLA_REQUEST_REFUSE_LONG = 22,   /* 1: longer texts are STELLA_ERROR_TEXT_TOO_LONG; 0: they are cut */
  STELLA_REQUEST_CUT_LEFT = 23,      /* 1: their beginning is cut off; 0: as the checkpoint says */
  STELLA_REQUEST_PRIORITY = 24,      /* 0: by size, 1: interactive, 2: bulk */
  STELLA_REQUEST_TIMEOUT_MS = 25,    /* from the call on, then STELLA_ERROR_DEADLINE_EXCEEDED; 0: none. Embedding only */
  STELLA_REQUEST_SPECIAL_TOKENS = 26 /* 0: stella_tokenize() adds none; 1 */
};

/* Texts (or token ids) and how they become vectors or tokens. Operations copy it: it may be changed, used again or freed
 * once they have returned. Setters: one thread at a time. */
STELLA_API stella_status stella_request_new(stella_request** request, stella_error** error);
/* `length` bytes of UTF-8; `text` may be NULL where that is 0. */
STELLA_API stella_status stella_request_add_text(stella_request* request, const char* text, size_t length,
                                                 stella_error** error);
/* Token ids in place of texts, taken as they are. A request has texts or ids. */
STELLA_API stella_status stella_request_add_ids(stella_request* request, const int32_t* ids, size_t count,
                                                stella_error** error);
STELLA_API stella_status stella_request_set_text(stella_request* request, int32_t field, const char* value,
                                                 stella_error** error);
STELLA_API stella_status stella_request_set_number(stella_request* request, int32_t field, uint64_t value,
                                                   stella_error** error);
/* Sizes of the vectors, any number of them from one pass; `count` 0: the model's default, as at the start. What was set
 * with stella_request_set_output() is forgotten. */
STELLA_API stella_status stella_request_set_dimensions(stella_request* request, const size_t* dimensions, size_t count,
                                                       stella_error** error);
/* The caller's memory for the vectors of the `index`th dimension (0 where none was set): row i is written from
 * memory + i * stride on. `rows` is at least the number of texts, `stride` at least the dimension, in floats. It must
 * stay until the operation has ended; nothing is written to it afterwards, whatever the end was. Either every
 * dimension has memory, or none. `memory` NULL: the library's own again, for all. */
STELLA_API stella_status stella_request_set_output(stella_request* request, size_t index, float* memory, size_t rows,
                                                   size_t stride, stella_error** error);
/* Forgets texts and ids, and keeps the rest. */
STELLA_API stella_status stella_request_clear(stella_request* request, stella_error** error);
STELLA_API void stella_request_free(stella_request* request);

/* ---- Embedding --------------------------------------------------------------------------------------------------- */

typedef struct stella_result stella_result;

/* Called exactly once: with a result, or with an error, either of which it must free. */
typedef void (*stella_embed_callback)(void* user, stella_result* result, stella_error* error);

/* Loads what is needed, and blocks until the vectors are there; not from a progress or log callback. `cancel` may be
 * NULL. Thread-safe; requests of many threads are computed together. */
STELLA_API stella_status stella_embed(const stella_model* model, const stella_request* request,
                                      const stella_cancel* cancel, stella_result** result, stella_error** error);
/* The same without waiting. Where it does not return STELLA_OK, the callback is not called. `cancel` may be NULL, and
 * may be freed before the end. Thread-safe. */
STELLA_API stella_status stella_embed_async(const stella_model* model, const stella_request* request,
                                            const stella_cancel* cancel, stella_embed_callback callback, void* user,
                                            stella_error** error);
/* How many texts it is of; 0 of NULL. Thread-safe, as are the next two. */
STELLA_API size_t stella_result_size(const stella_result* result);
/* Of the `index`th dimension: (rows, columns) floats, row i from values + i * stride on; in the caller's memory where
 * that was given. `stride` may be NULL: it is `columns` for the library's own memory. */
STELLA_API stella_status stella_result_vectors(const stella_result* result, size_t index, const float** values,
                                               size_t* rows, size_t* columns, size_t* stride, stella_error** error);
/* Tokens that the `text`th was embedded with, before it was cut, and whether it was. Each may be NULL. */
STELLA_API stella_status stella_result_counts(const stella_result* result, size_t text, size_t* tokens,
                                              size_t* full_tokens, int32_t* truncated, stella_error** error);
STELLA_API void stella_result_free(stella_result* result);

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

typedef struct stella_tokens stella_tokens;

/* Token ids of the request's texts as embedding would use them. Loads no weights. Blocks. `cancel` may be NULL.
 * Thread-safe. */
STELLA_API stella_status stella_tokenize(const stella_model* model, const stella_request* request,
                                         const stella_cancel* cancel, stella_tokens** tokens, stella_error** error);
/* Of the `text`th. `full_count`, before it was cut, may be NULL. Thread-safe. */
STELLA_API stella_status stella_tokens_ids(const stella_tokens* tokens, size_t text, const int32_t** ids, size_t* count,
                                           size_t* full_count, stella_error** error);
STELLA_API void stella_tokens_free(stella_tokens* tokens);

#ifdef __cplusplus
}
#endif

#endif /* STELLA_H */
