//! Compiles only if nothing in the graph of arsync-core needs std.
#![no_std]
#![no_main]

use arsync_core as _;

#[cfg(feature = "alloc")]
mod heap {
    extern crate alloc;
    use core::{
        alloc::{GlobalAlloc, Layout},
        ptr,
    };

    /// Allocates nothing: the program is checked, never run.
    struct Nothing;

    // SAFETY: returning null is a valid answer to every request, and nothing is ever freed.
    unsafe impl GlobalAlloc for Nothing {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            ptr::null_mut()
        }
        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[global_allocator]
    static HEAP: Nothing = Nothing;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
