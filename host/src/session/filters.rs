//! Filter rules of the command line: from its arguments, in order, to a list.

use std::{io::Read, os::unix::ffi::OsStrExt};

use arsync_core::{
    error::Role,
    exit::ExitCode,
    filter::{FilterConfig, FilterError, FilterList},
    mux::MsgTag,
    options::SessionOptions,
    ports::PortError,
};

use super::Speak;
use crate::{
    cli::asked::FilterArg,
    output::strerror,
    vouched::{self, Trust},
};

/// Largest file of rules that is read, bytes.
const MAX_RULES: u64 = 16 << 20;

/// What holds for all rules of this process.
pub(crate) fn config(options: &SessionOptions, from0: bool, home_rules: bool) -> FilterConfig {
    let home = std::env::var_os("HOME").filter(|_| home_rules);
    FilterConfig {
        delete_excluded: options.delete.excluded,
        from0,
        cvs_perishable: options.protocol.is_none_or(|p| p >= 30),
        cvs_home: home.and_then(|home| std::fs::read(std::path::Path::new(&home).join(".cvsignore")).ok()),
        cvs_env: std::env::var_os("CVSIGNORE").map(|v| v.as_bytes().to_vec()),
        veil: None,
    }
}

fn read_file(path: &[u8], trust: Trust) -> Result<Vec<u8>, PortError> {
    let mut out = Vec::new();
    let result = if path == b"-" {
        std::io::stdin().lock().take(MAX_RULES).read_to_end(&mut out)
    } else {
        vouched::read(path, trust).and_then(|f| f.take(MAX_RULES).read_to_end(&mut out))
    };
    result.map(|_| out).map_err(|e| PortError(e.raw_os_error().unwrap_or(5)))
}

/// Builds the client's list. `Err`: the reason was reported.
pub(crate) fn build<O: Speak>(
    args: &[FilterArg],
    config: FilterConfig,
    pulls: bool,
    perishable_partial: bool,
    trust: Trust,
    observer: &O,
) -> Result<FilterList, ExitCode> {
    let mut list = FilterList::new(config);
    list.set_from0(false);
    let mut read = |path: &[u8]| read_file(path, trust);
    for arg in args {
        let added = match arg {
            FilterArg::Rule(rule) => list.add_filter(rule, &mut read),
            FilterArg::Exclude(pattern) => list.add_old(pattern, false),
            FilterArg::Include(pattern) => list.add_old(pattern, true),
            FilterArg::ExcludeFrom(file) => list.add_from(file, false, &mut read),
            FilterArg::IncludeFrom(file) => list.add_from(file, true, &mut read),
            FilterArg::From0(from0) => {
                list.set_from0(*from0);
                Ok(())
            }
            // The session adds these rules where they belong.
            FilterArg::CvsExclude => Ok(()),
            FilterArg::PartialDir(dir) => {
                let prefix: &[u8] = if pulls || perishable_partial { b"-p_" } else { b"-_" };
                list.add_filter(&[prefix, dir, b"/"].concat(), &mut read)
            }
        };
        if let Err(fault) = added {
            report(observer, &fault);
            return Err(fault.exit_code());
        }
    }
    for warning in list.take_warnings() {
        observer.say(MsgTag::Error, Role::Client, &warning.message());
    }
    Ok(list)
}

fn report<O: Speak>(observer: &O, fault: &FilterError) {
    let mut text = fault.message();
    if let FilterError::Open { error, .. } = fault {
        text = [b"rsync: [client] ", &text[..], strerror::suffix(error.0).as_bytes()].concat();
    }
    observer.say(MsgTag::Error, Role::Client, &text);
}
