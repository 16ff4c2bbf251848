//! Delta transfer.
