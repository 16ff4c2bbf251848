//! A program that knows users and groups, in the place of the C library (a daemon's `name converter`).
//!
//! It gets a line with a question and answers with one line: `uid N` and `gid N` ask for names, `usr NAME` and
//! `grp NAME` for numbers. An empty line is no answer.

use std::{
    io::{BufRead, BufReader, Read, Write},
    sync::{Mutex, OnceLock, PoisonError},
};

/// Longest answer that is believed, bytes.
const MAX_ANSWER: u64 = 1 << 10;

/// The program of this process.
static PROGRAM: OnceLock<Mutex<Program>> = OnceLock::new();

struct Program {
    questions: Box<dyn Write + Send>,
    answers: BufReader<Box<dyn Read + Send>>,
}

impl Program {
    fn ask(&mut self, kind: &str, what: &[u8]) -> Option<Vec<u8>> {
        if what.iter().any(u8::is_ascii_control) {
            return None;
        }
        let question = [kind.as_bytes(), b" ", what, b"\n"].concat();
        self.questions.write_all(&question).and_then(|()| self.questions.flush()).ok()?;
        let mut answer = Vec::new();
        self.answers.by_ref().take(MAX_ANSWER).read_until(b'\n', &mut answer).ok()?;
        let answer = answer.strip_suffix(b"\n")?;
        (!answer.is_empty()).then(|| answer.to_vec())
    }
}

/// From here on this process asks a program.
pub fn convert_by(questions: impl Write + Send + 'static, answers: impl Read + Send + 'static) {
    let answers = BufReader::new(Box::new(answers) as Box<dyn Read + Send>);
    let _ = PROGRAM.set(Mutex::new(Program { questions: Box::new(questions), answers }));
}

/// The answer of the program; `None`: there is none, and the C library is to be asked.
pub fn ask(kind: &str, what: &[u8]) -> Option<Option<Vec<u8>>> {
    let program = PROGRAM.get()?;
    Some(program.lock().unwrap_or_else(PoisonError::into_inner).ask(kind, what))
}

/// The same for a number.
pub fn ask_number(kind: &str, what: &[u8]) -> Option<Option<u32>> {
    Some(ask(kind, what)?.and_then(|text| number(&text)))
}

/// A number in digits alone.
fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    #[test]
    fn questions_and_answers_are_lines() {
        let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
        struct Log(std::sync::Arc<Mutex<Vec<u8>>>);
        impl Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let answers = Box::new(&b"joe\n\n17\n"[..]) as Box<dyn Read + Send>;
        let mut program =
            Program { questions: Box::new(Log(asked.clone())), answers: BufReader::new(answers) };
        assert_eq!(program.ask("uid", b"5").as_deref(), Some(&b"joe"[..]));
        assert_eq!(program.ask("grp", b"x"), None);
        assert_eq!(program.ask("usr", b"a\nb"), None);
        assert_eq!(program.ask("usr", b"joe").as_deref(), Some(&b"17"[..]));
        assert_eq!(program.ask("usr", b"late"), None);
        assert_eq!(&*asked.lock().unwrap(), b"uid 5\ngrp x\nusr joe\nusr late\n");
    }

    #[test]
    fn spoiled_answers_are_one_line_each() {
        fuzz::run("converter_answers", 20_000, |data| {
            let ask_all = |answers: Vec<u8>| {
                let answers = Box::new(std::io::Cursor::new(answers)) as Box<dyn Read + Send>;
                let mut program =
                    Program { questions: Box::new(std::io::sink()), answers: BufReader::new(answers) };
                ["usr", "uid", "grp"].map(|kind| program.ask(kind, b"7"))
            };
            for answer in ask_all(data.to_vec()).into_iter().flatten() {
                assert!((1..1024).contains(&answer.len()) && !answer.contains(&b'\n'));
                if let Some(number) = number(&answer) {
                    let digits: Vec<u8> = answer.into_iter().skip_while(|&b| b == b'0').collect();
                    assert!(number.to_string().as_bytes() == digits || number == 0 && digits.is_empty());
                }
            }
            assert_eq!(ask_all([b"17\n", data].concat())[0].as_deref(), Some(&b"17"[..]));
        });
    }
}
