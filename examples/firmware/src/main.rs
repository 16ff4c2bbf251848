//! A device whose files stock rsync pulls and pushes over a serial line.
//!
//! The board is the LM3S6965 evaluation board (Cortex-M3, 64 KiB of RAM) as QEMU emulates it. UART 0 carries the
//! sessions, UART 1 the log messages, and a file of the host stands for the memory card.

#![no_std]
#![no_main]

mod card;
mod factory;
mod host;
mod log;
mod stack;
mod uart;

use arsync_core::{
    error::Error,
    rt::block_on_ready,
    tiny::{Config, Fault, Memory, serve},
};
use card::Card;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use uart::{Line, LineError};

/// 64 files with 2 KiB of names; deltas against block sums of files up to 90 KB.
type Work = Memory<64, 2048, 128, 2048>;

/// How long the line has to be silent behind noise, in wraps of the timer.
const QUIET: u32 = 2;

#[entry]
fn main() -> ! {
    static mut WORK: Work = Work::new();
    uart::init();
    defmt::info!("boot, {=usize} bytes of session memory", size_of::<Work>());
    let mut card = match Card::open() {
        Ok(card) => card,
        Err(error) => {
            defmt::error!("no card: {}", error);
            host::exit(3)
        }
    };
    if card.is_empty() {
        defmt::info!("new card: writing the logs");
        if let Err(error) = block_on_ready(factory::write_logs(&mut card)) {
            defmt::error!("cannot write the logs: {}", error);
        }
    }
    let mut session = 0u32;
    loop {
        session += 1;
        // A seed that differs from session to session; the device has no clock and no better source.
        let config = Config { seed: 0x5eed + session as i32, checksums: "md5 md4", ..Config::default() };
        let result = block_on_ready(serve(Line::new(), Line::new(), &mut card, WORK, &config));
        defmt::info!("stack: {=usize} of {=usize} bytes used at most", stack::high_water(), stack::size());
        match result {
            Ok(summary) => {
                defmt::info!("session {=u32} done: {}", session, summary);
                host::exit(summary.exit_code().0.into());
            }
            Err(Fault::NoCommand) => {
                // Noise: wait until the line is quiet, then for the next session.
                let dropped = uart::drain(QUIET);
                defmt::warn!("noise on the line, {=u32} more bytes dropped", dropped);
            }
            Err(Fault::Session(Error::Io(LineError::Idle))) => {
                defmt::warn!("nobody called");
                host::exit(0);
            }
            Err(fault) => {
                defmt::error!("session {=u32} failed: {}", session, fault);
                // Its open file, if there was one, is forgotten; the old one is still there.
                host::exit(fault.exit_code().0.into());
            }
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("panic");
    host::exit(101)
}

#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    host::exit(102)
}
