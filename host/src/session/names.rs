//! Names of `--files-from`: read where the list is, for the sender of this process or that of the peer.

use std::{fs::File, io::Read};

use arsync_core::{error::Role, exit::ExitCode, limits::MAX_PATH, mux::MsgTag};

use super::Speak;
use crate::{cli::resolve::NameList, output::strerror};

/// Reads a list that lies on this machine. `for_peer`: the peer gets it, comments included, and will keep the names
/// below its directory itself. `Err`: the reason was reported.
pub(crate) fn read<O: Speak>(
    list: &NameList,
    from0: bool,
    for_peer: bool,
    role: Role,
    observer: &O,
) -> Result<Vec<Vec<u8>>, ExitCode> {
    let mut text = Vec::new();
    let result = match list {
        NameList::None | NameList::Remote(_) => return Ok(Vec::new()),
        NameList::Stdin => std::io::stdin().lock().read_to_end(&mut text),
        NameList::File(file) => {
            let mut file: &File = file;
            file.read_to_end(&mut text)
        }
    };
    if let Err(error) = result {
        let reason = strerror::suffix(error.raw_os_error().unwrap_or(5));
        let line = format!("rsync: [{role}] safe_read failed to read 1 bytes{reason}");
        observer.say(MsgTag::Error, role, line.as_bytes());
        return Err(ExitCode::STREAM_IO);
    }
    Ok(names(&text, from0, for_peer))
}

/// The names in the text of a list. What one of them has beyond the longest path is dropped (stock binary), as the peer
/// does with its own.
fn names(text: &[u8], from0: bool, for_peer: bool) -> Vec<Vec<u8>> {
    text.split(|&b| b == 0 || (!from0 && matches!(b, b'\n' | b'\r')))
        .filter(|name| !name.is_empty() && (for_peer || !matches!(name.first(), Some(b'#' | b';'))))
        .map(|name| if for_peer { name } else { &name[..name.len().min(MAX_PATH - 1)] }.to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    #[test]
    fn lines_end_as_observed() {
        let text = b"# c\n;k\r\nx\n\n d/f\0last";
        assert_eq!(names(text, false, false), [&b"x"[..], b" d/f", b"last"]);
        assert_eq!(names(text, false, true), [&b"# c"[..], b";k", b"x", b" d/f", b"last"]);
        assert_eq!(names(b"a\nb\0#c\0\0d", true, false), [&b"a\nb"[..], b"d"]);
    }

    #[test]
    fn names_end_with_the_longest_path() {
        let text = [&[b'n'; 5000], &b"\nx"[..]].concat();
        assert_eq!(names(&text, false, false), [&[b'n'; 4095], &b"x"[..]]);
        assert_eq!(names(&text, false, true), [&[b'n'; 5000], &b"x"[..]]);
    }

    /// The first byte says how names end.
    #[test]
    fn spoiled_lists_have_names_that_can_be_sent() {
        fuzz::run("name_list", 20_000, |data| {
            let Some((&first, text)) = data.split_first() else { return };
            let from0 = first & 1 != 0;
            let own = names(text, from0, false);
            for name in &own {
                assert!((1..=4095).contains(&name.len()));
                assert!(!name.contains(&0) && !name.starts_with(b"#") && !name.starts_with(b";"));
                assert!(from0 || !name.contains(&b'\n') && !name.contains(&b'\r'));
            }
            let sent = names(text, from0, true);
            assert!(sent.iter().map(|name| name.len() + 1).sum::<usize>() <= text.len() + 1);
            assert!(sent.len() >= own.len());
            // The peer takes a list apart as it was here.
            assert_eq!(names(&sent.join(&0), from0, false), own);
            let more = [text, b"\0last\0#not"].concat();
            assert_eq!(names(&more, from0, false).last().unwrap(), b"last");
        });
    }
}
