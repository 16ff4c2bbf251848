//! Texts of the operating system's errors.

use std::io;

/// The text of an error number, without the number: `No such file or directory`.
pub(crate) fn text(errno: i32) -> String {
    of(&io::Error::from_raw_os_error(errno))
}

/// The text of an I/O error, without its number.
pub(crate) fn of(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// The form that ends messages: `: No such file or directory (2)`.
pub(crate) fn suffix(errno: i32) -> String {
    format!(": {} ({errno})", text(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_c_library() {
        assert_eq!(suffix(2), ": No such file or directory (2)");
        assert_eq!(suffix(20), ": Not a directory (20)");
    }
}
