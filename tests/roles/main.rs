//! Both ends of a session from core, over pipes of any size, with trees in memory: each combination of protocol,
//! direction and options must end without a deadlock and leave the destination as it should be.

mod budget;
mod charset;
mod fake;
mod faults;
mod hostile;
mod matrix;
mod session;
mod tiny;
