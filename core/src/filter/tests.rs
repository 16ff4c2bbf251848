//! The tables of the specification.

use alloc::{collections::BTreeMap, vec::Vec};

use super::*;
use crate::{ports::PortError, version::ProtocolVersion};

const TOP: &str = "/src/top";

type Files = BTreeMap<Vec<u8>, Vec<u8>>;

fn no_files(_: &[u8]) -> Result<Vec<u8>, PortError> {
    Err(PortError::NOT_FOUND)
}

fn config() -> FilterConfig {
    FilterConfig { cvs_perishable: true, ..FilterConfig::default() }
}

fn list(rules: &[&str], config: FilterConfig) -> Result<FilterList, FilterError> {
    let mut list = FilterList::new(config);
    for rule in rules {
        if let Some(rule) = rule.strip_prefix("--exclude=") {
            list.add_old(rule.as_bytes(), false)?;
        } else if let Some(rule) = rule.strip_prefix("--include=") {
            list.add_old(rule.as_bytes(), true)?;
        } else if *rule == "option -C" {
            list.add_cvs(CvsRules::All)?;
        } else {
            list.add_filter(rule.as_bytes(), &mut no_files)?;
        }
    }
    Ok(list)
}

fn files(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(name, text)| (name.as_bytes().to_vec(), text.as_bytes().to_vec())).collect()
}

/// The scope inside `dir`, entered from the top on. None: a directory on the way is excluded.
fn descend(scope: &Scope, dir: &str, files: &Files) -> Result<Option<Scope>, FilterError> {
    let mut read = |path: &[u8]| files.get(path).cloned();
    let mut inside = scope.enter(b"", &mut read)?;
    let mut path = Vec::new();
    for component in dir.split('/').filter(|c| !c.is_empty()) {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component.as_bytes());
        if inside.check(&path, true, Perishable::Counts).is_excluded() {
            return Ok(None);
        }
        inside = inside.enter(&path, &mut read)?;
    }
    Ok(Some(inside))
}

fn verdict(
    list: &FilterList,
    side: FilterSide,
    files: &Files,
    path: &str,
    is_dir: bool,
) -> Result<&'static str, FilterError> {
    let (dir, _) = path.rsplit_once('/').unwrap_or(("", path));
    let scope = list.scope(side, TOP.as_bytes());
    Ok(match descend(&scope, dir, files)? {
        None => "parent excluded",
        Some(scope) => match scope.check(path.as_bytes(), is_dir, Perishable::Counts) {
            Verdict::Include => "included",
            Verdict::Exclude => "excluded",
            Verdict::None => "no match",
        },
    })
}

type Row = (
    u32,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
    &'static str,
);

