//! The serial lines (PL011) and their timeout.

use core::ptr::{read_volatile, write_volatile};

use arsync_core::io::{BufRead, ErrorKind, ErrorType, Read, Write};

/// UART 0: sessions.
pub const SESSIONS: usize = 0x4000_c000;
/// UART 1: messages.
pub const MESSAGES: usize = 0x4000_d000;

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const LINE_CONTROL: usize = 0x2c;
const CONTROL: usize = 0x30;
const RX_EMPTY: u32 = 1 << 4;
const TX_FULL: u32 = 1 << 5;

/// Clock gates of the UARTs and of port A.
const RCGC1: usize = 0x400f_e104;
/// The system timer.
const TIMER_CONTROL: usize = 0xe000_e010;
const TIMER_RELOAD: usize = 0xe000_e014;
const TIMER_VALUE: usize = 0xe000_e018;
const TIMER_WRAPPED: u32 = 1 << 16;

/// How long the peer may be silent within a session, in wraps of the timer, each a third of a second at 12 MHz.
const SILENCE: u32 = 28;
/// How long to wait for a session.
const IDLE: u32 = 160;

fn get(address: usize) -> u32 {
    // SAFETY: the addresses are those of registers of this chip; reading them is harmless.
    unsafe { read_volatile(address as *const u32) }
}

fn set(address: usize, value: u32) {
    // SAFETY: as above; nothing else in this program uses these registers.
    unsafe { write_volatile(address as *mut u32, value) }
}

/// Switches lines and timer on.
pub fn init() {
    set(RCGC1, get(RCGC1) | 3);
    for uart in [SESSIONS, MESSAGES] {
        // Eight bits, FIFOs; enabled in both directions.
        set(uart + LINE_CONTROL, 0x70);
        set(uart + CONTROL, 0x301);
    }
    set(TIMER_RELOAD, 0x003f_ffff);
    set(TIMER_VALUE, 0);
    set(TIMER_CONTROL, 5);
}

/// Writes one byte.
pub fn put(uart: usize, byte: u8) {
    while get(uart + FLAGS) & TX_FULL != 0 {}
    set(uart + DATA, byte.into());
}

/// A byte, if one has come.
fn take() -> Option<u8> {
    (get(SESSIONS + FLAGS) & RX_EMPTY == 0).then(|| get(SESSIONS + DATA) as u8)
}

/// Drops what comes until the line is silent for `wraps` of the timer; returns how much that was.
pub fn drain(wraps: u32) -> u32 {
    let (mut dropped, mut silent) = (0, 0);
    let _ = get(TIMER_CONTROL);
    while silent <= wraps {
        if take().is_some() {
            (dropped, silent) = (dropped + 1, 0);
        } else if get(TIMER_CONTROL) & TIMER_WRAPPED != 0 {
            silent += 1;
        }
    }
    dropped
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, defmt::Format)]
pub enum LineError {
    /// The line was cut, or the peer died.
    Silent,
    /// No session began.
    Idle,
}

impl core::fmt::Display for LineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the line is silent")
    }
}

impl core::error::Error for LineError {}

impl arsync_core::io::Error for LineError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::TimedOut
    }
}

/// UART 0. Waiting is polling: this device has nothing else to do.
pub struct Line {
    buf: [u8; 64],
    at: usize,
    len: usize,
    started: bool,
}

impl Line {
    pub const fn new() -> Self {
        Self { buf: [0; 64], at: 0, len: 0, started: false }
    }
}

impl ErrorType for Line {
    type Error = LineError;
}

impl BufRead for Line {
    async fn fill_buf(&mut self) -> Result<&[u8], LineError> {
        if self.at == self.len {
            (self.at, self.len) = (0, 0);
            let mut silent = 0;
            loop {
                match take() {
                    Some(byte) => {
                        self.buf[self.len] = byte;
                        self.len += 1;
                        if self.len == self.buf.len() {
                            break;
                        }
                    }
                    None if self.len > 0 => break,
                    None if get(TIMER_CONTROL) & TIMER_WRAPPED != 0 => {
                        silent += 1;
                        if silent > if self.started { SILENCE } else { IDLE } {
                            return Err(if self.started { LineError::Silent } else { LineError::Idle });
                        }
                    }
                    None => {}
                }
            }
            self.started = true;
        }
        Ok(&self.buf[self.at..self.len])
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

impl Read for Line {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, LineError> {
        let have = self.fill_buf().await?;
        let n = have.len().min(buf.len());
        buf[..n].copy_from_slice(&have[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl Write for Line {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, LineError> {
        for &byte in buf {
            put(SESSIONS, byte);
        }
        Ok(buf.len())
    }

    async fn flush(&mut self) -> Result<(), LineError> {
        Ok(())
    }
}
