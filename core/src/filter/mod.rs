//! Filter rules: which names are sent, and which names at the destination are safe from deletion.
//!
//! A [`FilterList`] is built from options, files or the wire. [`FilterList::scope`] freezes it into a [`Scope`],
//! which answers for the names of one directory; [`Scope::enter`] gives the scope of a directory below it, with the
//! rules of the per-directory files found there. Scopes are cheap to clone and may go to other threads.
//!
//! Nothing here reads files: whoever adds rules brings a function that does, or drives [`Entering`] by hand.
//! Topics of the specification: filter rules.

mod chain;
mod list;
mod load;
mod parse;
mod requested;
mod rule;
mod wild;
mod wire;

pub use chain::{Decision, Entering, Scope, Verdict};
pub use list::{FilterConfig, FilterList, Veil};
pub use load::Wanted;
pub use parse::{FilterError, FilterWarning, RuleSource, Syntax};
pub use requested::{Request, Requested};
pub use rule::FilterSide;
pub use wild::wildmatch;

#[cfg(test)]
mod tests;