/// Number, rules, files, path, type and result, checked with the stock program.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    (1, &["- foo"], &[], "foo", "file", "excluded"),
    (2, &["- foo"], &[], "a/b/foo", "file", "excluded"),
    (3, &["- foo"], &[], "a/foobar", "file", "no match"),
    (4, &["- foo"], &[], "a/xfoo", "file", "no match"),
    (5, &["- foo"], &[], "foo", "dir", "excluded"),
    (6, &["- foo/"], &[], "foo", "file", "no match"),
    (7, &["- foo/"], &[], "foo", "dir", "excluded"),
    (8, &["- foo/"], &[], "a/foo", "dir", "excluded"),
    (9, &["- /foo"], &[], "foo", "file", "excluded"),
    (10, &["- /foo"], &[], "a/foo", "file", "no match"),
    (11, &["- /a/foo"], &[], "a/foo", "file", "excluded"),
    (12, &["- /foo/"], &[], "foo", "file", "no match"),
    (13, &["- a/foo"], &[], "a/foo", "file", "excluded"),
    (14, &["- a/foo"], &[], "z/a/foo", "file", "excluded"),
    (15, &["- a/foo"], &[], "z/ba/foo", "file", "no match"),
    (16, &["- a/foo"], &[], "a/b/foo", "file", "no match"),
    (17, &["- a/foo/"], &[], "z/a/foo", "dir", "excluded"),
    (18, &["- *.o"], &[], "x.o", "file", "excluded"),
    (19, &["- *.o"], &[], "d/.o", "file", "excluded"),
    (20, &["- *.o"], &[], "x.o.c", "file", "no match"),
    (21, &["- *"], &[], ".hid", "file", "excluded"),
    (22, &["- f?o"], &[], "fxo", "file", "excluded"),
    (23, &["- f?o"], &[], "fo", "file", "no match"),
    (24, &["- a?b"], &[], "d/a/b", "file", "no match"),
    (25, &["- a/*/c"], &[], "a/b/c", "file", "excluded"),
    (26, &["- a/*/c"], &[], "z/a/b/c", "file", "excluded"),
    (27, &["- a/*/c"], &[], "a/b/d/c", "file", "no match"),
    (28, &["- a/*"], &[], "z/a/q", "file", "excluded"),
    (29, &["- a/*"], &[], "a/q/r/s", "file", "parent excluded"),
    (30, &["- /*"], &[], "d/f", "file", "parent excluded"),
    (31, &["- /*/*"], &[], "d/f", "file", "excluded"),
    (32, &["- /*/*"], &[], "f", "file", "no match"),
    (33, &["- a**c"], &[], "a/b/c", "file", "excluded"),
    (34, &["- a**c"], &[], "z/abc", "file", "excluded"),
    (35, &["- a**c"], &[], "abcd", "file", "no match"),
    (36, &["- **c"], &[], "a/b/c", "file", "excluded"),
    (37, &["- **c"], &[], "abc", "file", "excluded"),
    (38, &["- **/c"], &[], "c", "file", "excluded"),
    (39, &["- **/c"], &[], "a/b/c", "file", "excluded"),
    (40, &["- a/**/c"], &[], "a/c", "file", "no match"),
    (41, &["- a/**/c"], &[], "a/b/d/c", "file", "excluded"),
    (42, &["- a/**/c"], &[], "z/a/b/c", "file", "excluded"),
    (43, &["- /a/**/c"], &[], "z/a/b/c", "file", "no match"),
    (44, &["- /a/**"], &[], "a", "dir", "no match"),
    (45, &["- /a/**"], &[], "a/b", "file", "excluded"),
    (46, &["- a/**"], &[], "z/a/b", "file", "excluded"),
    (47, &["- a/***"], &[], "a", "dir", "excluded"),
    (48, &["- a/***"], &[], "a/b/c", "file", "parent excluded"),
    (49, &["- a/***"], &[], "a", "file", "no match"),
    (50, &["- /a/***"], &[], "z/a", "dir", "no match"),
    (51, &["- foo***"], &[], "foo", "dir", "excluded"),
    (52, &["- foo***"], &[], "z/foo", "dir", "excluded"),
    (53, &["- ***"], &[], "x", "file", "excluded"),
    (54, &["+ a/***", "- *"], &[], "a/b/c", "file", "included"),
    (55, &["+ /a/b/***", "- *"], &[], "a/b/c", "file", "parent excluded"),
    (56, &["- [ab]x"], &[], "bx", "file", "excluded"),
    (57, &["- [!ab]x"], &[], "bx", "file", "no match"),
    (58, &["- [^ab]x"], &[], "cx", "file", "excluded"),
    (59, &["- [a-c]x"], &[], "bx", "file", "excluded"),
    (60, &["- [c-a]x"], &[], "bx", "file", "no match"),
    (61, &["- []x]y"], &[], "]y", "file", "excluded"),
    (62, &["- [!]x]y"], &[], "zy", "file", "excluded"),
    (63, &["- [a-]x"], &[], "-x", "file", "excluded"),
    (64, &["- [[:digit:]]x"], &[], "5x", "file", "excluded"),
    (65, &["- [[:upper:]]x"], &[], "ax", "file", "no match"),
    (66, &["- [[:bogus:]]x"], &[], "bx", "file", "no match"),
    (67, &["- [[:digit]x"], &[], "dx", "file", "excluded"),
    (68, &["- [\\]]x"], &[], "]x", "file", "excluded"),
    (69, &["- [a"], &[], "[a", "file", "no match"),
    (70, &["- a[/]b"], &[], "a/b", "file", "no match"),
    (71, &["- [a-z/]b"], &[], "d/qb", "file", "no match"),
    (72, &["- [\\a-\\c]x"], &[], "bx", "file", "excluded"),
    (73, &["- foo\\*"], &[], "foo*", "file", "excluded"),
    (74, &["- foo\\*"], &[], "foobar", "file", "no match"),
    (75, &["- fo\\o"], &[], "fo\\o", "file", "excluded"),
    (76, &["- fo\\o"], &[], "foo", "file", "no match"),
    (77, &["- fo\\o*"], &[], "foox", "file", "excluded"),
    (78, &["- fo\\\\o*"], &[], "fo\\ox", "file", "excluded"),
    (79, &["- x*\\"], &[], "xy\\", "file", "no match"),
    (80, &["- x*\\"], &[], "xy", "file", "no match"),
    (81, &["- FOO"], &[], "foo", "file", "no match"),
    (82, &["- F*"], &[], "foo", "file", "no match"),
    (83, &["+ foo", "- *"], &[], "foo", "file", "included"),
    (84, &["- *", "+ foo"], &[], "foo", "file", "excluded"),
    (85, &["+ */", "+ *.c", "- *"], &[], "a/b/x.c", "file", "included"),
    (86, &["+ */", "+ *.c", "- *"], &[], "a/b/x.h", "file", "excluded"),
    (87, &["+ *.c", "- *"], &[], "a/x.c", "file", "parent excluded"),
    (88, &["-! *.c"], &[], "x.c", "file", "no match"),
    (89, &["-! *.c"], &[], "x.h", "file", "excluded"),
    (90, &["-! */"], &[], "f", "file", "excluded"),
    (91, &["-! */"], &[], "d", "dir", "no match"),
    (92, &["-! /a/"], &[], "b", "dir", "excluded"),
    (93, &["+! x*", "- *"], &[], "yy", "file", "included"),
    (94, &["-! foo/"], &[], "foo", "file", "excluded"),
    (95, &["- foo", "!", "- bar"], &[], "foo", "file", "no match"),
    (96, &["- foo", "!", "- bar"], &[], "bar", "file", "excluded"),
    (97, &["clear"], &[], "foo", "file", "no match"),
    (98, &["- foo", "clear"], &[], "foo", "file", "no match"),
    (99, &["H foo"], &[], "foo", "file", "excluded"),
    (100, &["P foo"], &[], "foo", "file", "no match"),
    (101, &["-r foo"], &[], "foo", "file", "no match"),
    (102, &["-s foo"], &[], "foo", "file", "excluded"),
    (103, &["-rs foo"], &[], "foo", "file", "excluded"),
    (104, &["S foo", "- foo"], &[], "foo", "file", "included"),
    (105, &["R foo", "- foo"], &[], "foo", "file", "excluded"),
    (106, &["hide foo"], &[], "foo", "file", "excluded"),
    (107, &["exclude,s foo"], &[], "foo", "file", "excluded"),
    (108, &["-,s foo"], &[], "foo", "file", "excluded"),
    (109, &["protect foo"], &[], "foo", "file", "no match"),
    (110, &["show foo", "- *"], &[], "foo", "file", "included"),
    (111, &["-_foo"], &[], "foo", "file", "excluded"),
    (112, &["-_ foo"], &[], " foo", "file", "excluded"),
    (113, &["-  foo"], &[], " foo", "file", "excluded"),
    (114, &["- foo "], &[], "foo ", "file", "excluded"),
    (115, &["- foo "], &[], "foo", "file", "no match"),
    (116, &["include_foo", "- *"], &[], "foo", "file", "included"),
    (117, &["-p foo"], &[], "foo", "file", "excluded"),
    (118, &["-x foo"], &[], "foo", "file", "no match"),
    (119, &["-/ TOP/foo"], &[], "foo", "file", "excluded"),
    (120, &["-/ foo"], &[], "foo", "file", "excluded"),
    (121, &["-/ /foo"], &[], "foo", "file", "no match"),
    (122, &["-/ d/foo"], &[], "d/foo", "file", "excluded"),
    (123, &["-/ /foo"], &[], "foo", "file", "no match"),
    (124, &["--exclude=foo"], &[], "foo", "file", "excluded"),
    (125, &["--exclude=+ foo", "--exclude=*"], &[], "+ foo", "file", "excluded"),
    (126, &["--exclude=+ foo", "--exclude=*"], &[], "foo", "file", "included"),
    (127, &["--include=- foo"], &[], "foo", "file", "excluded"),
    (128, &["--exclude=-foo"], &[], "-foo", "file", "excluded"),
    (129, &["--exclude=foo", "--exclude=!"], &[], "!", "file", "no match"),
    (130, &["--exclude=foo", "--exclude=!"], &[], "foo", "file", "no match"),
    (131, &["--exclude=!x"], &[], "!x", "file", "excluded"),
    (132, &[": .r"], &[(".r", "- foo\n")], "foo", "file", "excluded"),
    (133, &[": .r"], &[(".r", "- foo\n")], "d/foo", "file", "excluded"),
    (134, &[": .r"], &[(".r", "- /foo\n")], "d/foo", "file", "no match"),
    (135, &[": .r"], &[("d/.r", "- /foo\n")], "d/foo", "file", "excluded"),
    (136, &[":n .r"], &[(".r", "- foo\n")], "d/foo", "file", "no match"),
    (137, &[": .r"], &[(".r", "- foo\n"), ("d/.r", "+ foo\n")], "d/foo", "file", "included"),
    (138, &[": .r"], &[(".r", "- foo\n"), ("d/.r", "!\n")], "d/foo", "file", "no match"),
    (139, &["- foo", ": .r"], &[(".r", "+ foo\n")], "foo", "file", "excluded"),
    (140, &[": .r", "- foo"], &[(".r", "+ foo\n")], "foo", "file", "included"),
    (141, &[":e .r"], &[(".r", "- foo\n")], ".r", "file", "excluded"),
    (142, &[":- .r"], &[(".r", "foo bar\nfoo\n")], "foo", "file", "excluded"),
    (143, &[":-w .r"], &[(".r", "foo bar\n# x\n")], "bar", "file", "excluded"),
    (144, &[":-w .r"], &[(".r", "# x\n")], "#", "file", "excluded"),
    (145, &[":- .r"], &[(".r", "#\n#x\n")], "#", "file", "no match"),
    (146, &[":- .r"], &[(".r", "+ foo\n")], "+ foo", "file", "excluded"),
    (147, &[":+ .r", "- *"], &[(".r", "foo\n")], "foo", "file", "included"),
    (148, &[":w .r"], &[(".r", "- foo + bar\n")], "foo", "file", "exit 1"),
    (149, &[":C"], &[(".cvsignore", "foo bar\n")], "foo", "file", "excluded"),
    (150, &[":C"], &[(".cvsignore", "foo bar\n")], "d/foo", "file", "no match"),
    (151, &[":C"], &[(".cvsignore", "foo ! bar\n")], "foo", "file", "no match"),
    (152, &[": .r"], &[(".r", "- x/foo\n")], "x/foo", "file", "excluded"),
    (153, &[": .r"], &[("d/.r", "- /x/foo\n")], "d/x/foo", "file", "excluded"),
    (154, &[": .r"], &[("d/.r", "- a/**/c\n")], "d/a/b/c", "file", "excluded"),
    (155, &[":s .r"], &[(".r", "- foo\n")], "foo", "file", "excluded"),
    (156, &[":r .r"], &[(".r", "- foo\n")], "foo", "file", "no match"),
    (157, &[": .r"], &[(".r", ": .r2\n"), (".r2", "- foo\n")], "foo", "file", "excluded"),
    (158, &[": .r"], &[(".r", "- foo\r\n")], "foo", "file", "excluded"),
    (159, &[": .r"], &[(".r", "; c\n\n# c\n- foo")], "foo", "file", "excluded"),
    (160, &[": .r"], &[(".r", "-  foo\n")], " foo", "file", "excluded"),
    (161, &[": .r"], &[(".r", " - foo\n")], "foo", "file", "exit 1"),
    (162, &["-C"], &[], "x.o", "file", "excluded"),
    (163, &["-C"], &[], "core", "file", "excluded"),
    (164, &["-C"], &[], ".git", "dir", "excluded"),
    (165, &["-C"], &[], ".git", "file", "no match"),
    (166, &["-C"], &[], "x.o", "file", "excluded"),
    (167, &["+ *.o", "-C"], &[], "x.o", "file", "included"),
    (168, &["-C"], &[(".cvsignore", "foo\n")], "foo", "file", "excluded"),
];

