//! The trees that are copied: what a file system can hold, and destinations that differ from it in every way that
//! the per-file decisions know.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, chownat, makedev, mknodat, utimensat,
};

/// Tests run as root see owners and devices too.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Bytes without any pattern, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Bytes that compress well and repeat at many distances.
pub(crate) fn prose(seed: u64, len: usize) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["alpha ", "beta\n", "gamma ", "delta\t", "epsilon ", "zeta\n", "0123456789 ", "the "];
    let mut out = Vec::with_capacity(len + 16);
    for byte in noise(seed, len / 3 + 16) {
        out.extend_from_slice(WORDS[usize::from(byte % 8)].as_bytes());
        if byte > 250 {
            out.push(byte);
        }
    }
    out.truncate(len);
    out
}

/// Writes below one directory; parents are made as needed. Times of directories are set by [`Tree::close`].
pub(crate) struct Tree {
    root: PathBuf,
    dir_times: Vec<(PathBuf, i64)>,
}

/// A plain date for what has no date of its own: 2021-03-04.
pub(crate) const DATE: i64 = 1_614_859_200;

impl Tree {
    pub(crate) fn new(root: &Path) -> Self {
        fs::create_dir_all(root).unwrap();
        Self { root: root.to_owned(), dir_times: Vec::new() }
    }

    pub(crate) fn at(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(name.as_ref()))
    }

    fn parents(&self, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }

    /// Any non-directory: sets the time without following.
    pub(crate) fn stamp(&self, name: impl AsRef<[u8]>, sec: i64, nsec: i64) {
        let time = Timespec { tv_sec: sec, tv_nsec: nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, self.at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    pub(crate) fn file(&self, name: impl AsRef<[u8]>, content: &[u8]) {
        let path = self.at(&name);
        self.parents(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self.stamp(name, DATE, 0);
    }

    pub(crate) fn file_at(&self, name: impl AsRef<[u8]>, content: &[u8], sec: i64, nsec: i64) {
        self.file(&name, content);
        self.stamp(name, sec, nsec);
    }

    pub(crate) fn mode(&self, name: impl AsRef<[u8]>, mode: u32) {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn dir(&mut self, name: impl AsRef<[u8]>, mode: u32, sec: i64) {
        let path = self.at(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self.dir_times.push((path, sec));
    }

    pub(crate) fn link(&self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) {
        let path = self.at(&name);
        self.parents(&path);
        symlink(std::ffi::OsStr::from_bytes(target.as_ref()), &path).unwrap();
        self.stamp(name, DATE + 77, 123_456_789);
    }

    pub(crate) fn hard(&self, existing: &str, name: &str) {
        let path = self.at(name);
        self.parents(&path);
        rustix::fs::linkat(CWD, self.at(existing), CWD, &path, AtFlags::empty()).unwrap();
    }

    pub(crate) fn node(&self, name: &str, kind: FileType, device: u64) {
        let path = self.at(name);
        self.parents(&path);
        mknodat(CWD, &path, kind, Mode::from_raw_mode(0o640), device).unwrap();
        self.stamp(name, DATE + 5, 5);
    }

    pub(crate) fn own(&self, name: &str, uid: u32, gid: u32) {
        if is_root() {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            // A change of owner takes the set-id bits away.
            let mode = fs::symlink_metadata(self.at(name)).unwrap().permissions().mode();
            chownat(CWD, self.at(name), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).unwrap();
            if mode & 0o170_000 != 0o120_000 {
                self.mode(name, mode & 0o7777);
            }
        }
    }

    /// Gives every directory a date: the one asked for, or one that depends on its place only.
    pub(crate) fn close(self) {
        fn walk(dir: &Path, depth: i64) {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), depth + 1);
                }
            }
            set(dir, DATE - 1000 * depth, 500_000_000 + depth);
        }
        fn set(dir: &Path, tv_sec: i64, tv_nsec: i64) {
            let time = Timespec { tv_sec, tv_nsec };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, dir, &times, AtFlags::empty()).unwrap();
        }
        walk(&self.root, 0);
        for (path, sec) in &self.dir_times {
            set(path, *sec, 0);
        }
    }
}

/// Sizes around the limits of blocks, tokens and frames.
const SIZES: [usize; 17] = [
    0, 1, 2, 699, 700, 701, 1400, 4095, 4096, 4097, 32767, 32768, 32769, 65_536, 131_073, 300_000, 1_048_577,
];

