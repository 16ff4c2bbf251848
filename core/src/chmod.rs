//! The `--chmod` grammar.

/// Parsed list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chmod;