#[test]
fn every_row_of_the_table_holds() {
    assert_eq!(ROWS.len(), 168);
    for &(number, rules, rule_files, path, kind, expected) in ROWS {
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| match *rule {
                "-C" if number >= 166 => "option -C".into(),
                rule => rule.replace("TOP", TOP),
            })
            .collect();
        let rules: Vec<&str> = rules.iter().map(|rule| &**rule).collect();
        let files = files(rule_files);
        let got = list(&rules, config())
            .and_then(|list| verdict(&list, FilterSide::Sender, &files, path, kind == "dir"));
        match got {
            Ok(got) => assert_eq!(got, expected, "row {number}"),
            Err(error) => {
                assert_eq!("exit 1", expected, "row {number}: {error}");
                assert_eq!(error.exit_code().0, 1, "row {number}");
            }
        }
    }
}

fn lost(rules: &[&str], delete_excluded: bool, tree: &[(&str, &str)], name: &str) -> bool {
    let list = list(rules, FilterConfig { delete_excluded, ..config() }).unwrap();
    let got = verdict(&list, FilterSide::Receiver, &files(tree), name, name.ends_with('d')).unwrap();
    got == "no match" || got == "included"
}

#[test]
fn the_receiver_protects_what_its_rules_exclude() {
    assert!(!lost(&["- foo"], false, &[], "foo")); // 201
    assert!(lost(&["- foo"], true, &[], "foo")); // 202
    assert!(lost(&["-s foo"], false, &[], "foo")); // 203
    assert!(!lost(&["-r foo"], false, &[], "foo")); // 204
    assert!(!lost(&["P foo"], true, &[], "foo")); // 205
    assert!(lost(&["H foo"], false, &[], "foo")); // 206
    assert!(!lost(&["-rs foo"], true, &[], "foo")); // 207
    assert!(lost(&["R foo", "- foo"], false, &[], "foo")); // 208
    assert!(!lost(&["- d/"], false, &[], "d")); // 212
    assert!(!lost(&["P /d/***"], false, &[], "d")); // 214
    assert!(!lost(&["P /d/***"], false, &[], "d/foo")); // 214
    assert!(!lost(&["P *.bak"], false, &[], "d/y.bak")); // 215
    assert!(lost(&[": .r"], false, &[], "foo")); // 216
    assert!(!lost(&[": .r"], false, &[(".r", "- foo")], "foo")); // 219
    assert!(lost(&[":s .r"], false, &[(".r", "- foo")], "foo")); // 220
    assert!(!lost(&[":r .r"], false, &[(".r", "- b")], "b")); // 221
    assert!(lost(&[":- .r"], true, &[(".r", "foo")], "foo")); // 222
    assert!(lost(&[": .r"], true, &[(".r", "- foo")], "foo")); // 223
    assert!(!lost(&["P foo", "- foo"], true, &[], "foo")); // 230
}

