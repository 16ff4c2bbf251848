//! The rsync protocol without an operating system.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "alloc")]
pub mod batch;
pub mod checksum;
#[cfg(feature = "alloc")]
pub mod chmod;
#[cfg(feature = "alloc")]
pub mod copying;
#[cfg(feature = "defmt")]
mod defmt_flags;
pub mod delta;
pub mod error;
pub mod exit;
#[cfg(feature = "alloc")]
pub mod filter;
pub mod flist;
#[cfg(feature = "test-util")]
pub mod fuzz;
pub mod io;
pub mod item;
pub mod limits;
pub mod mux;
pub mod names;
#[cfg(feature = "alloc")]
mod notice;
#[cfg(feature = "alloc")]
pub mod options;
#[cfg(feature = "alloc")]
pub mod ports;
pub mod rt;
#[cfg(feature = "alloc")]
pub mod session;
pub mod setup;
#[cfg(feature = "alloc")]
pub mod stats;
pub mod tiny;
pub mod token;
mod trace;
pub mod version;
pub mod wire;
