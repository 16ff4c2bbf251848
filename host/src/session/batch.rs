//! Batch files: written beside a transfer, with the script that replays them, and opened for reading
//! (spec: batch files).

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileTypeExt,
    rc::Rc,
};

use arsync_core::{
    batch::{BatchFault, Opening, StreamFlags, agreement},
    error::{ProtocolError, Role},
    exit::ExitCode,
    io::Tape,
    options::SessionOptions,
    setup::Agreed,
    wire::varint,
};

use rustix::fs::OFlags;

use crate::{
    cli::failure::Failure,
    engine::absolute,
    output::{message::as_given, strerror},
    vouched::{self, Trust},
};

/// What is collected before it is written, bytes.
const BUFFER: usize = 256 << 10;

fn failed(path: &[u8], error: &io::Error, code: ExitCode) -> Failure {
    let reason = strerror::suffix(error.raw_os_error().unwrap_or(5));
    let text = [b"rsync: [Receiver] Batch file \"", &full(path)[..], b"\" open error", reason.as_bytes()];
    Failure::plain(text.concat(), code, Role::ReceiverSide)
}

/// The path from the root, otherwise as it was given.
fn full(path: &[u8]) -> Vec<u8> {
    as_given(&absolute(b"."), path)
}

fn create(path: &[u8], mode: u32, trust: Trust) -> io::Result<File> {
    vouched::file(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, mode, trust)
}

/// A batch that is being written.
#[derive(Debug)]
pub(crate) struct Recording {
    tape: Rc<Writer>,
    script: RefCell<File>,
}

/// The file of a recording.
#[derive(Debug)]
struct Writer(RefCell<Output>);

#[derive(Debug)]
struct Output {
    file: File,
    buffer: Vec<u8>,
    /// The first write that failed.
    error: Option<io::Error>,
}

impl Tape for Writer {
    fn record(&self, bytes: &[u8]) {
        let mut out = self.0.borrow_mut();
        out.buffer.extend_from_slice(bytes);
        if out.buffer.len() >= BUFFER {
            out.flush();
        }
    }
}

impl Output {
    fn flush(&mut self) {
        let buffer = core::mem::take(&mut self.buffer);
        if self.error.is_none() {
            self.error = self.file.write_all(&buffer).err();
        }
    }
}

impl Recording {
    /// Creates the file and its script; the file begins with the state of the options.
    pub(crate) fn create(name: &[u8], options: &SessionOptions, iconv: bool) -> Result<Self, Failure> {
        let trust = Trust::of(options.select.insecure_links);
        let script_name = [name, b".sh"].concat();
        let script = create(&script_name, 0o700, trust)
            .map_err(|e| failed(&script_name, &e, ExitCode::FILE_SELECT))?;
        let file = create(name, 0o600, trust).map_err(|e| failed(name, &e, ExitCode::FILE_IO))?;
        let tape = Writer(RefCell::new(Output { file, buffer: Vec::new(), error: None }));
        tape.record(&StreamFlags::of(options, iconv).bits().to_le_bytes());
        Ok(Self { tape: Rc::new(tape), script: RefCell::new(script) })
    }

    /// What the session records on.
    pub(crate) fn tape(&self) -> Rc<dyn Tape> {
        self.tape.clone()
    }

    /// Writes the script.
    pub(crate) fn write_script(&self, text: &[u8]) {
        if let Err(error) = self.script.borrow_mut().write_all(text) {
            self.tape.0.borrow_mut().error.get_or_insert(error);
        }
    }

    /// Everything reaches the files, or the text of what went wrong.
    pub(crate) fn finish(&self) -> Result<(), String> {
        let mut out = self.tape.0.borrow_mut();
        out.flush();
        match out.error.take() {
            None => Ok(()),
            Some(error) => {
                let reason = strerror::suffix(error.raw_os_error().unwrap_or(5));
                Err(format!("rsync: [ROLE] write to the batch file failed{reason}"))
            }
        }
    }
}