#[test]
fn perishable_rules_can_be_ignored() {
    let list = list(&["-p foo", ":p .r", "- foo2"], config()).unwrap();
    let scope = list.scope(FilterSide::Receiver, b"/dst");
    let scope = scope.enter(b"", &mut |_| Some(b"- bar".to_vec())).unwrap();
    for name in [&b"foo"[..], b"bar"] {
        assert_eq!(scope.check(name, false, Perishable::Counts), Verdict::Exclude);
        assert_eq!(scope.check(name, false, Perishable::Ignored), Verdict::None);
    }
    assert_eq!(scope.check(b"foo2", false, Perishable::Ignored), Verdict::Exclude);
}

#[test]
fn xattr_rules_and_name_rules_do_not_meet() {
    let list = list(&["-x user.l*", "- foo", "+x *"], config()).unwrap();
    assert!(list.has_xattr_rules());
    let scope = list.scope(FilterSide::Sender, b"/");
    assert_eq!(scope.check_xattr(b"user.long"), Verdict::Exclude);
    assert_eq!(scope.check_xattr(b"foo"), Verdict::Include);
    assert_eq!(scope.check(b"user.long", false, Perishable::Counts), Verdict::None);
}

#[test]
fn a_path_in_front_is_searched_from_the_top_once() {
    let tree = files(&[
        ("/home/.pf", "- foo\n- /src/d\n- /src/d/bar"),
        ("/home/src/.pf", "- one"),
        ("d/.pf", "- two"),
    ]);
    let mut asked = Vec::new();
    let mut read = |path: &[u8]| {
        asked.push(path.to_vec());
        tree.get(path).cloned()
    };
    let scope = list(&[": ../.pf"], config()).unwrap().scope(FilterSide::Sender, b"/home/src");
    let base = scope.settle(b"", &mut read).unwrap();
    assert_eq!(base.check(b"foo", false, Perishable::Counts), Verdict::Exclude);
    let top = base.enter(b"", &mut read).unwrap();
    let inside = top.enter(b"d", &mut read).unwrap();
    assert_eq!(inside.check(b"d/foo", false, Perishable::Counts), Verdict::Exclude);
    assert_eq!(inside.check(b"d/bar", false, Perishable::Counts), Verdict::Exclude);
    assert_eq!(inside.check(b"d/two", false, Perishable::Counts), Verdict::Exclude);
    assert_eq!(top.check(b"d", true, Perishable::Counts), Verdict::Exclude);
    assert_eq!(top.check(b"two", false, Perishable::Counts), Verdict::None);
    // For a later argument with another parent.
    let other = base.with_cwd(b"/other").enter(b"x", &mut read).unwrap();
    assert_eq!(other.check(b"x/foo", false, Perishable::Counts), Verdict::Exclude);
    assert_eq!(other.check(b"d/bar", false, Perishable::Counts), Verdict::None);
    let asked: Vec<_> = asked.iter().map(|p| core::str::from_utf8(p).unwrap()).collect();
    assert_eq!(asked, ["/home/.pf", ".pf", "d/.pf", "x/.pf"]);
}

