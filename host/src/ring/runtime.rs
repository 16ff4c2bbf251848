//! Builds the runtime of the protocol thread: a ring with deferred task work, a plain ring, or, where the kernel
//! or a sandbox offers none, the polling driver.

use std::io;

use compio::{
    driver::{DriverType, ProactorBuilder},
    runtime::{Runtime, RuntimeBuilder},
};

/// What a runtime runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring, submitted to by one thread, completions handled when that thread waits (Linux 6.1).
    DeferredRing,
    /// io_uring.
    PlainRing,
    /// epoll.
    Polling,
}

impl Driver {
    /// Its name for users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeferredRing => "io_uring with deferred work",
            Self::PlainRing => "io_uring",
            Self::Polling => "epoll",
        }
    }
}

/// Submission entries. A session has few operations under way at a time.
const ENTRIES: u32 = 256;

/// The best runtime that can be had, and what it runs on (for `--debug=io`).
pub fn build() -> io::Result<(Runtime, Driver)> {
    for driver in [Driver::DeferredRing, Driver::PlainRing] {
        if let Ok(runtime) = build_with(driver) {
            return Ok((runtime, driver));
        }
    }
    Ok((build_with(Driver::Polling)?, Driver::Polling))
}

/// A runtime on this driver.
pub fn build_with(driver: Driver) -> io::Result<Runtime> {
    let mut proactor = ProactorBuilder::new();
    proactor.capacity(ENTRIES);
    match driver {
        Driver::DeferredRing => {
            proactor.driver_type(DriverType::IoUring).single_issuer(true).defer_taskrun(true)
        }
        Driver::PlainRing => proactor.driver_type(DriverType::IoUring),
        Driver::Polling => proactor.driver_type(DriverType::Poll),
    };
    RuntimeBuilder::new().with_proactor(proactor).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_can_always_be_built() {
        let (runtime, driver) = build().unwrap();
        assert_eq!(runtime.driver_type().is_polling(), driver == Driver::Polling);
        assert_eq!(runtime.block_on(async { 7 }), 7);
        assert!(build_with(Driver::Polling).unwrap().driver_type().is_polling());
    }
}
