//! Embeds its arguments through the C ABI and prints how similar each is to the first.
//!
//!     rustc --edition 2021 -L LIBRARY_FOLDER embed.rs && ./embed MODEL TEXT TEXT…
use std::ffi::{c_char, CStr, CString};
use std::marker::{PhantomData, PhantomPinned};
use std::process::ExitCode;
use std::ptr::{null, null_mut};

/// An opaque handle of stella.h.
#[repr(C)]
struct Opaque {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[link(name = "stella")]
extern "C" {
    fn stella_abi_version() -> u32;
    fn stella_error_message(error: *const Opaque) -> *const c_char;
    fn stella_error_free(error: *mut Opaque);
    fn stella_model_new(name: *const c_char, options: *const Opaque, runtime: *mut Opaque, model: *mut *mut Opaque, error: *mut *mut Opaque) -> i32;
    fn stella_model_free(model: *mut Opaque);
    fn stella_request_new(request: *mut *mut Opaque, error: *mut *mut Opaque) -> i32;
    fn stella_request_add_text(request: *mut Opaque, text: *const c_char, length: usize, error: *mut *mut Opaque) -> i32;
    fn stella_request_set_dimensions(request: *mut Opaque, dimensions: *const usize, count: usize, error: *mut *mut Opaque) -> i32;
    fn stella_request_set_output(request: *mut Opaque, index: usize, memory: *mut f32, rows: usize, stride: usize, error: *mut *mut Opaque) -> i32;
    fn stella_request_free(request: *mut Opaque);
    fn stella_embed(model: *const Opaque, request: *const Opaque, cancel: *const Opaque, result: *mut *mut Opaque, error: *mut *mut Opaque) -> i32;
    fn stella_result_free(result: *mut Opaque);
}

/// Calls a function of stella.h with its last argument, and makes a Result of what it says.
fn call(function: impl FnOnce(*mut *mut Opaque) -> i32) -> Result<(), String> {
    let mut error = null_mut();
    if function(&mut error) == 0 {
        return Ok(());
    }
    // SAFETY: the function has failed, so `error` is an error of its own.
    unsafe {
        let message = CStr::from_ptr(stella_error_message(error)).to_string_lossy().into_owned();
        stella_error_free(error);
        Err(message)
    }
}

/// Frees a handle at the end of its scope.
struct Handle(*mut Opaque, unsafe extern "C" fn(*mut Opaque));
impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is this value's alone.
        unsafe { (self.1)(self.0) }
    }
}

struct Model(Handle);
// SAFETY: stella.h says that operations on a model are thread-safe.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    fn new(name: &str) -> Result<Self, String> {
        let name = CString::new(name).map_err(|error| error.to_string())?;
        let mut model = null_mut();
        call(|error| unsafe { stella_model_new(name.as_ptr(), null(), null_mut(), &mut model, error) })?;
        Ok(Self(Handle(model, stella_model_free)))
    }

    /// One unit vector for each text, written into this program's memory.
    fn embed(&self, texts: &[String], dimension: usize) -> Result<Vec<Vec<f32>>, String> {
        let mut request = null_mut();
        call(|error| unsafe { stella_request_new(&mut request, error) })?;
        let request = Handle(request, stella_request_free);
        for text in texts {
            call(|error| unsafe { stella_request_add_text(request.0, text.as_ptr().cast(), text.len(), error) })?;
        }
        let mut memory = vec![0f32; texts.len() * dimension];
        call(|error| unsafe { stella_request_set_dimensions(request.0, &dimension, 1, error) })?;
        call(|error| unsafe { stella_request_set_output(request.0, 0, memory.as_mut_ptr(), texts.len(), dimension, error) })?;
        let mut result = null_mut();
        call(|error| unsafe { stella_embed(self.0 .0, request.0, null(), &mut result, error) })?;
        drop(Handle(result, stella_result_free));
        Ok(memory.chunks(dimension).map(<[f32]>::to_vec).collect())
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    if unsafe { stella_abi_version() } != 1 {
        return Err("libstella has another ABI than this program".into());
    }
    let [_, name, texts @ ..] = arguments else { return Err("usage: embed MODEL TEXT TEXT…".into()) };
    let vectors = Model::new(name)?.embed(texts, 256)?;
    for (text, vector) in texts.iter().zip(&vectors).skip(1) {
        let cosine: f32 = vectors[0].iter().zip(vector).map(|(a, b)| a * b).sum();
        println!("{cosine:.3}  {text}");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&std::env::args().collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