#[test]
fn an_absolute_path_reads_all_directories_above() {
    let mut asked = Vec::new();
    let mut read = |path: &[u8]| {
        asked.push(path.to_vec());
        None
    };
    let scope = list(&[": /.f", ":n /a/.g", ": /z/.h"], config()).unwrap().scope(FilterSide::Sender, b"/a/b");
    scope.enter(b"d", &mut read).unwrap();
    let asked: Vec<_> = asked.iter().map(|p| core::str::from_utf8(p).unwrap()).collect();
    assert_eq!(asked, ["/.f", "/a/.f", "/a/b/.f", "d/.f", "/a/.g", "/a/b/.g", "d/.g", "d/.h"]);
}

#[test]
fn merge_files_of_a_directory_are_found_by_their_kind_of_name() {
    let tree = files(&[
        ("d/.r", ". plain\n. x/../sub\n. //abs/"),
        ("plain", "- p"),
        ("d/sub", "- s\n: .n"),
        ("/abs", "- a"),
        ("d/.n", "- n"),
        ("d/e/.n", "!\n- m"),
    ]);
    let scope = list(&[": .r"], config()).unwrap().scope(FilterSide::Sender, b"/t");
    let inside = descend(&scope, "d/e", &tree).unwrap().unwrap();
    for name in ["d/e/p", "d/e/s", "d/e/a", "d/e/m"] {
        assert_eq!(inside.check(name.as_bytes(), false, Perishable::Counts), Verdict::Exclude, "{name}");
    }
    assert_eq!(inside.check(b"d/e/n", false, Perishable::Counts), Verdict::None);
    let outside = descend(&scope, "", &tree).unwrap().unwrap();
    assert_eq!(outside.check(b"p", false, Perishable::Counts), Verdict::None);
}

#[test]
fn a_scope_without_files_costs_nothing_to_enter() {
    let scope = list(&["- foo"], config()).unwrap().scope(FilterSide::Sender, b"/t");
    assert!(scope.is_constant());
    scope.enter(b"d", &mut |_| panic!("nothing to read")).unwrap();
    fn can_move<T: Send + Sync>(_: &T) {}
    can_move(&scope);
}

fn error(rules: &[&str], tree: &[(&str, &str)]) -> (u8, alloc::string::String) {
    let tree = files(tree);
    let build = || -> Result<(), FilterError> {
        let mut list = FilterList::new(config());
        for rule in rules {
            let mut read = |path: &[u8]| tree.get(path).cloned().ok_or(PortError::NOT_FOUND);
            list.add_filter(rule.as_bytes(), &mut read)?;
        }
        list.scope(FilterSide::Sender, b"/t").enter(b"d", &mut |path| tree.get(path).cloned())?;
        Ok(())
    };
    let error = build().unwrap_err();
    (error.exit_code().0, alloc::format!("{error}"))
}

#[test]
fn errors_say_what_the_reference_says() {
    let table: &[(&str, &str)] = &[
        ("foo", "Unknown filter rule: foo"),
        ("excl foo", "Unknown filter rule: excl foo"),
        (" - foo", "Unknown filter rule:  - foo"),
        ("-z foo", "invalid modifier 'z' at position 1 in filter rule: -z foo"),
        ("!x", "'!' rule has trailing characters: !x"),
        ("! ", "'!' rule has trailing characters: ! "),
        ("clear,s", "'!' rule has trailing characters: clear,s"),
        ("-", "unexpected end of filter rule: -"),
        ("-s_", "unexpected end of filter rule: -s_"),
        (":e", "unexpected end of filter rule: :e"),
        ("exclude\tfoo", "invalid modifier '\t' at position 7 in filter rule: exclude\tfoo"),
        ("Hs foo", "invalid modifier 's' at position 1 in filter rule: Hs foo"),
        ("H,s foo", "invalid modifier 's' at position 2 in filter rule: H,s foo"),
        (":! .r", "invalid modifier '!' at position 1 in filter rule: :! .r"),
        (":-+ .r", "invalid modifier '+' at position 2 in filter rule: :-+ .r"),
        ("-CC", "invalid modifier 'C' at position 2 in filter rule: -CC"),
        (":C-", "invalid modifier '-' at position 2 in filter rule: :C-"),
        (":-C", "invalid modifier 'C' at position 2 in filter rule: :-C"),
        ("-n foo", "invalid modifier 'n' at position 1 in filter rule: -n foo"),
        ("-,,s foo", "invalid modifier ',' at position 2 in filter rule: -,,s foo"),
    ];
    for (rule, text) in table {
        assert_eq!(error(&[rule], &[]), (1, (*text).into()));
    }
    for fine in
        ["!,", "clear,", "-C", "-C foo", "-Cs", ":C", ":,C", "-!! x", "S, foo", "-C!", "dir-merge,- .r"]
    {
        assert!(list(&[fine], config()).is_ok(), "{fine}");
    }
}

