//! The `--chmod` grammar.

/// Parsed list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chmod;
impl Chmod { pub fn apply(&self, m: u32, _d: bool, _u: u32) -> u32 { m } }
