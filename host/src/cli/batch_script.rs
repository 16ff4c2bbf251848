//! The script that replays a batch file (spec: the script F.sh).

/// What goes into the script.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    /// The argument vector, the program's name first.
    pub(crate) argv: &'a [Vec<u8>],
    /// The operands among them.
    pub(crate) operands: &'a [Vec<u8>],
    /// Name of the batch file.
    pub(crate) batch: &'a [u8],
    /// Path part of the destination.
    pub(crate) dest: &'a [u8],
    /// The filter rules, in the form that travels.
    pub(crate) rules: &'a [Vec<u8>],
    /// Rules end with NUL (`--from0`).
    pub(crate) from0: bool,
    /// The version knows filters of any kind.
    pub(crate) modern: bool,
}

/// Options that the rules stand for, or that the batch makes superfluous; each takes a value.
const LEFT_OUT: [&[u8]; 7] =
    [b"--files-from", b"--filter", b"--include", b"--include-from", b"--exclude", b"--exclude-from", b"-f"];

/// The text of the script.
pub(crate) fn text(script: &Script<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut words = script.argv.iter();
    if let Some(program) = words.next() {
        quote(program, &mut out);
    }
    if !script.rules.is_empty() {
        out.extend_from_slice(if script.modern { b" --filter='._-'" } else { b" --exclude-from='-'" });
    }
    let words: Vec<&Vec<u8>> = words.collect();
    let mut kept = without_operands(&words, script.operands).into_iter();
    while let Some(word) = kept.next() {
        if LEFT_OUT.contains(&&word[..]) {
            kept.next();
            continue;
        }
        let (name, value) = match memchr::memchr(b'=', word) {
            Some(at) => (&word[..at], Some(&word[at..])),
            None => (&word[..], None),
        };
        let short_filter = word.starts_with(b"-f") && !word.starts_with(b"--");
        if short_filter || (value.is_some() && LEFT_OUT.contains(&name)) {
            continue;
        }
        out.push(b' ');
        match (name, value) {
            (b"--write-batch" | b"--only-write-batch", Some(_)) => {
                quote(&[b"--read-batch=", script.batch].concat(), &mut out);
            }
            (b"--write-batch" | b"--only-write-batch", None) => {
                out.extend_from_slice(b"--read-batch ");
                quote(script.batch, &mut out);
                kept.next();
            }
            _ => quote(word, &mut out),
        }
    }
    out.extend_from_slice(b" ${1:-");
    quote(script.dest, &mut out);
    out.push(b'}');
    if !script.rules.is_empty() {
        out.extend_from_slice(b" <<'#E#'\n");
        for rule in script.rules {
            out.extend_from_slice(rule);
            out.push(if script.from0 { 0 } else { b'\n' });
        }
        out.extend_from_slice(if script.from0 { b";\n#E#" } else { b"#E#" });
    }
    out.push(b'\n');
    out
}

/// The words without the operands, which are looked for from the end: there they stand as a rule.
fn without_operands<'a>(words: &[&'a Vec<u8>], operands: &[Vec<u8>]) -> Vec<&'a Vec<u8>> {
    let mut left = operands;
    let mut kept: Vec<&Vec<u8>> = words
        .iter()
        .rev()
        .filter(|word| match left.split_last() {
            Some((last, rest)) if **word == last => {
                left = rest;
                false
            }
            _ => true,
        })
        .copied()
        .collect();
    kept.reverse();
    kept
}

/// A word for a shell; `--name=` in front stays bare.
fn quote(word: &[u8], out: &mut Vec<u8>) {
    let name_char = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let bare = match word.iter().position(|b| !name_char(b)) {
        Some(at) if word.starts_with(b"--") && word[at] == b'=' => at + 1,
        _ => 0,
    };
    out.extend_from_slice(&word[..bare]);
    out.push(b'\'');
    for b in &word[bare..] {
        if *b == b'\'' {
            out.extend_from_slice(b"'\\''");
        } else {
            out.push(*b);
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str, rules: &[&str], from0: bool) -> String {
        let argv: Vec<Vec<u8>> = line.split('|').map(|w| w.as_bytes().to_vec()).collect();
        let operands = argv[argv.len() - 2..].to_vec();
        let rules: Vec<Vec<u8>> = rules.iter().map(|r| r.as_bytes().to_vec()).collect();
        let dest = operands[1].clone();
        let text = text(&Script {
            argv: &argv,
            operands: &operands,
            batch: b"F",
            dest: &dest,
            rules: &rules,
            from0,
            modern: true,
        });
        String::from_utf8(text).unwrap()
    }

    /// Command lines and scripts of the reference.
    #[test]
    fn scripts_are_those_of_the_reference() {
        assert_eq!(
            script("rsync|-rt|--checksum-seed=7|--exclude=zz|--write-batch=F|src/|dst/", &["- zz"], false),
            "'rsync' --filter='._-' '-rt' --checksum-seed='7' --read-batch='F' ${1:-'dst/'} <<'#E#'\n- zz\n#E#\n"
        );
        assert_eq!(
            script("rsync|-r|--include|z2|-f|-_foo|--write-batch=F|src/d|q9/", &["+ z2", "- foo"], false),
            "'rsync' --filter='._-' '-r' --read-batch='F' ${1:-'q9/'} <<'#E#'\n+ z2\n- foo\n#E#\n"
        );
        assert_eq!(
            script("rsync|-r|--files-from=/dev/null|-e|ssh|--write-batch=F|src|it's/", &[], false),
            "'rsync' '-r' '-e' 'ssh' --read-batch='F' ${1:-'it'\\''s/'}\n"
        );
        assert_eq!(
            script("rsync|-avf-_x|--from0|--only-write-batch|F|src|q", &["- a'b", "- c"], true),
            "'rsync' --filter='._-' '-avf-_x' '--from0' --read-batch 'F' ${1:-'q'} <<'#E#'\n- a'b\0- c\0;\n#E#\n"
        );
    }
}