#[test]
fn errors_in_files_show_the_line_only() {
    let at = |text: &str| (1, text.into());
    assert_eq!(
        error(&[": .r"], &[("d/.r", "\n\n- foo\n!x\n")]),
        at("'!' rule has trailing characters: <rule from /t/d/.r line 4>")
    );
    assert_eq!(
        error(&[": .r"], &[("d/.r", "-z foo\n")]),
        at("invalid modifier in filter rule: <rule from /t/d/.r line 1>")
    );
    assert_eq!(
        error(&[":w .r"], &[("d/.r", "- foo")]),
        at("unexpected end of filter rule: <rule from /t/d/.r>")
    );
    assert_eq!(
        error(&[":s .r"], &[("d/.r", "H foo")]),
        at("specified-side merge file contains specified-side filter: <rule from /t/d/.r line 1>")
    );
    assert_eq!(
        error(&[". f"], &[("f", ": .r"), ("d/.r", "bad")]),
        at("Unknown filter rule: <rule from a file read earlier>")
    );
    assert_eq!(error(&[". f"], &[("f", "bad")]), at("Unknown filter rule: <rule from f line 1>"));
    assert_eq!(error(&[". f"], &[]), (11, "failed to open exclude file f".into()));
    assert_eq!(error(&[".C"], &[]), (11, "failed to open exclude file .cvsignore".into()));
    assert_eq!(
        error(&[". f"], &[("f", ". g")]),
        (11, "failed to open exclude file <rule from f line 1>".into())
    );
    assert_eq!(
        error(&[". f"], &[("f", ". g"), ("g", "bad")]),
        at("Unknown filter rule: <rule from a file named at f line 1>")
    );
    let (code, text) = error(&[". f"], &[("f", ". f")]);
    assert_eq!(code, 11);
    assert!(text.starts_with("merge-file include depth limit (32) exceeded at <rule from a file named at "));
    let failed = FilterList::new(config()).add_from(b"missing", true, &mut no_files).unwrap_err();
    assert_eq!(failed.message(), b"failed to open include file missing");
}

#[test]
fn merge_files_may_be_32_deep() {
    let build = |count: u32| {
        let mut list = FilterList::new(config());
        list.add_filter(b". 1", &mut |path| {
            let n: u32 = core::str::from_utf8(path).unwrap().parse().unwrap();
            Ok(if n == count { b"- foo".to_vec() } else { alloc::format!(". {}", n + 1).into_bytes() })
        })
    };
    assert!(build(32).is_ok());
    assert!(build(33).is_err());
}

#[test]
fn over_long_rules_are_left_out() {
    let mut list = FilterList::new(config());
    let long = [b"- ", &[b'a'; 4096][..]].concat();
    list.add_filter(&long, &mut no_files).unwrap();
    list.add_old(&[b'a'; 4095], false).unwrap();
    let warnings = list.take_warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].message(), [b"discarding over-long filter: ", &[b'a'; 4096][..]].concat());
    let mut read = |_: &[u8]| Ok([&long[..], b"\nfoo"].concat());
    list.add_from(b"f", false, &mut read).unwrap();
    assert_eq!(list.take_warnings()[0].message(), b"discarding over-long filter: <rule from f line 1>");
    assert_eq!(
        list.scope(FilterSide::Sender, b"").check(b"foo", false, Perishable::Counts),
        Verdict::Exclude
    );
}

#[test]
fn files_of_old_rules_are_read_by_lines_or_nuls() {
    let text = b"foo\r\n# c\n; d\n + x\n+ bar\n- b*\n\n";
    let mut list = FilterList::new(config());
    list.add_from(b"f", false, &mut |_| Ok(text.to_vec())).unwrap();
    let scope = list.scope(FilterSide::Sender, b"/t");
    let check = |name: &str| scope.check(name.as_bytes(), false, Perishable::Counts);
    assert_eq!(check("e/foo"), Verdict::Exclude);
    assert_eq!(check("bar"), Verdict::Include);
    assert_eq!(check("baz"), Verdict::Exclude);
    assert_eq!(check("# c"), Verdict::None);
    assert_eq!(check(" + x"), Verdict::Exclude);
    let mut list = FilterList::new(FilterConfig { from0: true, ..config() });
    list.add_from(b"f", false, &mut |_| Ok(b"a\nb\0;c\0d".to_vec())).unwrap();
    let scope = list.scope(FilterSide::Sender, b"/t");
    assert_eq!(scope.check(b"a\nb", false, Perishable::Counts), Verdict::Exclude);
    assert_eq!(scope.check(b"d", false, Perishable::Counts), Verdict::Exclude);
}

