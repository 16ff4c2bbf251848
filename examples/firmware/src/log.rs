//! Log messages go out on the second line, encoded; `decoder` shows them.

use core::cell::UnsafeCell;

use crate::uart::{MESSAGES, put};

struct Shared(UnsafeCell<defmt::Encoder>);

// SAFETY: one core, and no interrupt handler logs.
unsafe impl Sync for Shared {}

static ENCODER: Shared = Shared(UnsafeCell::new(defmt::Encoder::new()));

fn send(bytes: &[u8]) {
    for &byte in bytes {
        put(MESSAGES, byte);
    }
}

#[defmt::global_logger]
struct Logger;

// SAFETY: one core, and no interrupt handler logs, so acquire and release alternate.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: see above: nobody else holds the encoder.
        unsafe { (*ENCODER.0.get()).start_frame(send) }
    }
    unsafe fn release() {
        // SAFETY: as above.
        unsafe { (*ENCODER.0.get()).end_frame(send) }
    }
    unsafe fn flush() {}
    unsafe fn write(bytes: &[u8]) {
        // SAFETY: as above.
        unsafe { (*ENCODER.0.get()).write(bytes, send) }
    }
}
