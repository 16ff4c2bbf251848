//! Arguments of the sender as text: directory and name, taken apart and put together.

use alloc::vec::Vec;

/// How an argument names a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ArgKind {
    /// `name`
    Plain,
    /// `name/` under `-R`
    Slash,
    /// `name/` or `name/.`: the contents of the directory.
    DotDir,
}

/// An argument taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Argument {
    /// Directory that names are relative to.
    pub dir: Vec<u8>,
    /// Name in the transfer.
    pub name: Vec<u8>,
    /// See [`ArgKind`].
    pub kind: ArgKind,
    /// It began with `./` under `-R`: the root is part of the transfer, without its contents.
    pub dot_root: bool,
}

/// Takes an argument apart. `Err`: the name with a `..` component under `-R`, behind the directory that it counts from.
pub fn split_argument(arg: &[u8], relative: bool) -> Result<Argument, Vec<u8>> {
    if !relative {
        let mut path = arg.to_vec();
        if path.is_empty() || path.ends_with(b"/") {
            path.push(b'.');
        } else if path == b".." || path.ends_with(b"/..") {
            path.extend_from_slice(b"/.");
        }
        let (dir, name) = match memchr::memrchr(b'/', &path) {
            Some(0) => (b"/".to_vec(), path.get(1..).unwrap_or_default().to_vec()),
            Some(i) => {
                (path.get(..i).unwrap_or_default().to_vec(), path.get(i + 1..).unwrap_or_default().to_vec())
            }
            None => (Vec::new(), path.clone()),
        };
        let kind = if name == b"." { ArgKind::DotDir } else { ArgKind::Plain };
        return Ok(Argument { dir, name, kind, dot_root: false });
    }
    let (dir, active) = match memchr::memmem::find(arg, b"/./") {
        Some(0) => (b"/".to_vec(), arg.get(3..).unwrap_or_default()),
        Some(i) => (cleaned(arg.get(..i).unwrap_or_default()), arg.get(i + 3..).unwrap_or_default()),
        None if arg.starts_with(b"/") => (b"/".to_vec(), arg),
        None => (Vec::new(), arg),
    };
    let absolute = active.starts_with(b"/");
    let dot_root = !absolute && active.starts_with(b"./") && active.len() > 2;
    let mut name = Vec::new();
    if absolute {
        name.push(b'/');
    }
    let mut last = &b""[..];
    for part in active.split(|&b| b == b'/') {
        last = part;
        match part {
            b"" | b"." => {}
            b".." => return Err(cleaned(active)),
            part => {
                if name.len() > usize::from(absolute) {
                    name.push(b'/');
                }
                name.extend_from_slice(part);
            }
        }
    }
    if name.len() == usize::from(absolute) {
        name.push(b'.');
        return Ok(Argument { dir, name, kind: ArgKind::DotDir, dot_root });
    }
    let kind = match last {
        b"" => ArgKind::Slash,
        b"." => ArgKind::Slash,
        _ => ArgKind::Plain,
    };
    Ok(Argument { dir, name, kind, dot_root })
}

/// A path without its `.` components and doubled slashes.
fn cleaned(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".");
    let root: &[u8] = if path.starts_with(b"/") { b"/" } else { b"" };
    [root, &parts.collect::<Vec<_>>().join(&b'/')].concat()
}

/// A name of a `--files-from` list, kept below the base directory: leading slashes go, `..` cannot climb out.
pub(super) fn clamp_name(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out = parts.join(&b'/');
    if out.is_empty() {
        out.push(b'.');
    }
    if name.ends_with(b"/") {
        out.push(b'/');
    }
    out
}

/// A directory below another one, unless it is absolute.
pub(super) fn join(base: &[u8], dir: &[u8]) -> Vec<u8> {
    if dir.is_empty() || base.is_empty() || dir.starts_with(b"/") {
        return if dir.is_empty() { base } else { dir }.to_vec();
    }
    let mut out = base.to_vec();
    if !out.ends_with(b"/") {
        out.push(b'/');
    }
    out.extend_from_slice(dir);
    out
}

/// Length of the part of a parent path that the one before it has brought already: all of it, or up to the last slash
/// that both have at the same place (stock binary).
pub(super) fn common_components(parent: &[u8], before: &[u8]) -> usize {
    if before.strip_prefix(parent).is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))) {
        return parent.len();
    }
    let same = parent.iter().zip(before).take_while(|(x, y)| x == y).count();
    parent.get(..same).and_then(|head| memchr::memrchr(b'/', head)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
