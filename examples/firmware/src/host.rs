//! Semihosting: the calls by which a program under a debugger or emulator uses files of the host.

use core::arch::asm;

const SYS_OPEN: usize = 0x01;
const SYS_WRITE: usize = 0x05;
const SYS_READ: usize = 0x06;
const SYS_SEEK: usize = 0x0a;
const SYS_EXIT_EXTENDED: usize = 0x20;
/// "The application ended."
const APPLICATION_EXIT: usize = 0x2_0026;

/// # Safety
/// `block` must hold what the operation wants.
unsafe fn call(operation: usize, block: &[usize]) -> isize {
    let result: usize;
    // SAFETY: the debugger answers in r0 and changes nothing but what the block points to.
    unsafe {
        asm!("bkpt 0xab", inout("r0") operation => result, in("r1") block.as_ptr(), options(nostack));
    }
    result as isize
}

/// A file of the host.
pub struct File(usize);

impl File {
    /// `mode` as in semihosting: 3 is `r+b`, 7 is `w+b`. `name` ends in a NUL.
    pub fn open(name: &[u8], mode: usize) -> Option<Self> {
        let len = name.len().checked_sub(1)?;
        // SAFETY: pointer and length of the name, and a mode.
        let handle = unsafe { call(SYS_OPEN, &[name.as_ptr() as usize, mode, len]) };
        usize::try_from(handle).ok().map(Self)
    }

    fn seek(&self, offset: u32) -> bool {
        // SAFETY: a handle and a number.
        unsafe { call(SYS_SEEK, &[self.0, offset as usize]) == 0 }
    }

    /// Reads up to `buf.len()` bytes.
    pub fn read_at(&self, offset: u32, buf: &mut [u8]) -> Option<usize> {
        if !self.seek(offset) {
            return None;
        }
        // SAFETY: the buffer is as long as said, and borrowed for writing.
        let left = unsafe { call(SYS_READ, &[self.0, buf.as_mut_ptr() as usize, buf.len()]) };
        buf.len().checked_sub(usize::try_from(left).ok()?)
    }

    /// Writes all of `data`.
    pub fn write_at(&self, offset: u32, data: &[u8]) -> bool {
        // SAFETY: the data is as long as said.
        self.seek(offset) && unsafe { call(SYS_WRITE, &[self.0, data.as_ptr() as usize, data.len()]) == 0 }
    }
}

/// Ends the emulation.
pub fn exit(code: usize) -> ! {
    // SAFETY: a reason and a code.
    unsafe { call(SYS_EXIT_EXTENDED, &[APPLICATION_EXIT, code]) };
    loop {
        cortex_m::asm::wfi();
    }
}