#[test]
fn a_nul_ends_a_rule_of_a_line_and_the_option_for_nuls_holds_from_where_it_stands() {
    let mut list = FilterList::new(FilterConfig { from0: true, ..config() });
    list.set_from0(false);
    list.add_from(b"f", false, &mut |_| Ok(b"a\0b\nc\n\0d\n".to_vec())).unwrap();
    list.add_filter(b".-w f", &mut |_| Ok(b"e\0f g".to_vec())).unwrap();
    list.set_from0(true);
    list.add_from(b"f", false, &mut |_| Ok(b"h\0i\nj".to_vec())).unwrap();
    let scope = list.scope(FilterSide::Sender, b"/t");
    let excluded = |name: &&str| scope.check(name.as_bytes(), false, Perishable::Counts) == Verdict::Exclude;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "i\nj"];
    assert_eq!(names.into_iter().filter(excluded).collect::<Vec<_>>(), ["a", "c", "e", "g", "h", "i\nj"]);
}

fn hidden(parameters: &[(&str, Syntax)], path: &str, is_dir: bool) -> bool {
    let mut list = FilterList::daemon(config());
    for (text, syntax) in parameters {
        list.add_words(text.as_bytes(), *syntax, &mut no_files).unwrap();
    }
    list.scope(FilterSide::Receiver, b"").check_path(path.as_bytes(), is_dir).is_excluded()
}

#[test]
fn daemon_lists_hide_as_observed() {
    let old = |include| Syntax::Old { include };
    let exclude = |text, path| hidden(&[(text, old(false))], path, false);
    assert!(exclude("x/", "x/f") && exclude("x/", "a/x/f") && !exclude("x/", "x"));
    assert!(exclude("a/b/", "q/a/b/f") && exclude("a/b", "a/b/f") && !exclude("a/b", "a/x/f"));
    assert!(exclude("/foo b/f", "foo") && !exclude("/foo b/f", "a/foo") && exclude("/foo b/f", "q/a/b/f"));
    assert!(exclude("f", "a/b/f") && exclude("a", "a/b/f"));
    assert!(exclude("- foo + x", "a/foo") && !exclude("- foo + x", "x"));
    assert!(!exclude("foo ! x", "foo") && exclude("foo ! x", "x"));
    let filter = |text, path| hidden(&[(text, Syntax::Full)], path, false);
    assert!(filter("- foo + bar -_x/", "a/foo") && filter("- foo + bar -_x/", "x/f"));
    assert!(filter("H_foo P_bar -s_baz", "bar"));
    assert!(!filter("H_foo P_bar -s_baz", "foo") && !filter("H_foo P_bar -s_baz", "baz"));
    assert!(!hidden(&[("-! x/", Syntax::Full)], "x/f", false));
    let both = [("/a /a/b", old(true)), ("/a/*", old(false))];
    assert!(!hidden(&both, "a/b/f", false) && hidden(&both, "a/foo", false) && !hidden(&both, "q", true));
}

fn wire(
    rules: &[&str],
    protocol: u8,
    client: FilterSide,
    delete_excluded: bool,
) -> Option<Vec<alloc::string::String>> {
    let cvs_perishable = protocol >= 30;
    let list =
        list(rules, FilterConfig { delete_excluded, cvs_perishable, ..FilterConfig::default() }).unwrap();
    let texts = list.wire_rules(ProtocolVersion::new(protocol).unwrap(), client).ok()?;
    Some(texts.into_iter().map(|t| alloc::string::String::from_utf8(t).unwrap()).collect())
}

const SAMPLE: [&str; 11] = [
    "- *.o",
    "H hid",
    "P prot",
    "R risk/",
    "-/ /abs",
    "-p per",
    "-! neg",
    ":e .rules",
    "-x user.z",
    "--exclude=/anch",
    "--include=inc/",
];

#[test]
fn wire_texts_are_those_observed() {
    use FilterSide::{Receiver, Sender};
    let is = |rules: &[&str], client, delete_excluded, expected: &[&str]| {
        assert_eq!(wire(rules, 32, client, delete_excluded).unwrap(), expected, "{rules:?}");
    };
    is(
        &SAMPLE,
        Receiver,
        false,
        &[
            "- *.o",
            "-s hid",
            "-/ /abs",
            "-p per",
            "-! neg",
            "- .rules",
            ": .rules",
            "-x user.z",
            "- /anch",
            "+ inc/",
        ],
    );
    is(
        &SAMPLE,
        Sender,
        false,
        &[
            "- *.o",
            "-r prot",
            "+r risk/",
            "-/ /abs",
            "-p per",
            "-! neg",
            "- .rules",
            ": .rules",
            "-x user.z",
            "- /anch",
            "+ inc/",
        ],
    );
    is(&SAMPLE, Sender, true, &["-r prot", "+r risk/", ": .rules"]);
    is(
        &SAMPLE,
        Receiver,
        true,
        &[
            "-s *.o",
            "-s hid",
            "-/s /abs",
            "-sp per",
            "-!s neg",
            "- .rules",
            ": .rules",
            "-xs user.z",
            "-s /anch",
            "+s inc/",
        ],
    );
    is(&["-C"], Receiver, false, &["-C "]);
    is(&["-C"], Receiver, true, &["-C "]);
    is(&["+C!/sp"], Receiver, false, &["+/!Csp "]);
    is(&["-Cr"], Receiver, false, &[]);
    is(&["-Cs"], Sender, false, &[]);
    is(&[":C"], Receiver, false, &[":C .cvsignore"]);
    is(&[":nw- .x", ":+/pxse .x"], Receiver, false, &[":nw- .x", "- .x"]);
    is(&[":+/pxse .x"], Receiver, false, &["- .x", ":/+xsp .x"]);
    is(&[": .x", "!", ": .x"], Receiver, false, &[": .x"]);
    is(&[":e a/.x", ":e b/.x"], Receiver, false, &["- .x", ": a/.x", "- .x"]);
    is(&["-rs foo", ":- .r", ": .q", ":r- .z"], Sender, true, &["-sr foo", ": .q", ":-r .z"]);
    is(&["-rs foo", ":- .r", ": .q"], Receiver, true, &["-sr foo", ":- .r", ": .q"]);
    is(&[": /.rsync-filter", "- .rsync-filter"], Receiver, false, &[": /.rsync-filter", "- .rsync-filter"]);
    let push = wire(&["option -C"], 32, Sender, false).unwrap();
    assert_eq!(push.len(), 37);
    assert_eq!(push[..3], [":C .cvsignore", "-p RCS", "-p SCCS"]);
    assert_eq!(push[36], "-p .bzr/");
    assert_eq!(wire(&["-Cr"], 32, Sender, false).unwrap()[0], "-rp RCS");
}