/// The source: everything that a tree can hold.
pub(crate) fn source(root: &Path) {
    let mut t = Tree::new(root);
    for (n, size) in SIZES.into_iter().enumerate() {
        t.file_at(
            format!("sizes/{size:07}"),
            &noise(n as u64 + 1, size),
            DATE + n as i64,
            n as i64 * 1_000_001,
        );
    }
    t.file("text/prose", &prose(1, 200_000));
    t.file("text/prose.gz", &noise(40, 20_000));
    t.file("text/short", b"a few words\n");

    for name in [
        "with space",
        "tab\there",
        "new\nline",
        "-dash",
        "--delete",
        "#hash",
        "quote'\"",
        "*star?",
        "[br]",
        "back\\slash",
        "~tilde",
        "trailing.",
        ".hidden",
        "dollar$HOME",
        "semi;colon",
        "a:colon",
        "ünïcödé",
        "\u{1b}[31mred",
    ] {
        t.file(format!("names/{name}"), name.as_bytes());
    }
    t.file(b"names/\xff\xfe\x80raw", b"not UTF-8");
    t.file(format!("names/{}", "n".repeat(255)), b"long");

    let mut path = String::from("deep");
    for level in 0..14 {
        path.push_str(&format!("/level{level}"));
        t.file(format!("{path}/file"), path.as_bytes());
    }
    t.dir("dirs/empty", 0o755, DATE + 1);
    t.dir("dirs/private", 0o700, DATE + 2);
    t.dir("dirs/old", 0o755, -1);
    t.dir("dirs/setgid", 0o2775, DATE + 3);
    t.dir("dirs/sticky", 0o1777, DATE + 4);
    t.file("dirs/readonly/file", b"in a directory without write permission");
    t.dir("dirs/readonly", 0o555, DATE + 5);

    t.link("links/relative", "../text/short");
    t.link("links/absolute", "/etc/hostname");
    t.link("links/dangling", "nowhere/at/all");
    t.link("links/directory", "../dirs");
    t.link("links/self", "self");
    t.link("links/outside", "../../../outside");
    t.link("links/long", format!("x/{}", "y/".repeat(150)));
    t.link(b"links/raw", b"\xfe\xff");

    t.file("hard/one", &noise(50, 5000));
    t.hard("hard/one", "hard/two");
    t.hard("hard/one", "hard2/three");
    t.file("hard2/zero", b"");
    t.hard("hard2/zero", "hard/zero");
    t.link("hard/symlink", "one");
    t.hard("hard/symlink", "hard2/symlink");
    t.node("hard/fifo", FileType::Fifo, 0);
    t.hard("hard/fifo", "hard2/fifo");

    t.node("special/fifo", FileType::Fifo, 0);
    t.node("special/socket", FileType::Socket, 0);
    if is_root() {
        t.node("special/null", FileType::CharacterDevice, makedev(1, 3));
        t.node("special/block", FileType::BlockDevice, makedev(7, 200));
        t.node("special/large", FileType::CharacterDevice, makedev(300, 70_000));
    }

    for mode in [0o400, 0o600, 0o777, 0o755, 0o4755, 0o2755, 0o6711, 0o1644] {
        t.file(format!("modes/{mode:04o}"), b"mode");
        t.mode(format!("modes/{mode:04o}"), mode);
    }
    if is_root() {
        t.file("modes/0000", b"mode");
        t.mode("modes/0000", 0);
    }
    for (n, (uid, gid)) in
        [(1, 1), (65_534, 65_534), (12_345, 54_321), (0, 100), (2_000_000_000, 3)].iter().enumerate()
    {
        t.file(format!("owners/{n}"), b"owner");
        t.own(&format!("owners/{n}"), *uid, *gid);
    }
    t.link("owners/link", "0");
    t.own("owners/link", 7, 8);
    t.file("owners/setuid", b"owner");
    t.mode("owners/setuid", 0o4755);
    t.own("owners/setuid", 5, 5);

    for (name, sec, nsec) in [
        ("epoch", 0, 0),
        ("1969", -86_400, 500_000_000),
        ("1901", -2_147_483_648, 1),
        ("2038", 2_147_483_653, 999_999_999),
        ("2100", 4_102_444_800, 7),
        ("ns1", DATE, 1),
        ("ns999999999", DATE, 999_999_999),
    ] {
        t.file_at(format!("dates/{name}"), name.as_bytes(), sec, nsec);
    }

    let sparse = fs::File::create(t.at("sizes/sparse")).unwrap();
    sparse.write_all_at(&noise(60, 10_000), 1 << 20).unwrap();
    sparse.write_all_at(b"end", (3 << 20) - 3).unwrap();
    sparse.set_len((3 << 20) + 70_000).unwrap();
    drop(sparse);
    t.mode("sizes/sparse", 0o644);
    t.stamp("sizes/sparse", DATE, 0);

    t.file("filtered/keep.c", b"keep");
    t.file("filtered/drop.o", b"drop");
    t.file("filtered/sub/drop.o", b"drop");
    t.file("filtered/sub/keep.h", b"keep");
    t.file("filtered/merge/.rsync-filter", b"- *.tmp\n+ /only.bak\n- *.bak\n");
    t.file("filtered/merge/a.tmp", b"a");
    t.file("filtered/merge/only.bak", b"b");
    t.file("filtered/merge/other.bak", b"c");
    t.file("filtered/cvs/.cvsignore", b"ignored*\n");
    t.file("filtered/cvs/ignored1", b"i");
    t.file("filtered/cvs/core", b"core");
    t.file("filtered/cvs/CVS/Entries", b"e");

    // What the destination has, too, in another state: see `before`.
    t.file("state/same", b"the same here and there");
    t.file("state/touched", b"same content, other date");
    t.file("state/hidden-change", b"content A, size and date equal");
    t.file("state/mode", b"only the mode differs");
    t.file("state/older-here", b"the source is older");
    t.file("state/newer-here", b"the source is newer");
    t.file_at("state/half-second", b"dates differ by half a second", DATE, 500_000_000);
    let big = noise(70, 800_000);
    t.file("state/edited", &edited(&big));
    t.file("state/shifted", &[b"one more line\n".as_slice(), &big].concat());
    t.file("state/grown", &noise(71, 150_000));
    t.file("state/shrunk", &noise(72, 40_000));
    t.file("state/rewritten", &noise(73, 120_000));
    t.file("state/edited-prose", &edited(&prose(74, 300_000)));
    t.file("state/other-grown", &noise(75, 150_000));
    t.file("state/was-dir", b"a directory stands there");
    t.file("state/was-empty-dir", b"an empty directory stands there");
    t.file("state/was-link", b"a symlink stands there");
    t.file("state/was-fifo", b"a fifo stands there");
    t.file("state/was-file/inside", b"a file stands there");
    t.file("state/was-dirlink/inside", b"a symlink to a directory stands there");
    t.link("state/link-same", "same");
    t.link("state/link-other", "new-target");
    t.link("state/link-was-file", "same");
    t.link("state/link-was-dir", "same");
    t.node("state/fifo-was-file", FileType::Fifo, 0);
    t.file("state/linked-there-1", b"linked with 2 there, not here");
    t.file("state/linked-there-2", b"linked with 1 there, not here");
    t.close();
}

