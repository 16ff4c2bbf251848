//! The parameters of a configuration file: names, scopes, types and defaults (spec: parameters).

/// A parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "named after the parameters")]
pub(crate) enum Param {
    Address,
    DaemonChroot,
    DaemonGid,
    DaemonUid,
    ListenBacklog,
    MotdFile,
    PidFile,
    Port,
    ProxyProtocol,
    ProxyProtocolHosts,
    SocketOptions,
    AuthDigest,
    AuthUsers,
    Charset,
    Comment,
    DontCompress,
    EarlyExec,
    Exclude,
    ExcludeFrom,
    FakeSuper,
    Filter,
    ForwardLookup,
    Gid,
    HostsAllow,
    HostsDeny,
    IgnoreErrors,
    IgnoreNonreadable,
    Include,
    IncludeFrom,
    IncomingChmod,
    InsecureLinks,
    List,
    LockFile,
    LogFile,
    LogFormat,
    MaxConnections,
    MaxVerbosity,
    MungeSymlinks,
    NameConverter,
    NumericIds,
    OpenNoatime,
    OutgoingChmod,
    Path,
    PostXferExec,
    PreXferExec,
    ReadOnly,
    RefuseOptions,
    ReverseLookup,
    SecretsFile,
    StrictModes,
    SyslogFacility,
    SyslogTag,
    TempDir,
    Timeout,
    TransferLogging,
    Uid,
    UseChroot,
    WriteOnly,
}

/// Number of parameters.
pub(super) const COUNT: usize = Param::WriteOnly as usize + 1;

/// What a value looks like, and what holds where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text(Option<&'static str>),
    /// A path: slashes at its end go.
    Path,
    /// A decimal number.
    Int(i32),
    /// Yes or no.
    Bool(bool),
    /// Yes, no or unset.
    Tri,
    /// A facility of syslog.
    Facility,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Spec {
    /// Name, in lower case and without blanks.
    pub(super) key: &'static str,
    /// Which it is.
    pub(super) param: Param,
    /// What it takes.
    pub(super) kind: Kind,
    /// It holds for the whole daemon, and stands in no module.
    pub(super) global: bool,
}

const fn global(key: &'static str, param: Param, kind: Kind) -> Spec {
    Spec { key, param, kind, global: true }
}

const fn local(key: &'static str, param: Param, kind: Kind) -> Spec {
    Spec { key, param, kind, global: false }
}

/// The number of the facility `daemon`.
pub(super) const DAEMON_FACILITY: i32 = 3;

use Kind::{Bool, Facility, Int, Path, Text, Tri};

/// The table.
pub(super) const SPECS: &[Spec] = &[
    global("address", Param::Address, Text(None)),
    global("bindaddress", Param::Address, Text(None)),
    global("daemonchroot", Param::DaemonChroot, Text(None)),
    global("daemongid", Param::DaemonGid, Text(None)),
    global("daemonuid", Param::DaemonUid, Text(None)),
    global("listenbacklog", Param::ListenBacklog, Int(5)),
    global("motdfile", Param::MotdFile, Text(None)),
    global("pidfile", Param::PidFile, Text(None)),
    global("port", Param::Port, Int(0)),
    global("rsyncport", Param::Port, Int(0)),
    global("proxyprotocol", Param::ProxyProtocol, Bool(false)),
    global("proxyprotocolhosts", Param::ProxyProtocolHosts, Text(None)),
    global("socketoptions", Param::SocketOptions, Text(None)),
    local("authdigest", Param::AuthDigest, Text(None)),
    local("authusers", Param::AuthUsers, Text(None)),
    local("charset", Param::Charset, Text(None)),
    local("comment", Param::Comment, Text(None)),
    local("dontcompress", Param::DontCompress, Text(None)),
    local("earlyexec", Param::EarlyExec, Text(None)),
    local("exclude", Param::Exclude, Text(None)),
    local("excludefrom", Param::ExcludeFrom, Text(None)),
    local("fakesuper", Param::FakeSuper, Bool(false)),
    local("filter", Param::Filter, Text(None)),
    local("forwardlookup", Param::ForwardLookup, Bool(true)),
    local("gid", Param::Gid, Text(None)),
    local("hostsallow", Param::HostsAllow, Text(None)),
    local("hostsdeny", Param::HostsDeny, Text(None)),
    local("ignoreerrors", Param::IgnoreErrors, Bool(false)),
    local("ignorenonreadable", Param::IgnoreNonreadable, Bool(false)),
    local("include", Param::Include, Text(None)),
    local("includefrom", Param::IncludeFrom, Text(None)),
    local("incomingchmod", Param::IncomingChmod, Text(None)),
    local("insecurelinks", Param::InsecureLinks, Bool(false)),
    local("list", Param::List, Bool(true)),
    local("lockfile", Param::LockFile, Text(Some("/var/run/rsyncd.lock"))),
    local("logfile", Param::LogFile, Text(None)),
    local("logformat", Param::LogFormat, Text(Some("%o %h [%a] %m (%u) %f %l"))),
    local("maxconnections", Param::MaxConnections, Int(0)),
    local("maxverbosity", Param::MaxVerbosity, Int(1)),
    local("mungesymlinks", Param::MungeSymlinks, Tri),
    local("nameconverter", Param::NameConverter, Text(None)),
    local("numericids", Param::NumericIds, Tri),
    local("opennoatime", Param::OpenNoatime, Tri),
    local("outgoingchmod", Param::OutgoingChmod, Text(None)),
    local("path", Param::Path, Path),
    local("post-xferexec", Param::PostXferExec, Text(None)),
    local("pre-xferexec", Param::PreXferExec, Text(None)),
    local("readonly", Param::ReadOnly, Bool(true)),
    local("refuseoptions", Param::RefuseOptions, Text(None)),
    local("reverselookup", Param::ReverseLookup, Bool(true)),
    local("secretsfile", Param::SecretsFile, Text(None)),
    local("strictmodes", Param::StrictModes, Bool(true)),
    local("syslogfacility", Param::SyslogFacility, Facility),
    local("syslogtag", Param::SyslogTag, Text(Some("rsyncd"))),
    local("tempdir", Param::TempDir, Path),
    local("timeout", Param::Timeout, Int(0)),
    local("transferlogging", Param::TransferLogging, Bool(false)),
    local("uid", Param::Uid, Text(None)),
    local("usechroot", Param::UseChroot, Tri),
    local("writeonly", Param::WriteOnly, Bool(false)),
];

