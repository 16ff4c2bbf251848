//! The io_uring runtime. Everything that knows how compio's driver is set up is here.

pub mod runtime;
