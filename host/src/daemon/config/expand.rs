//! `%NAME%` in values: variables of the environment (spec: config file grammar).

/// A value may grow by so many bytes.
const MAX_GROWTH: usize = 2048;

/// Replaces `%NAME%` by the variable, where there is one. Everything else stays as it is, `%%` included.
pub(crate) fn expand(text: &[u8], variable: &dyn Fn(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    let limit = text.len() + MAX_GROWTH;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let (value, used) = named(after).map_or((None, 0), |name| (variable(name), name.len() + 1));
        match value {
            Some(value) if out.len() + value.len() <= limit => {
                out.extend_from_slice(&value);
                rest = &after[used..];
            }
            _ => {
                out.push(b'%');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The name in front of the next `%`, if it begins with a capital.
fn named(text: &[u8]) -> Option<&str> {
    let end = memchr::memchr(b'%', text)?;
    let name = text.get(..end).filter(|name| name.first().is_some_and(u8::is_ascii_uppercase))?;
    core::str::from_utf8(name).ok().filter(|name| !name.contains(['\0', '=']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_replaced_and_nothing_else() {
        let lookup = |name: &str| match name {
            "HOME" => Some(b"/root".to_vec()),
            "BIG" => Some(vec![b'x'; 3000]),
            _ => None,
        };
        let of = |text: &str| String::from_utf8(expand(text.as_bytes(), &lookup)).unwrap();
        assert_eq!(of("%HOME%/a"), "/root/a");
        assert_eq!(of("a%%b %o %h"), "a%%b %o %h");
        assert_eq!(of("%NONE%%HOME%"), "%NONE%/root");
        assert_eq!(of("%home%"), "%home%");
        assert_eq!(of("50% %HOME"), "50% %HOME");
        assert_eq!(of("%BIG%"), "%BIG%");
    }
}
