use super::*;

fn split(arg: &str, relative: bool) -> (alloc::string::String, alloc::string::String, ArgKind) {
    let a = split_argument(arg.as_bytes(), relative).unwrap();
    let text = |v: Vec<u8>| alloc::string::String::from_utf8(v).unwrap();
    (text(a.dir), text(a.name), a.kind)
}

#[test]
fn arguments_without_relative() {
    let want = |d: &str, n: &str, k| (d.into(), n.into(), k);
    assert_eq!(split("src/", false), want("src", ".", ArgKind::DotDir));
    assert_eq!(split("src", false), want("", "src", ArgKind::Plain));
    assert_eq!(split("/a/b", false), want("/a", "b", ArgKind::Plain));
    assert_eq!(split("/a", false), want("/", "a", ArgKind::Plain));
    assert_eq!(split(".", false), want("", ".", ArgKind::DotDir));
    assert_eq!(split("a/..", false), want("a/..", ".", ArgKind::DotDir));
    assert_eq!(split("..", false), want("..", ".", ArgKind::DotDir));
}

#[test]
fn arguments_with_relative() {
    let want = |d: &str, n: &str, k| (d.into(), n.into(), k);
    assert_eq!(split("a/b/./c/d", true), want("a/b", "c/d", ArgKind::Plain));
    assert_eq!(split("a//b/", true), want("", "a/b", ArgKind::Slash));
    assert_eq!(split("/x/y", true), want("/", "/x/y", ArgKind::Plain));
    assert_eq!(split("a/./", true), want("a", ".", ArgKind::DotDir));
    assert_eq!(split(".", true), want("", ".", ArgKind::DotDir));
    assert!(split_argument(b"./x", true).unwrap().dot_root);
    assert!(split_argument(b"a/../b", true).is_err());
}

#[test]
fn parents_are_shared_by_whole_components() {
    assert_eq!(common_components(b"a/b", b"a/b"), 3);
    assert_eq!(common_components(b"a/bc", b"a/b"), 1);
    assert_eq!(common_components(b"a/b/c", b"a/b"), 1);
    assert_eq!(common_components(b"sp/bar", b"sp"), 0);
    assert_eq!(common_components(b"sp", b"sp/bar"), 2);
    assert_eq!(common_components(b"sp/b", b"sp/bar"), 2);
    assert_eq!(common_components(b"x", b"a"), 0);
}
