//! Facts that only the C library knows: the charset of the terminal, and who owns it.

use core::ffi::CStr;

/// True if names are shown in UTF-8.
pub(crate) fn is_utf8() -> bool {
    codeset().eq_ignore_ascii_case(b"UTF-8")
}

/// The charset of the locale (`LC_ALL`, `LC_CTYPE`, `LANG`, and an installed locale of that name).
#[allow(unsafe_code)]
pub(crate) fn codeset() -> Vec<u8> {
    // SAFETY: called before any thread that could read the locale at the same time; the string that comes back is
    // the library's and is copied at once.
    unsafe {
        libc::setlocale(libc::LC_CTYPE, c"".as_ptr());
        let codeset = libc::nl_langinfo(libc::CODESET);
        if codeset.is_null() { Vec::new() } else { CStr::from_ptr(codeset).to_bytes().to_vec() }
    }
}

/// True if stdout is a terminal that another process group has in its hands.
#[allow(unsafe_code)]
pub(crate) fn in_background() -> bool {
    // SAFETY: both calls take and return plain numbers.
    let (owner, own) = unsafe { (libc::tcgetpgrp(1), libc::getpgrp()) };
    owner != -1 && owner != own
}

/// True if stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}
