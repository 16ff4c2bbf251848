//! The server's side of the daemon protocol, from the greeting to the arguments: a device with a TCP socket is an
//! `rsync://` server of one module.

use embedded_io_async::{BufRead, Write};

use super::{
    Command, Config, Fault, Memory, Store, Summary,
    inbox::Inbox,
    session::{read_arguments, start},
};
use crate::{
    io::{WireReader, WireWriter},
    setup::{
        Side,
        daemon::{BadGreeting, EXIT, Greeting, MAX_REQUEST, OK, Request, greeting, list_line},
    },
    version::ProtocolVersion,
};

/// What a device offers to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Module<'a> {
    /// The name behind the host in `rsync://host/NAME/`.
    pub name: &'a str,
    /// What is said about it in the list of modules.
    pub comment: &'a str,
    /// Clients may write to it.
    pub writable: bool,
}

/// Serves one connection to a daemon whose only module is the store. `None`: the client has asked for the list of
/// modules, or for a module that is not there. `stream` is what comes from the client and what goes there.
///
/// Whoever connects may read; there is no authentication. Paths are taken as they are: a daemon of rsync would expand
/// patterns in them. Not cancel-safe. Behind a fault the connection is to be closed.
pub async fn serve_daemon<R, W, S, const F: usize, const N: usize, const B: usize, const V: usize>(
    stream: (R, W),
    module: &Module<'_>,
    store: &mut S,
    memory: &mut Memory<F, N, B, V>,
    config: &Config<'_>,
) -> Result<Option<Summary>, Fault<R::Error>>
where
    R: BufRead,
    W: Write<Error = R::Error>,
    S: Store,
{
    let (from, to) = stream;
    let (parts, output) = memory.parts();
    let mut r = WireReader::new(from, Inbox::new(false));
    let mut w = WireWriter::new(to, output);
    let Some(protocol) = enter(&mut r, &mut w, parts.window, module, config.max_protocol).await? else {
        return Ok(None);
    };
    let mut command = Command::new();
    let end = if protocol.has_varints() { 0 } else { b'\n' };
    read_arguments(&mut r, &mut command, end, false).await?;
    if command.secluded {
        command.secluded = false;
        command.forget_paths();
        read_arguments(&mut r, &mut command, 0, true).await?;
    }
    command.strip_module(module.name.as_bytes());
    if !module.writable && !command.sender {
        command.forbid_writing();
    }
    // The lines are not part of the session that both sides account for.
    r.restart_count();
    w.restart_count();
    start((r, w), Side::Server, Some(protocol), &command, store, parts, config).await.map(Some)
}

/// The lines of the conversation, up to the permission to send arguments.
async fn enter<R: BufRead, W: Write<Error = R::Error>>(
    r: &mut WireReader<R, Inbox>,
    w: &mut WireWriter<W, &mut [u8]>,
    line: &mut [u8],
    module: &Module<'_>,
    own: ProtocolVersion,
) -> Result<Option<ProtocolVersion>, Fault<R::Error>> {
    w.bytes(greeting(own).as_bytes()).await?;
    w.flush().await?;
    let theirs = read_line(r, line).await?;
    let agreed = match Greeting::parse(theirs) {
        Ok(greeting) => greeting.agree(own),
        Err(fault) => {
            let text: &[u8] = match fault {
                BadGreeting::NotOne => return refuse(w, &[b"protocol startup error"]).await,
                BadGreeting::NoSubprotocol => b"your client omitted the subprotocol value: ",
                BadGreeting::NoDigests => b"your client omitted the digest name list: ",
            };
            return refuse(w, &[text, theirs]).await;
        }
    };
    loop {
        match Request::parse(read_line(r, line).await?) {
            Request::EarlyInput(len) => {
                for _ in 0..len {
                    r.u8().await?;
                }
            }
            Request::BadEarlyInput => return refuse(w, &[b"invalid early_input length"]).await,
            Request::Unknown(command) => return refuse(w, &[b"Unknown command '", command, b"'"]).await,
            Request::List => {
                let mut text = heapless::String::<128>::new();
                // A comment that is too long is left out.
                if list_line(&mut text, module.name, module.comment).is_err() {
                    text.clear();
                    let _ = list_line(&mut text, module.name, "");
                }
                w.bytes(text.as_bytes()).await?;
                w.bytes(EXIT).await?;
                w.flush().await?;
                return Ok(None);
            }
            Request::Module(name) if name == module.name.as_bytes() => break,
            Request::Module(name) => return refuse(w, &[b"Unknown module '", name, b"'"]).await,
        }
    }
    w.bytes(OK).await?;
    w.flush().await?;
    Ok(Some(ProtocolVersion::agree(own, agreed)?))
}

/// A line without its newline, in the memory of the session.
async fn read_line<'l, R: BufRead>(
    r: &mut WireReader<R, Inbox>,
    line: &'l mut [u8],
) -> Result<&'l [u8], Fault<R::Error>> {
    let mut len = 0;
    loop {
        match r.u8().await? {
            b'\n' => return Ok(line.get(..len).unwrap_or_default()),
            b'\r' => {}
            0 => return Err(Fault::NoCommand),
            byte => {
                let slot = line.get_mut(len).filter(|_| len < MAX_REQUEST).ok_or(Fault::NoCommand)?;
                *slot = byte;
                len += 1;
            }
        }
    }
}

/// Says why the connection ends.
async fn refuse<W: Write, T>(
    w: &mut WireWriter<W, &mut [u8]>,
    why: &[&[u8]],
) -> Result<Option<T>, Fault<W::Error>> {
    w.bytes(b"@ERROR: ").await?;
    for part in why {
        w.bytes(part).await?;
    }
    w.bytes(b"\n").await?;
    w.flush().await?;
    Ok(None)
}
