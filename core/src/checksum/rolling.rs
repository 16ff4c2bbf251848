//! The weak checksum of a block, which can be moved along a file byte by byte.
//!
//! Bytes are signed. With n bytes b: s1 = Σ b\[i\], s2 = Σ (n − i)·b\[i\], both modulo 2^16; the sum is
//! s1 | s2 << 16, sent as u32 LE (spec: weak rolling checksum).

/// Bytes per step of [`weak`].
const STEP: usize = 64;

/// Weights of the bytes of a step within its own part of s2.
const WEIGHTS: [i16; STEP] = {
    let mut w = [0; STEP];
    let mut i = 0;
    while i < STEP {
        w[i] = (STEP - i) as i16;
        i += 1;
    }
    w
};

/// The weak sum of a block.
pub fn weak(block: &[u8]) -> u32 {
    Rolling::new(block).value()
}

/// The weak sum of a window that moves along a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolling {
    s1: u32,
    s2: u32,
}

impl Rolling {
    /// The sum of a first window.
    #[inline]
    pub fn new(block: &[u8]) -> Self {
        let (mut s1, mut s2) = (0u32, 0u32);
        let mut steps = block.chunks_exact(STEP);
        for step in &mut steps {
            // Two independent reductions over fixed arrays: compilers turn them into multiply-add vectors.
            let (mut sum, mut weighted) = (0i32, 0i32);
            for i in 0..STEP {
                let b = i16::from(step[i] as i8);
                sum += i32::from(b);
                weighted += i32::from(b) * i32::from(WEIGHTS[i]);
            }
            s2 = s2.wrapping_add(s1.wrapping_mul(STEP as u32)).wrapping_add(weighted as u32);
            s1 = s1.wrapping_add(sum as u32);
        }
        for &b in steps.remainder() {
            s1 = s1.wrapping_add(signed(b));
            s2 = s2.wrapping_add(s1);
        }
        Self { s1, s2 }
    }

    /// Moves the window of `len` bytes by one: `old` leaves in front, `new` enters behind.
    #[inline(always)]
    pub fn roll(&mut self, old: u8, new: u8, len: u32) {
        self.s1 = self.s1.wrapping_add(signed(new)).wrapping_sub(signed(old));
        self.s2 = self.s2.wrapping_add(self.s1).wrapping_sub(len.wrapping_mul(signed(old)));
    }

    /// The sum as sent.
    #[inline(always)]
    pub fn value(self) -> u32 {
        self.s1 & 0xffff | self.s2 << 16
    }
}

impl From<u32> for Rolling {
    /// Goes on from a sum as sent.
    fn from(sum: u32) -> Self {
        Self { s1: sum & 0xffff, s2: sum >> 16 }
    }
}

#[inline(always)]
fn signed(b: u8) -> u32 {
    i32::from(b as i8) as u32
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn sums_are_those_observed() {
        let a: Vec<u8> = (0..700u32).map(|i| (7 * i + 3) as u8).collect();
        let b: Vec<u8> = (0..700u32).map(|i| (13 * i + 9) as u8).collect();
        assert_eq!(weak(&a).to_le_bytes(), [0xda, 0xfe, 0x0c, 0x76]);
        assert_eq!(weak(&b).to_le_bytes(), [0x3e, 0x00, 0x74, 0x66]);
        assert_eq!(weak(b""), 0);
        assert_eq!(weak(&[0xff]), 0xffff_ffff);
    }

    #[test]
    fn rolling_equals_summing_anew() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for len in [1, 2, 63, 64, 65, 200] {
            let mut rolling = Rolling::new(&data[..len]);
            for i in 0..data.len() - len {
                assert_eq!(rolling.value(), weak(&data[i..i + len]));
                rolling.roll(data[i], data[i + len], len as u32);
            }
        }
    }
}
