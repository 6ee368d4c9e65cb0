/* program.cpp in C, against the shared library. */
#include <stdio.h>
#include <stella.h>

int main(int argc, char** argv) {
  static const char text[] = "What are safetensors?";
  const size_t dimension = 256;
  stella_model* model = NULL;
  stella_request* request = NULL;
  stella_result* result = NULL;
  stella_error* error = NULL;
  const float* values = NULL;
  size_t rows = 0, columns = 0;
  if (argc != 2) return 2;
  if (stella_model_new(argv[1], NULL, NULL, &model, &error) == STELLA_OK &&
      stella_request_new(&request, &error) == STELLA_OK &&
      stella_request_add_text(request, text, sizeof text - 1, &error) == STELLA_OK &&
      stella_request_set_dimensions(request, &dimension, 1, &error) == STELLA_OK &&
      stella_embed(model, request, NULL, &result, &error) == STELLA_OK &&
      stella_result_vectors(result, 0, &values, &rows, &columns, NULL, &error) == STELLA_OK) {
    printf("%zu\n", columns);
  } else {
    fprintf(stderr, "%s\n", stella_error_message(error));
  }
  stella_result_free(result);
  stella_request_free(request);
  stella_model_free(model);
  stella_error_free(error);
  return columns == 0;
}
