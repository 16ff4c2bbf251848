//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(arsync::run(std::env::args_os()))
}
