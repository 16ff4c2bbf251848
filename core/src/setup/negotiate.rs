//! Choice of the checksum and compression algorithms by lists of names (spec: string negotiation).

use crate::error::ProtocolError;

/// A list of names as it travels: separated by spaces, at most 255 bytes.
pub type NameList = heapless::Vec<u8, { crate::limits::MAX_NEGOTIATION }>;

/// Joins names with spaces. Names that do not fit 255 bytes are left out.
pub fn join<'a>(names: impl IntoIterator<Item = &'a str>) -> NameList {
    let mut out = NameList::new();
    for name in names {
        let space = usize::from(!out.is_empty());
        if out.len() + space + name.len() <= out.capacity() {
            if space == 1 {
                let _ = out.push(b' ');
            }
            let _ = out.extend_from_slice(name.as_bytes());
        }
    }
    out
}

/// The names of a list.
pub fn split(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&b| b == b' ').filter(|n| !n.is_empty())
}

/// The winner: the first name of the client's list that the server has too.
///
/// This is the client's own choice in every release, old and new, and a server's that takes the client's
/// order; so two sides never disagree with each other through this rule.
pub fn choose<T: PartialEq>(
    client: &[u8],
    server: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
    what: &'static str,
) -> Result<T, ProtocolError> {
    split(client)
        .filter_map(&parse)
        .find(|name| split(server).filter_map(&parse).any(|s| s == *name))
        .ok_or(ProtocolError::NoCommonAlgorithm { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &[u8]) -> Option<&'static str> {
        ["xxh128", "md5", "none"].into_iter().find(|n| n.as_bytes().eq_ignore_ascii_case(name))
    }

    #[test]
    fn the_clients_order_decides() {
        assert_eq!(choose(b"md5 xxh128", b"xxh128 xxh3 md5 none", parse, "checksum"), Ok("md5"));
        assert_eq!(choose(b"foo  MD5", b"xxh128 md5", parse, "checksum"), Ok("md5"));
        assert_eq!(
            choose(b"foo", b"md5", parse, "checksum"),
            Err(ProtocolError::NoCommonAlgorithm { what: "checksum" })
        );
    }
}
