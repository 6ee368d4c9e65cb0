/* Two passages and a query, embedded in C: with a call that blocks, into memory of one's own, and with a callback.
 *     embed MODEL     MODEL: a directory, "demo", or a repository's id */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stella.h>

enum { DIMENSION = 256, PASSAGES = 2 };

static void check(stella_error* error) {
  if (error == NULL) return;
  fprintf(stderr, "%s: %s\n", stella_status_name(stella_error_code(error)), stella_error_message(error));
  exit(1);
}

static stella_request* new_request(const char* task) {
  static const size_t dimension = DIMENSION;
  stella_request* request = NULL;
  stella_error* error = NULL;
  stella_request_new(&request, &error);
  check(error);
  stella_request_set_text(request, STELLA_REQUEST_TASK, task, &error);
  check(error);
  stella_request_set_dimensions(request, &dimension, 1, &error);
  check(error);
  return request;
}

static void add_text(stella_request* request, const char* text) {
  stella_error* error = NULL;
  stella_request_add_text(request, text, strlen(text), &error);
  check(error);
}

/* What the callback leaves for the thread that waits. */
struct mailbox {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  stella_result* result;
  stella_error* error;
};

static void on_done(void* user, stella_result* result, stella_error* error) {
  struct mailbox* box = user;
  pthread_mutex_lock(&box->mutex);
  box->result = result;
  box->error = error;
  pthread_cond_signal(&box->changed);
  pthread_mutex_unlock(&box->mutex);
}

int main(int argc, char** argv) {
  static const char* const passages[PASSAGES] = {"Safetensors is a simple format for storing tensors safely.",
                                                 "Beijing is the capital of China."};
  static float vectors[PASSAGES][DIMENSION];
  struct mailbox box = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL};
  stella_model* model = NULL;
  stella_result* result = NULL;
  stella_error* error = NULL;
  if (argc != 2) return 2;
  stella_model_new(argv[1], NULL, NULL, &model, &error);
  check(error);

  stella_request* documents = new_request("document");
  for (size_t i = 0; i < PASSAGES; ++i) add_text(documents, passages[i]);
  stella_request_set_output(documents, 0, vectors[0], PASSAGES, DIMENSION, &error);
  check(error);
  stella_embed(model, documents, NULL, &result, &error);
  check(error);
  stella_result_free(result);

  stella_request* query = new_request("s2p");
  add_text(query, "What are safetensors?");
  stella_embed_async(model, query, NULL, on_done, &box, &error);
  check(error);
  pthread_mutex_lock(&box.mutex);
  while (box.result == NULL && box.error == NULL) pthread_cond_wait(&box.changed, &box.mutex);
  pthread_mutex_unlock(&box.mutex);
  check(box.error);

  const float* values = NULL;
  size_t rows = 0, columns = 0;
  stella_result_vectors(box.result, 0, &values, &rows, &columns, NULL, &error);
  check(error);
  for (size_t i = 0; i < PASSAGES; ++i) {
    double cosine = 0; /* of unit vectors */
    for (size_t j = 0; j < columns; ++j) cosine += (double)values[j] * vectors[i][j];
    printf("%.3f  %s\n", cosine, passages[i]);
  }
  stella_result_free(box.result);
  stella_request_free(query);
  stella_request_free(documents);
  stella_model_free(model);
  return 0;
}
