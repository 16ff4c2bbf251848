//! `defmt::Format` of the flag words, which a derive cannot see into: the name and the bits.

use crate::setup::{Capabilities, CompatFlags};
#[cfg(feature = "alloc")]
use crate::{batch::StreamFlags, flist::entry::EntryFlags, item::ItemFlags};

macro_rules! format_bits {
    ($($flags:ident),*) => {
        $(
            impl defmt::Format for $flags {
                fn format(&self, f: defmt::Formatter<'_>) {
                    defmt::write!(f, "{=str}({=u32:#x})", stringify!($flags), u32::from(self.bits()));
                }
            }
        )*
    };
}

format_bits!(CompatFlags, Capabilities);
#[cfg(feature = "alloc")]
format_bits!(StreamFlags, EntryFlags, ItemFlags);
