//! Shows the messages of the firmware: `decoder FIRMWARE.elf < messages`.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    process::ExitCode,
};

use defmt_decoder::{DecodeError, Table};

fn show() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: decoder FIRMWARE.elf < messages")?;
    let elf = std::fs::read(path)?;
    let table = Table::parse(&elf)?.ok_or("the firmware has no messages")?;
    let mut stream = table.new_stream_decoder();
    let colour = io::stderr().is_terminal();
    let mut buf = [0; 1024];
    loop {
        let n = io::stdin().read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        stream.received(&buf[..n]);
        loop {
            match stream.decode() {
                Ok(frame) => {
                    let level = frame.level().map_or("print", |level| level.as_str());
                    let (on, off) = match (colour, level) {
                        (true, "error") => ("\x1b[31m", "\x1b[0m"),
                        (true, "warn") => ("\x1b[33m", "\x1b[0m"),
                        (true, _) => ("\x1b[2m", "\x1b[0m"),
                        (false, _) => ("", ""),
                    };
                    writeln!(io::stderr(), "{on}device {level}: {}{off}", frame.display_message())?;
                }
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => {
                    writeln!(io::stderr(), "device: a message that cannot be read")?;
                    if !table.encoding().can_recover() {
                        return Err("the rest cannot be read either".into());
                    }
                }
            }
        }
    }
}

fn main() -> ExitCode {
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decoder: {error}");
            ExitCode::FAILURE
        }
    }
}
