//! Filter rules of a command line: from its arguments, in order, to a list. A server has some where its words were
//! written by somebody else than its client's program: `-M`, or a command that a key is bound to.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::ffi::OsStrExt,
};

use arsync_core::{
    error::Role,
    exit::ExitCode,
    filter::{FilterConfig, FilterError, FilterList, Veil},
    mux::MsgTag,
    options::{Select, SessionOptions},
    ports::PortError,
};
use rustix::fs::{CWD, OFlags};

use super::Speak;
use crate::{
    cli::asked::FilterArg,
    engine::{Confinement, inside},
    output::strerror,
    vouched::Trust,
};

/// Largest file of rules that is read, bytes.
const MAX_RULES: u64 = 16 << 20;

/// What holds for all rules of this process.
pub(crate) fn config(options: &SessionOptions, from0: bool, home_rules: bool) -> FilterConfig {
    let home = std::env::var_os("HOME").filter(|_| home_rules);
    FilterConfig {
        delete_excluded: options.delete.excluded,
        from0,
        cvs_perishable: options.max_protocol().has_perishable(),
        cvs_home: home.and_then(|home| std::fs::read(std::path::Path::new(&home).join(".cvsignore")).ok()),
        cvs_env: std::env::var_os("CVSIGNORE").map(|v| v.as_bytes().to_vec()),
        veil: None,
    }
}

/// Who has rules on its command line, and where the files may be that they name.
pub(crate) struct Ruler {
    role: Role,
    confinement: Confinement,
    module: Option<(Vec<u8>, Option<Veil>)>,
}

impl Ruler {
    /// A user, whose files may be anywhere.
    pub(crate) fn client(select: &Select) -> Self {
        let confinement = Confinement::new(None, Trust::of(select.insecure_links));
        Self { role: Role::Client, confinement, module: None }
    }

    /// A server. `module`: the path of a daemon's module, in which all files are, and what it hides.
    pub(crate) fn server(select: &Select, module: Option<(Vec<u8>, Option<Veil>)>) -> Self {
        Self { role: Role::Server, confinement: Confinement::of(select), module }
    }

    /// Reads a file of rules. Standard input belongs to a server's session.
    fn read(&self, path: &[u8]) -> Result<Vec<u8>, PortError> {
        let mut out = Vec::new();
        let result = if path == b"-" && self.role == Role::Client {
            std::io::stdin().lock().take(MAX_RULES).read_to_end(&mut out)
        } else {
            self.open(path)?.take(MAX_RULES).read_to_end(&mut out)
        };
        match result {
            // A directory has no rules.
            Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(Vec::new()),
            Err(error) => Err(PortError(error.raw_os_error().unwrap_or(5))),
            Ok(_) => Ok(out),
        }
    }

    fn open(&self, path: &[u8]) -> Result<File, PortError> {
        let path = match &self.module {
            None => path.to_vec(),
            Some((root, veil)) => {
                let path = inside(path);
                if veil.as_ref().is_some_and(|veil| veil.hides(&path, false)) {
                    return Err(PortError::NOT_FOUND);
                }
                [root, &b"/"[..], &path].concat()
            }
        };
        let file = self.confinement.open_file(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC);
        file.map(Into::into).map_err(|errno| PortError(errno.raw_os_error()))
    }
}

/// Builds the list of a command line. `perishable`: the rule for the directory of partial files is. `Err`: the reason
/// was reported.
pub(crate) fn build<O: Speak>(
    args: &[FilterArg],
    config: FilterConfig,
    perishable: bool,
    ruler: &Ruler,
    observer: &O,
) -> Result<FilterList, ExitCode> {
    let mut list = FilterList::new(config);
    if let Err(fault) = add(&mut list, args, perishable, ruler) {
        observer.say(MsgTag::Error, ruler.role, &message(ruler.role, &fault));
        return Err(fault.exit_code());
    }
    for warning in list.take_warnings() {
        observer.say(MsgTag::Error, ruler.role, &warning.message());
    }
    Ok(list)
}

/// The first fault of a user's rules: its message, and the exit code.
pub(crate) fn fault(args: &[FilterArg], insecure_links: bool) -> Option<(Vec<u8>, ExitCode)> {
    let ruler = Ruler::client(&Select { insecure_links, ..Select::default() });
    let fault = add(&mut FilterList::new(FilterConfig::default()), args, true, &ruler).err()?;
    Some((message(ruler.role, &fault), fault.exit_code()))
}

fn add(
    list: &mut FilterList,
    args: &[FilterArg],
    perishable: bool,
    ruler: &Ruler,
) -> Result<(), FilterError> {
    list.set_from0(false);
    let mut read = |path: &[u8]| ruler.read(path);
    for arg in args {
        match arg {
            FilterArg::Rule(rule) => list.add_filter(rule, &mut read)?,
            FilterArg::Exclude(pattern) => list.add_old(pattern, false)?,
            FilterArg::Include(pattern) => list.add_old(pattern, true)?,
            FilterArg::ExcludeFrom(file) => list.add_from(file, false, &mut read)?,
            FilterArg::IncludeFrom(file) => list.add_from(file, true, &mut read)?,
            FilterArg::From0(from0) => list.set_from0(*from0),
            // The session adds these rules where they belong.
            FilterArg::CvsExclude => {}
            FilterArg::PartialDir(dir) => {
                let prefix: &[u8] = if perishable { b"-p_" } else { b"-_" };
                list.add_filter(&[prefix, dir, b"/"].concat(), &mut read)?;
            }
        }
    }
    Ok(())
}

fn message(role: Role, fault: &FilterError) -> Vec<u8> {
    let text = fault.message();
    match fault {
        FilterError::Open { error, .. } => {
            let who = format!("rsync: [{}] ", role.name());
            [who.as_bytes(), &text, strerror::suffix(error.0).as_bytes()].concat()
        }
        _ => text,
    }
}
