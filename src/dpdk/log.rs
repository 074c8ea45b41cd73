//! DPDK's log: into `tracing` where somebody listens, to standard error otherwise, never to standard output.

use std::ffi::{c_char, c_void};
use std::io::Write;
use std::panic::catch_unwind;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// The first line at error level, which is the cause of those after it, kept for the error that the caller
/// is about to get.
static FIRST_ERROR: Mutex<Option<String>> = Mutex::new(None);

/// Takes DPDK's log over, from its first line on.
pub(super) fn capture() {
    let functions =
        dpdk_sys::cookie_io_functions_t { write: Some(write), read: None, seek: None, close: None };
    // SAFETY: the mode is a string, and `write` is all that a stream opened for writing needs.
    let stream = unsafe { dpdk_sys::fopencookie(ptr::null_mut(), c"w".as_ptr(), functions) };
    if !stream.is_null() {
        // SAFETY: the stream stays open until the process ends. It cannot fail.
        unsafe { dpdk_sys::rte_openlog_stream(stream) };
    }
}

/// Forgets errors of calls before this one.
pub(super) fn forget() {
    *FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// What DPDK first logged as an error since [`forget`].
pub(super) fn first_error() -> Option<String> {
    FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Called by the C library once for each message, on the thread that logs it.
unsafe extern "C" fn write(_: *mut c_void, text: *const c_char, len: usize) -> i64 {
    // SAFETY: the C library hands over `len` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    // Nothing may unwind into C: what a subscriber panics with is lost.
    let _ = catch_unwind(|| pass_on(&String::from_utf8_lossy(bytes)));
    len as i64
}

fn pass_on(text: &str) {
    let line = text.trim_end();
    if line.is_empty() {
        return;
    }
    // SAFETY: reads a thread-local variable that is set while a message is being written.
    let level = unsafe { dpdk_sys::rte_log_cur_msg_loglevel() }.cast_unsigned();
    if level <= dpdk_sys::RTE_LOG_ERR {
        let mut first = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| line.to_owned());
    }
    if !tracing::dispatcher::has_been_set() {
        let _ = writeln!(std::io::stderr(), "{line}");
        return;
    }
    match level {
        0..=dpdk_sys::RTE_LOG_ERR => tracing::error!(target: "dpdk", "{line}"),
        dpdk_sys::RTE_LOG_WARNING => tracing::warn!(target: "dpdk", "{line}"),
        dpdk_sys::RTE_LOG_NOTICE | dpdk_sys::RTE_LOG_INFO => tracing::info!(target: "dpdk", "{line}"),
        _ => tracing::debug!(target: "dpdk", "{line}"),
    }
}
