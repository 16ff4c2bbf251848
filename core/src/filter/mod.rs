//! Filter rules: which names are sent, and which names at the destination are safe from deletion.
//!
//! A [`FilterList`] is built from options, files or the wire. [`FilterList::scope`] freezes it into a [`Scope`],
//! which answers for the names of one directory; [`Scope::enter`] gives the scope of a directory below it, with the
//! rules of the per-directory files found there. Scopes are cheap to clone and may go to other threads.
//!
//! Nothing here reads files: whoever adds rules brings a function that does, or drives [`Entering`] by hand.
//! Topics of the specification: filter rules.
//!
//! On the wire, before the first file list, from the client to the server: each rule is an i32 LE length, 1 to 5119, and so many bytes of text
//! ([`FilterList::wire_rules`]); a length of 0 ends the list. A pulling client always sends it; a pushing one if the receiver
//! needs rules, to delete or to prune (`SessionOptions::push_sends_filters`). A longer rule ends the session with code 22, one that
//! cannot be parsed ([`FilterError`]) with code 1.

mod chain;
mod list;
mod load;
mod parse;
mod requested;
mod rule;
mod wild;
mod wire;

pub use chain::{Decision, Entering, Scope, Verdict};
pub use list::{CvsRules, FilterConfig, FilterList, Veil};
pub use load::Wanted;
pub use parse::{FilterError, FilterWarning, RuleSource, Syntax};
pub use requested::{Request, Requested};
pub use rule::{FilterSide, Perishable};
pub use wild::wildmatch;

#[cfg(test)]
mod tests;