/// An opened batch file, behind its header.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The stream.
    pub(crate) file: File,
    /// What the writer's session had agreed on.
    pub(crate) agreed: Agreed,
    /// Options that were changed to those of the file, as texts for the user.
    pub(crate) changes: Vec<String>,
}

/// Opens a batch file. `-` is stdin.
pub(crate) fn open(name: &[u8], trust: Trust) -> Result<File, Failure> {
    if name == b"-" {
        let stdin = rustix::stdio::stdin().try_clone_to_owned();
        return Ok(File::from(stdin.map_err(|e| failed(name, &e, ExitCode::FILE_IO))?));
    }
    let file = vouched::read(name, trust).map_err(|e| failed(name, &e, ExitCode::FILE_IO))?;
    let kind = file.metadata().map_err(|e| failed(name, &e, ExitCode::FILE_IO))?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        let text = [b"Batch file \"", &full(name)[..], b"\" is neither a regular file nor a FIFO"].concat();
        return Err(Failure::plain(text, ExitCode::FILE_IO, Role::ReceiverSide));
    }
    Ok(file)
}

/// Reads how a batch file begins and makes the options those of the file.
/// `raised`: options given in a way that differs from what a file can say.
pub(crate) fn begin(
    mut file: File,
    options: &mut SessionOptions,
    iconv: bool,
    raised: StreamFlags,
) -> Result<Replayed, Failure> {
    let mut bytes = [0u8; 8];
    fill(&mut file, &mut bytes)?;
    let opening = Opening::decode(bytes);
    let max = options.max_protocol();
    let protocol = opening.protocol(max).map_err(fault)?;
    let forbids = options.forbids_inc_recursion(true);
    let changes = opening.flags.reconcile(options, iconv, raised, protocol).map_err(fault)?;
    let compat = if protocol.has_varints() { varint_of(&mut file)? } else { 0 };
    let mut seed = [0u8; 4];
    fill(&mut file, &mut seed)?;
    let agreed = agreement(protocol, compat, i32::from_le_bytes(seed), options);
    if agreed.inc_recurse() && forbids {
        return Err(fault(BatchFault::NoIncRecursion));
    }
    let verb = |on| if on { "Setting" } else { "Clearing" };
    let changes = changes
        .into_iter()
        .map(|(on, name)| format!("{} the {name} option to match the batchfile.", verb(on)))
        .collect();
    Ok(Replayed { file, agreed, changes })
}

fn fault(fault: BatchFault) -> Failure {
    let (text, code) = match fault {
        BatchFault::NeedsIconv => {
            ("Please specify the --iconv option to use this batch file.".to_owned(), ExitCode::SYNTAX)
        }
        BatchFault::HasNoIconv => {
            ("Do not specify the --iconv option to use this batch file.".to_owned(), ExitCode::SYNTAX)
        }
        BatchFault::NoIncRecursion => {
            ("Incompatible options specified for inc-recursive batch file.".to_owned(), ExitCode::SYNTAX)
        }
        BatchFault::TooNew { version, max } => {
            let text = format!("The protocol version in the batch file is too new ({version} > {max}).");
            (text, ExitCode::PROTOCOL)
        }
        BatchFault::Implausible { version } => {
            (ProtocolError::VersionMismatch { got: version }.to_string(), ExitCode::PROTOCOL)
        }
    };
    Failure::plain(text, code, Role::ReceiverSide)
}

/// Reads exactly so much. What follows belongs to the session.
fn fill(file: &mut File, bytes: &mut [u8]) -> Result<(), Failure> {
    file.read_exact(bytes).map_err(|_| {
        let text = "rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]";
        Failure::plain(text, ExitCode::STREAM_IO, Role::ReceiverSide)
    })
}

fn varint_of(file: &mut File) -> Result<u32, Failure> {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        fill(file, &mut byte)?;
        bytes.extend(byte);
        match varint::decode_varint(&bytes) {
            Ok(Some((value, _))) => return Ok(value.cast_unsigned()),
            Ok(None) => {}
            Err(error) => {
                return Err(Failure::plain(error.to_string(), ExitCode::PROTOCOL, Role::ReceiverSide));
            }
        }
    }
}
