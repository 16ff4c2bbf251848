//! The order of two names, the same on both ends (spec: sorting).

use core::cmp::Ordering;

/// Compares two names as protocol ≥ 29 does: every directory as if it ended in a slash, files before
/// directories, `.` first. The flags say whether the entry is a directory.
pub fn compare(a: &[u8], a_dir: bool, b: &[u8], b_dir: bool) -> Ordering {
    let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let shared = a.get(..common).unwrap_or_default();
    let start = memchr::memrchr(b'/', shared).map_or(0, |i| i + 1);
    let (rest_a, rest_b) = (a.get(start..).unwrap_or_default(), b.get(start..).unwrap_or_default());
    let (name_a, path_a) = component(rest_a, a_dir);
    let (name_b, path_b) = component(rest_b, b_dir);
    match (path_a, path_b) {
        (false, true) => return Ordering::Less,
        (true, false) => return Ordering::Greater,
        (false, false) => return name_a.cmp(name_b),
        (true, true) => {}
    }
    let n = name_a.len().min(name_b.len());
    let (head_a, head_b) = (name_a.get(..n), name_b.get(..n));
    head_a.cmp(&head_b).then_with(|| {
        let next = |name: &[u8]| name.get(n).copied().unwrap_or(b'/');
        match (name_a.len() == n, name_b.len() == n) {
            // Equal components: the ancestor comes first.
            (true, true) => rest_a.len().cmp(&rest_b.len()),
            _ => next(name_a).cmp(&next(name_b)),
        }
    })
}

/// First component of a name, and whether it is on the way to something (a directory).
fn component(rest: &[u8], is_dir: bool) -> (&[u8], bool) {
    match memchr::memchr(b'/', rest) {
        Some(i) => (rest.get(..i).unwrap_or_default(), true),
        None if is_dir && rest == b"." => (b"", false),
        None => (rest, is_dir),
    }
}
