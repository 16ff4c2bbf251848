//! A folder of recorded sessions: what was run, what travelled, and the trees before and after.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// One recorded session.
pub struct Case {
    pub name: String,
    pub kind: String,
    pub json: Value,
    pub c2s: Vec<u8>,
    pub s2c: Vec<u8>,
    trees: PathBuf,
}

/// One file of a tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// Type bits and permissions, as in `st_mode`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub nsec: u32,
    pub atime: Option<i64>,
    pub size: Option<u64>,
    pub sha256: Option<String>,
    pub target: Vec<u8>,
    pub rdev: (u32, u32),
    /// Number of the hard-link group.
    pub link: Option<u64>,
}

/// A tree by path; the root is `.`.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub nodes: BTreeMap<Vec<u8>, Node>,
    contents: BTreeMap<String, Vec<u8>>,
}

impl Case {
    /// All cases of a corpus, by name.
    pub fn all(corpus: &Path) -> Vec<Self> {
        let mut dirs: Vec<PathBuf> = fs::read_dir(corpus)
            .unwrap_or_else(|e| panic!("{}: {e}", corpus.display()))
            .map(|e| e.expect("readable folder").path())
            .filter(|p| p.join("case.json").exists())
            .collect();
        dirs.sort();
        dirs.iter().map(|dir| Self::load(dir, &corpus.join("_trees"))).collect()
    }

    /// One case.
    pub fn load(dir: &Path, trees: &Path) -> Self {
        let read =
            |name: &str| fs::read(dir.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", dir.display()));
        let json: Value = serde_json::from_slice(&read("case.json")).expect("case.json");
        Self {
            name: text(&json["name"]),
            kind: text(&json["kind"]),
            c2s: read("c2s.bin"),
            s2c: read("s2c.bin"),
            trees: trees.to_path_buf(),
            json,
        }
    }

    /// The value of the handshake.
    pub fn handshake(&self, key: &str) -> &Value {
        &self.json["handshake"][key]
    }

    /// Words of an argument vector.
    pub fn words(&self, key: &str) -> Vec<String> {
        strings(&self.json[key])
    }

    /// The server is a daemon.
    pub fn is_daemon(&self) -> bool {
        !self.handshake("server_greeting").is_null()
    }

    /// The client receives.
    pub fn is_pull(&self) -> bool {
        self.json["direction"] == "pull"
    }

    /// A tree; none if it was not recorded entry by entry.
    pub fn tree(&self, key: &str) -> Option<Tree> {
        let Some(name) = self.json[key].as_str() else { return Some(Tree::default()) };
        let file = self.trees.join(format!("{name}.json"));
        let json: Value = serde_json::from_slice(&fs::read(file).expect("tree")).expect("tree");
        let entries = json["entries"].as_array().expect("entries");
        if entries.iter().any(|e| e.get("path").is_none()) {
            return None;
        }
        let nodes = entries.iter().map(|e| (bytes(&e["path"]), node(e))).collect();
        let contents = json["contents"].as_object().expect("contents");
        Some(Tree { nodes, contents: contents.iter().map(|(sha, r)| (sha.clone(), content(r))).collect() })
    }
}

impl Tree {
    /// The content of a regular file.
    pub fn content(&self, node: &Node) -> Option<&[u8]> {
        self.contents.get(node.sha256.as_ref()?).map(Vec::as_slice)
    }

    /// All contents.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.contents.values().map(Vec::as_slice)
    }
}

pub fn text(v: &Value) -> String {
    v.as_str().unwrap_or_default().to_owned()
}

pub fn strings(v: &Value) -> Vec<String> {
    v.as_array().map(|a| a.iter().map(text).collect()).unwrap_or_default()
}

/// A name: text, or `{"hex": …}`.
fn bytes(v: &Value) -> Vec<u8> {
    match v.get("hex") {
        Some(hex) => unhex(&text(hex)),
        None => text(v).into_bytes(),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).expect("hex") as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn node(e: &Value) -> Node {
    let number = |key: &str| e[key].as_u64().unwrap_or(0) as u32;
    let kind = match e["type"].as_str().expect("type") {
        "file" => 0o100_000,
        "dir" => 0o040_000,
        "symlink" => 0o120_000,
        "char" => 0o020_000,
        "block" => 0o060_000,
        "fifo" => 0o010_000,
        "socket" => 0o140_000,
        other => panic!("type {other}"),
    };
    Node {
        mode: kind | u32::from_str_radix(e["mode"].as_str().expect("mode"), 8).expect("octal"),
        uid: number("uid"),
        gid: number("gid"),
        mtime: e["mtime"].as_i64().expect("mtime"),
        nsec: number("nsec"),
        atime: e["atime"].as_i64(),
        size: e["size"].as_u64(),
        sha256: e["sha256"].as_str().map(str::to_owned),
        target: bytes(&e["target"]),
        rdev: (e["rdev"][0].as_u64().unwrap_or(0) as u32, e["rdev"][1].as_u64().unwrap_or(0) as u32),
        link: e["link"].as_u64(),
    }
}

/// Output number `i` of the generator of `seed`.
fn splitmix(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const WORDS: &str = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho \
                     sigma tau upsilon phi chi psi omega north south east west red green blue end";

/// Bytes of a recipe.
fn content(recipe: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in recipe.as_array().expect("recipe") {
        // An edit may leave less than nothing of a segment.
        let n = |i: usize| segment[i].as_i64().expect("number").max(0) as u64;
        match segment[0].as_str().expect("segment") {
            "r" => {
                let (seed, from, len) = (n(1), n(2), n(3));
                let stream = (from / 8..).flat_map(|i| splitmix(seed, i).to_le_bytes());
                out.extend(stream.skip((from % 8) as usize).take(len as usize));
            }
            "t" => {
                let words: Vec<&str> = WORDS.split_whitespace().collect();
                let (seed, end) = (n(1), out.len() + n(2) as usize);
                for i in 0.. {
                    if out.len() >= end {
                        break;
                    }
                    let v = splitmix(seed, i);
                    out.extend_from_slice(words[(v & 31) as usize].as_bytes());
                    out.push(if (v >> 8).is_multiple_of(9) { b'\n' } else { b' ' });
                }
                out.truncate(end);
            }
            "x" => out.resize(out.len() + n(2) as usize, n(1) as u8),
            "h" => out.extend(unhex(&text(&segment[1]))),
            other => panic!("segment {other}"),
        }
    }
    out
}
