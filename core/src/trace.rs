//! The few facts of a session that are worth a line in a log, for whichever logger was chosen: `defmt`, `tracing`, both
//! or none. What users of a session are told goes through [`crate::ports::Observer`], not through here.
//!
//! | event | level |
//! |---|---|
//! | what the handshake came to | debug |
//! | a list was sent or received: entries, error bits | debug |
//! | a file failed its checksum: its index, and whether it is asked for again | debug |
//! | a role ended with an error: the fault, or its exit code | debug |
//!
//! All are at one level, since whoever looks for one of them looks for all.

/// Logs a line. The placeholders are those that `core::fmt` and `defmt` have in common: `{}`, `{:?}`, `{:x}`.
macro_rules! event {
    ($text:literal $(, $value:expr)* $(,)?) => {{
        #[cfg(feature = "defmt")]
        defmt::debug!($text $(, $value)*);
        #[cfg(feature = "tracing")]
        tracing::debug!($text $(, $value)*);
        #[cfg(not(any(feature = "defmt", feature = "tracing")))]
        { $(let _ = &$value;)* }
    }};
}

pub(crate) use event;

/// A role has come to its end.
#[cfg(feature = "alloc")]
pub(crate) fn ended<E>(role: crate::error::Role, result: &Result<(), crate::error::Error<E>>) {
    use crate::error::Error;

    match result {
        Ok(()) => {}
        Err(Error::Protocol(fault)) => event!("{} ends: {:?}", role.name(), fault),
        Err(error) => event!("{} ends with code {}", role.name(), error.exit_code().0),
    }
}

#[cfg(all(test, feature = "tracing", feature = "alloc", not(feature = "defmt")))]
mod tests {
    use alloc::{format, string::String, vec::Vec};
    use std::sync::{Arc, Mutex};

    use tracing::{
        Event, Level, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
        subscriber::with_default,
    };

    use crate::{
        error::{Error, ProtocolError, Role},
        io::{NoMessages, WireReader, WireWriter},
        rt::block_on_ready,
        setup::{Capabilities, Handshake, Side, exchange},
        version::ProtocolVersion,
    };

    /// Keeps the text of each event.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Visit for Lines {
        fn record_debug(&mut self, _: &Field, value: &dyn core::fmt::Debug) {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::DEBUG
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_handshake_and_an_end_are_seen() {
        let lines = Lines::default();
        with_default(lines.clone(), || {
            let server: &[u8] = &[27, 0, 0, 0, 7, 0, 0, 0];
            let mut r = WireReader::new(server, NoMessages);
            let mut w = WireWriter::new(Vec::new(), [0; 64]);
            let handshake = Handshake::new(Side::Client, ProtocolVersion::MAX, Capabilities::all());
            block_on_ready(exchange(&mut r, &mut w, &handshake)).unwrap();
            super::ended::<()>(Role::Sender, &Ok(()));
            super::ended::<()>(Role::Sender, &Err(Error::Protocol(ProtocolError::BadMode(9))));
            super::ended::<()>(Role::ReceiverSide, &Err(Error::Eof));
        });
        assert_eq!(
            *lines.0.lock().unwrap(),
            [
                "protocol 27, flags 0, checksum md4, compression None",
                "sender ends: BadMode(9)",
                "Receiver ends with code 12",
            ]
        );
    }
}