/// Some bytes changed, some inserted, some removed.
pub(crate) fn edited(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    let len = out.len();
    for at in [0, 701, len / 3, len / 2, len - 1] {
        out[at] ^= 0x55;
    }
    out.splice(len / 4..len / 4, b"inserted".iter().copied());
    out.drain(len * 3 / 4..len * 3 / 4 + 100);
    out
}

/// The destination before the run.
pub(crate) fn before(root: &Path) {
    let mut t = Tree::new(root);
    t.file("state/same", b"the same here and there");
    t.file_at("state/touched", b"same content, other date", DATE - 5000, 3);
    t.file("state/hidden-change", b"content B, size and date equal");
    t.file("state/mode", b"only the mode differs");
    t.mode("state/mode", 0o600);
    t.file_at("state/older-here", b"the destination is newer", DATE + 5000, 0);
    t.file_at("state/newer-here", b"the destination is older", DATE - 5000, 0);
    t.file_at("state/half-second", b"dates differ by half a second", DATE, 0);
    let big = noise(70, 800_000);
    t.file_at("state/edited", &big, DATE - 1, 0);
    t.file_at("state/shifted", &big, DATE - 1, 0);
    t.file_at("state/grown", &noise(71, 150_000)[..100_000], DATE - 1, 0);
    t.file_at("state/shrunk", &noise(72, 90_000), DATE - 1, 0);
    t.file_at("state/rewritten", &noise(99, 120_000), DATE - 1, 0);
    t.file_at("state/edited-prose", &prose(74, 300_000), DATE - 1, 0);
    t.file_at("state/other-grown", &noise(98, 60_000), DATE - 1, 0);
    t.file("state/was-dir/inner/file", b"in the way");
    t.dir("state/was-empty-dir", 0o755, DATE);
    t.link("state/was-link", "same");
    t.node("state/was-fifo", FileType::Fifo, 0);
    t.file("state/was-file", b"to become a directory");
    t.link("state/was-dirlink", "../extra");
    t.link("state/link-same", "same");
    t.link("state/link-other", "old-target");
    t.file("state/link-was-file", b"to become a symlink");
    t.dir("state/link-was-dir", 0o755, DATE);
    t.file("state/fifo-was-file", b"to become a fifo");
    t.file("state/linked-there-1", b"linked with 2 there, not here");
    t.hard("state/linked-there-1", "state/linked-there-2");
    t.file("hard/one", &noise(50, 5000));
    t.file("hard/two", b"not linked and different");
    t.file("hard2/three", &noise(50, 5000));

    t.file("extra/file", b"not in the source");
    t.file("extra/deep/er/file", b"not in the source");
    t.file("extra.o", b"not in the source, excluded in some runs");
    t.file("text/extra", b"not in the source");
    t.link("text/extra-link", "nowhere");
    t.node("text/extra-fifo", FileType::Fifo, 0);
    t.file("filtered/merge/extra.tmp", b"protected by a filter file");
    t.file("filtered/sub/extra.o", b"not in the source");
    t.close();
}

/// Few entries of each kind: what is used where a test runs hundreds of times.
pub(crate) fn small(root: &Path) {
    let t = Tree::new(root);
    t.file("a/one", &prose(1, 3000));
    t.file("a/two", b"two");
    t.file("b/three", &noise(3, 9000));
    t.file("empty", b"");
    t.link("link", "a/two");
    t.close();
}
