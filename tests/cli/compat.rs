//! The table of options in docs/COMPAT.md is what the program does: each option is tried.
//!
//! `ARSYNC_BLESS=1` writes the table anew.

use core::fmt::Write as _;
use std::{fs, path::Path};

use crate::{bench, run};

/// One row of the table of options in the sources.
pub(crate) struct Row {
    pub(crate) long: String,
    pub(crate) short: Option<char>,
    pub(crate) takes_value: bool,
    id: String,
}

/// `flag("long", Some('s'), Id)`, also inside `exact(...)`, of the table in the sources.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    // The second table is that of the daemon.
    let source = include_str!("../../host/src/cli/options.rs").split("const DAEMON_OPTIONS").next().unwrap();
    for line in source.lines().map(str::trim) {
        let line = line.strip_prefix("exact(").unwrap_or(line);
        let Some((kind, rest)) = line.split_once("(\"") else { continue };
        if !matches!(kind, "flag" | "text" | "int") {
            continue;
        }
        let (long, rest) = rest.split_once('"').unwrap();
        let short = rest.split_once("Some('").and_then(|(_, rest)| rest.chars().next());
        let id = rest.rsplit(',').find(|part| part.contains(')')).unwrap();
        let id = id.trim().trim_end_matches(')').to_owned();
        rows.push(Row { long: long.to_owned(), short, takes_value: kind != "flag", id });
    }
    assert!(rows.len() > 200, "{} rows: the table has another form now", rows.len());
    rows
}

/// A value that the option accepts, if "1" is none.
fn value(long: &str) -> &str {
    match long {
        "filter" => "- x",
        "exclude-from" | "include-from" | "files-from" | "early-input" | "password-file" => "list",
        "chmod" => "u+r",
        "checksum-choice" | "cc" => "md5",
        "compress-choice" | "zc" => "zlib",
        "usermap" | "groupmap" => "1:1",
        "chown" => "1:1",
        "info" | "debug" => "none",
        "stderr" => "errors",
        "iconv" => "utf-8,latin1",
        "copy-as" => "nobody",
        "stop-at" | "time-limit" => "2099-01-01T00:00",
        "outbuf" => "L",
        "confine-root" | "temp-dir" => "/tmp",
        "read-batch" | "write-batch" | "only-write-batch" => "batch",
        "max-alloc" => "100m",
        "block-size" => "700",
        "protocol" => "31",
        "rsh" | "rsync-path" => "x",
        _ => "1",
    }
}

/// Spellings that make the process another program.
const MODES: [&str; 9] =
    ["help", "version", "server", "sender", "daemon", "config", "detach", "no-detach", "dparam"];

/// The state of one option, found by trying it.
fn state(row: &Row) -> String {
    let name =
        if row.long.is_empty() { format!("-{}", row.short.unwrap()) } else { format!("--{}", row.long) };
    if MODES.contains(&row.long.as_str()) {
        return "built".into();
    }
    let dir = bench();
    let word = if row.takes_value { format!("{name}={}", value(&row.long)) } else { name };
    let words = match row.long.as_str() {
        "read-batch" => vec![word.as_str(), "dst"],
        _ => vec!["-rt", word.as_str(), "src/", "dst"],
    };
    let (code, _, err) = run(dir.path(), &words);
    if err.contains("is not supported by this build") {
        assert_eq!(code, 4, "{words:?}: {err}");
        return "refused".into();
    }
    assert!(!err.contains("unknown option") && !err.contains("panicked"), "{words:?}: {err}");
    if err.contains("does not support --crtimes") {
        "as in rsync on Linux: refused".into()
    } else {
        "built".into()
    }
}

fn table() -> String {
    let rows = rows();
    let mut out = String::from("| option | letter | also | off | state |\n|---|---|---|---|---|\n");
    let mut seen = Vec::new();
    for row in &rows {
        let name = if row.long.is_empty() { String::new() } else { format!("`--{}`", row.long) };
        if row.id.starts_with("No") && row.long.starts_with("no-") || seen.contains(&row.id) {
            continue;
        }
        seen.push(row.id.clone());
        let spellings = |of: &dyn Fn(&Row) -> bool| {
            let found: Vec<_> = rows.iter().filter(|r| of(r)).map(|r| format!("`--{}`", r.long)).collect();
            found.join(" ")
        };
        let also = spellings(&|r| r.id == row.id && r.long != row.long && !r.long.is_empty());
        let off = spellings(&|r| r.id == format!("No{}", row.id));
        let letter = row.short.map(|c| format!("`-{c}`")).unwrap_or_default();
        let _ = writeln!(out, "| {name} | {letter} | {also} | {off} | {} |", state(row));
    }
    out
}

const BEGIN: &str = "<!-- options: written by tests/cli, see there -->\n";
const END: &str = "<!-- end of options -->";

#[test]
fn the_table_of_options_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/COMPAT.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table has its mark");
    let (old, after) = rest.split_once(END).expect("the table has its end");
    let new = table();
    if std::env::var_os("ARSYNC_BLESS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{new}{END}{after}")).unwrap();
    } else {
        let differing: Vec<_> = new.lines().filter(|line| !old.contains(line)).collect();
        assert!(old == new, "docs/COMPAT.md is out of date (ARSYNC_BLESS=1 writes it anew): {differing:#?}");
    }
}
