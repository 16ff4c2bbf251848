//! How deep the stack has been. It was painted before `main`.

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

const PAINT: u32 = 0xcccc_cccc;

/// Bytes between the static variables and the end of the memory.
pub fn size() -> usize {
    (&raw const _stack_start) as usize - (&raw const _stack_end) as usize
}

/// Bytes of the stack that were ever written.
pub fn high_water() -> usize {
    let (mut at, end) = (&raw const _stack_end, &raw const _stack_start);
    // SAFETY: the range is memory of this chip, aligned, and the part above the paint is the live stack.
    while at < end && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    end as usize - at as usize
}