#[test]
fn old_protocols_carry_plain_rules_only() {
    use FilterSide::{Receiver, Sender};
    let pull = |rules: &[&str]| wire(rules, 28, Receiver, false);
    let push = |rules: &[&str]| wire(rules, 28, Sender, false);
    assert_eq!(
        pull(&["- foo", "- + x", "+ inc/", "--exclude=- y", "-s sss", "-r rrr", "-rs bar", "-p per"])
            .unwrap(),
        ["foo", "- + x", "+ inc/", "y", "sss", "bar", "per"]
    );
    assert_eq!(pull(&["+ - x", "- + x/", "- - x"]).unwrap(), ["+ - x", "- + x/", "- - x"]);
    assert_eq!(push(&["-s foo", "-rs bar", "-r baz", "+r ii"]).unwrap(), ["bar", "baz", "+ ii"]);
    assert_eq!(wire(&["-rs bar"], 28, Sender, true), None);
    assert_eq!(wire(&["-r bar"], 28, Sender, true), None);
    assert_eq!(wire(&["-rs bar", "- x", "-p y"], 28, Receiver, true).unwrap(), ["bar", "x", "y"]);
    for modern in [": .r", "-! foo", "-/ foo", "-x foo"] {
        assert_eq!(pull(&[modern]), None, "{modern}");
    }
    assert_eq!(pull(&[":r .r"]).unwrap().len(), 0);
    assert_eq!(push(&[":s .r", "-s! x"]).unwrap().len(), 0);
    assert_eq!(push(&["-p foo"]), None);
    assert_eq!(wire(&["-p foo"], 29, Sender, false), None);
    assert_eq!(wire(&["-p foo"], 29, Receiver, false).unwrap(), ["- foo"]);
    assert_eq!(pull(&["-C"]).unwrap()[..2], ["RCS", "SCCS"]);
    assert_eq!(wire(&["-C"], 29, Sender, false).unwrap()[0], "- RCS");
}

#[test]
fn the_server_understands_what_the_client_sends() {
    let sent = list(&SAMPLE, config()).unwrap();
    let texts = sent.wire_rules(ProtocolVersion::MAX, FilterSide::Receiver).unwrap();
    let texts = texts.iter().map(|t| &t[..]);
    let got = FilterList::from_wire(texts.clone(), ProtocolVersion::MAX, config()).unwrap();
    let again = got.wire_rules(ProtocolVersion::MAX, FilterSide::Receiver).unwrap();
    assert!(texts.eq(again.iter().map(|t| &t[..])));
    let refused = FilterList::from_wire([&b". /etc/passwd"[..]], ProtocolVersion::MAX, config());
    assert!(matches!(refused, Err(FilterError::MergeFromPeer(_))));
    let old = ProtocolVersion::new(28).unwrap();
    let list = FilterList::from_wire([&b"-foo"[..], b"+ a", b"- b"], old, config()).unwrap();
    let scope = list.scope(FilterSide::Sender, b"");
    assert_eq!(scope.check(b"-foo", false, Perishable::Counts), Verdict::Exclude);
    assert_eq!(scope.check(b"a", false, Perishable::Counts), Verdict::Include);
}

#[test]
fn the_cvs_list_takes_words_of_home_and_environment() {
    let config = FilterConfig {
        cvs_home: Some(b"hw\n".to_vec()),
        cvs_env: Some(b" ew ! last ".to_vec()),
        delete_excluded: true,
        ..config()
    };
    let mut list = FilterList::new(FilterConfig { cvs_env: Some(b"ew".to_vec()), ..config.clone() });
    list.add_cvs(CvsRules::AllForBothSides).unwrap();
    let scope = list.scope(FilterSide::Receiver, b"");
    for name in [&b"hw"[..], b"ew", b"x~"] {
        assert_eq!(scope.check(name, false, Perishable::Counts), Verdict::Exclude);
    }
    assert_eq!(scope.check(b"x~", false, Perishable::Ignored), Verdict::None);
    assert_eq!(scope.check(b"ew", false, Perishable::Ignored), Verdict::Exclude);
    let mut list = FilterList::new(config);
    list.add_filter(b"-C", &mut no_files).unwrap();
    assert_eq!(
        list.scope(FilterSide::Receiver, b"").check(b"last", false, Perishable::Counts),
        Verdict::None
    );
    let scope = list.scope(FilterSide::Sender, b"");
    assert_eq!(scope.check(b"last", false, Perishable::Counts), Verdict::Exclude);
    assert_eq!(scope.check(b"x~", false, Perishable::Counts), Verdict::None);
}
