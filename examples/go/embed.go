// Embeds its arguments through cgo and prints how similar each is to the first.
//
//	go run . MODEL TEXT TEXT…
//
// needs `pkg-config --cflags --libs stella-c`, or CGO_CFLAGS and CGO_LDFLAGS.
package main

/*
#include <stella.h>
#include <stdlib.h>

#cgo LDFLAGS: -lstella
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

// check frees the error and gives it as Go's.
func check(err *C.stella_error) error {
	if err == nil {
		return nil
	}
	defer C.stella_error_free(err)
	code := C.stella_error_code(err)
	return fmt.Errorf("%s: %s", C.GoString(C.stella_status_name(code)), C.GoString(C.stella_error_message(err)))
}

// embed gives one unit vector of 256 floats for each text.
func embed(model *C.stella_model, texts []string) ([][]float32, error) {
	var request *C.stella_request
	var err *C.stella_error
	C.stella_request_new(&request, &err)
	if e := check(err); e != nil {
		return nil, e
	}
	defer C.stella_request_free(request)
	for _, text := range texts {
		bytes := C.CString(text)
		C.stella_request_add_text(request, bytes, C.size_t(len(text)), &err)
		C.free(unsafe.Pointer(bytes))
		if e := check(err); e != nil {
			return nil, e
		}
	}
	dimension := C.size_t(256)
	C.stella_request_set_dimensions(request, &dimension, 1, &err)
	if e := check(err); e != nil {
		return nil, e
	}
	var result *C.stella_result
	C.stella_embed(model, request, nil, &result, &err)
	if e := check(err); e != nil {
		return nil, e
	}
	defer C.stella_result_free(result)
	var values *C.float
	var rows, columns C.size_t
	C.stella_result_vectors(result, 0, &values, &rows, &columns, nil, &err)
	if e := check(err); e != nil {
		return nil, e
	}
	all := unsafe.Slice((*float32)(unsafe.Pointer(values)), int(rows*columns))
	vectors := make([][]float32, rows)
	for i := range vectors {
		vectors[i] = append([]float32(nil), all[i*int(columns):(i+1)*int(columns)]...)
	}
	return vectors, nil
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: embed MODEL TEXT TEXT…")
		os.Exit(2)
	}
	if C.stella_abi_version() != C.STELLA_ABI_VERSION {
		fmt.Fprintln(os.Stderr, "libstella has another ABI than the header")
		os.Exit(1)
	}
	name := C.CString(os.Args[1])
	defer C.free(unsafe.Pointer(name))
	var model *C.stella_model
	var err *C.stella_error
	C.stella_model_new(name, nil, nil, &model, &err)
	if e := check(err); e != nil {
		fmt.Fprintln(os.Stderr, e)
		os.Exit(1)
	}
	defer C.stella_model_free(model)
	texts := os.Args[2:]
	vectors, e := embed(model, texts)
	if e != nil {
		fmt.Fprintln(os.Stderr, e)
		os.Exit(1)
	}
	for i, text := range texts[1:] {
		cosine := float32(0)
		for j, x := range vectors[0] {
			cosine += x * vectors[i+1][j]
		}
		fmt.Printf("%.3f  %s\n", cosine, text)
	}
}
