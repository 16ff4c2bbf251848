//! Tests that want more than every machine gives: root, namespaces, a file system with extended attributes.

/// Whether what a test needs is there. If it is not, the test is left out, says so, and fails where the variable
/// `ARSYNC_NEED_ALL` is set, as `tests/run` does in CI.
pub(crate) fn needs(what: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(std::env::var_os("ARSYNC_NEED_ALL").is_none(), "needs {what}, and everything must be there");
        eprintln!("left out: needs {what}");
    }
    is_there
}

/// [`needs`] for the rights of root.
pub(crate) fn needs_root(why: &str) -> bool {
    needs(&format!("root ({why})"), rustix::process::geteuid().is_root())
}