/// The row of a name.
pub(super) fn by_key(key: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.key == key)
}

/// The row of a parameter.
pub(super) fn spec(param: Param) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.param == param)
}

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text or path.
    Text(Vec<u8>),
    /// Number, or facility.
    Int(i32),
    /// Yes, no; `None`: unset.
    Tri(Option<bool>),
}

/// Reads a value; `None`: it is none of the kind, and nothing changes.
pub(super) fn read(kind: Kind, text: &[u8]) -> Option<Value> {
    Some(match kind {
        Text(_) => Value::Text(text.to_vec()),
        Path => Value::Text(without_end_slashes(text).to_vec()),
        Int(_) => Value::Int(leading_number(text)),
        Bool(_) => Value::Tri(Some(switch(text)?)),
        Tri => match &*text.trim_ascii().to_ascii_lowercase() {
            b"unset" | b"-1" => Value::Tri(None),
            word => Value::Tri(Some(switch(word)?)),
        },
        Facility => Value::Int(facility(text)?),
    })
}

fn switch(text: &[u8]) -> Option<bool> {
    match &*text.trim_ascii().to_ascii_lowercase() {
        b"yes" | b"true" | b"1" => Some(true),
        b"no" | b"false" | b"0" => Some(false),
        _ => None,
    }
}

fn without_end_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&b| b != b'/').map_or(usize::from(!path.is_empty()), |at| at + 1);
    &path[..end]
}

/// As C's `atoi`: a sign and leading digits, else 0; what is too large wraps.
fn leading_number(text: &[u8]) -> i32 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let number = digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0i32, |n, b| n.wrapping_mul(10).wrapping_add(i32::from(b - b'0')));
    if negative { number.wrapping_neg() } else { number }
}

/// The number of a facility of syslog.
fn facility(name: &[u8]) -> Option<i32> {
    const NAMES: [&str; 12] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    ];
    let name = name.trim_ascii().to_ascii_lowercase();
    let name = core::str::from_utf8(&name).ok()?;
    let name = if name == "security" { "auth" } else { name };
    if let Some(local) = name.strip_prefix("local").and_then(|n| n.parse::<i32>().ok()).filter(|n| *n < 8) {
        return Some(16 + local);
    }
    NAMES.iter().position(|known| *known == name).and_then(|at| i32::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_kind_says() {
        assert_eq!(read(Path, b"/a/b//"), Some(Value::Text(b"/a/b".to_vec())));
        assert_eq!(read(Path, b"//"), Some(Value::Text(b"/".to_vec())));
        assert_eq!(read(Path, b""), Some(Value::Text(Vec::new())));
        assert_eq!(read(Int(0), b"-12x"), Some(Value::Int(-12)));
        assert_eq!(read(Int(0), b"x"), Some(Value::Int(0)));
        assert_eq!(read(Int(0), b"4294967297"), Some(Value::Int(1)));
        assert_eq!(read(Bool(true), b" TRUE "), Some(Value::Tri(Some(true))));
        assert_eq!(read(Bool(true), b"unset"), None);
        assert_eq!(read(Bool(true), b""), None);
        assert_eq!(read(Tri, b"Unset"), Some(Value::Tri(None)));
        assert_eq!(read(Tri, b"0"), Some(Value::Tri(Some(false))));
        assert_eq!(read(Facility, b"local5"), Some(Value::Int(21)));
        assert_eq!(read(Facility, b"daemon"), Some(Value::Int(DAEMON_FACILITY)));
        assert_eq!(read(Facility, b"nonsense"), None);
    }

    #[test]
    fn every_parameter_has_a_row_and_no_name_stands_twice() {
        let mut keys: Vec<_> = SPECS.iter().map(|spec| spec.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 60);
        let mut seen = [false; COUNT];
        for spec in SPECS {
            seen[spec.param as usize] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
    }
}
