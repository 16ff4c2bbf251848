//! The peer in fixed memory: against itself, against stock rsync, against line noise.

mod daemon;
mod memory;
mod stock;

/// Bytes without a pattern.
pub fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let step = |state: &mut u32| {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        *state as u8
    };
    (0..len).map(|_| step(&mut state)).collect()
}
