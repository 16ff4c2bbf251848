//! Whole-file copies within one machine on threads, one file a task.

use alloc::sync::Arc;
use std::os::fd::OwnedFd;

use arsync_core::{
    copying::{CopyEnd, CopyJob, LocalCopy},
    names::RelName,
    ports::{Attrs, CommitStep, Create, Destination, Extended, WriteMode},
};
use rustix::{fs::fstat, io::Errno};

use super::{
    FileSource, TreeTarget,
    backlog::{Piece, parent},
    pool::{Pool, Task},
    port, processors,
    source::Reader,
    write::{SMALL, Shared},
};

/// One file to copy.
struct Job {
    reader: Reader,
    source: Box<[u8]>,
    target: Arc<Shared>,
    name: Box<[u8]>,
    file_mode: u32,
    attrs: Attrs,
    extended: Option<Extended>,
    backup: bool,
    size: u64,
    fresh: bool,
    in_place: bool,
}

impl Piece for Job {
    fn dir(&self) -> &[u8] {
        parent(&self.name)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Room for a small file. One byte more than the largest: the end is seen without a second read.
struct Room(Vec<u8>);

impl Default for Room {
    fn default() -> Self {
        Self(vec![0; SMALL + 1])
    }
}

/// The workers of a local run.
pub struct Workers(Pool<Job>);

impl Default for Workers {
    fn default() -> Self {
        Self(Pool::new("copy", processors()))
    }
}

impl LocalCopy<FileSource, TreeTarget> for Workers {
    fn start(&self, source: &FileSource, target: &TreeTarget, job: &CopyJob<'_>) -> u64 {
        let reader = match source.reader(job.source.base) {
            Ok(reader) => reader,
            Err(error) => return self.0.ended(CopyEnd::Open(port(error))),
        };
        self.0.begin(Job {
            reader,
            source: job.source.name.into(),
            target: target.shared().clone(),
            name: job.name.bytes().into(),
            file_mode: job.file_mode,
            attrs: job.attrs,
            extended: job.extended.cloned(),
            backup: job.backup,
            size: job.size,
            fresh: job.fresh,
            in_place: job.in_place,
        })
    }

    async fn finish(&self, _source: &FileSource, _target: &TreeTarget, ticket: u64) -> CopyEnd {
        self.0.end(ticket)
    }
}

impl Task for Job {
    type End = CopyEnd;
    type Kit = Room;

    fn run(self, Room(buf): &mut Room) -> CopyEnd {
        copy(&self, buf)
    }
}

/// Copies one file.
fn copy(job: &Job, buf: &mut [u8]) -> CopyEnd {
    let file = match job.reader.open(&job.source) {
        Ok(file) => file,
        Err(error) => return CopyEnd::Open(port(error)),
    };
    let Some(name) = RelName::new(&job.name) else {
        return CopyEnd::Commit(CommitStep::Create, port(Errno::INVAL));
    };
    let to = Destination::Final { backup: job.backup };
    let create =
        Create { name, mode: WriteMode::Temporary, file_mode: job.file_mode, size: job.size, append_from: 0 };
    if job.in_place {
        return copy_in_place(job, &file, &Create { mode: WriteMode::InPlace, ..create }, buf);
    }
    let Ok(n) = read_start(&file, job.size, buf) else { return CopyEnd::Refused };
    if n <= SMALL
        && let Some(pace) = job.reader.pace()
    {
        pace.copied(n as u64);
    }
    if n <= SMALL && job.target.takes_small_files() {
        let data = &buf[..n];
        if job.fresh && job.extended.is_none() && !job.target.has_temp_dir() {
            match job.target.put_fresh(&create, data, &job.attrs) {
                Ok(()) => return CopyEnd::Done(n as u64),
                Err((CommitStep::Create, _)) => {}
                Err((step, error)) => return CopyEnd::Commit(step, port(error)),
            }
        }
        return match job.target.put(&create, data, &job.attrs, job.extended.as_ref(), to) {
            Ok(()) => CopyEnd::Done(n as u64),
            Err((step, error)) => CopyEnd::Commit(step, port(error)),
        };
    }
    large(job, &file, &create, to)
}

/// Copies a file to the name that it has from the start, if it is one write and no other name shows it. What else there is,
/// errors of reading among it, is left to its turn: others may see how far it has come, and names of one file are written
/// in their order.
fn copy_in_place(job: &Job, file: &OwnedFd, create: &Create<'_>, buf: &mut [u8]) -> CopyEnd {
    if job.extended.is_some() || !job.target.takes_small_files() {
        return CopyEnd::Refused;
    }
    let Ok(n @ 0..=SMALL) = read_start(file, job.size, buf) else { return CopyEnd::Refused };
    if let Some(pace) = job.reader.pace() {
        pace.copied(n as u64);
    }
    let data = &buf[..n];
    let put = match job.target.put_fresh(create, data, &job.attrs) {
        Err((CommitStep::Create, Errno::EXIST)) => job.target.put_over(create, data, &job.attrs),
        put => put,
    };
    match put {
        Ok(()) => CopyEnd::Done(n as u64),
        Err((CommitStep::Create, _)) => CopyEnd::Refused,
        Err((step, error)) => CopyEnd::Commit(step, port(error)),
    }
}

fn large(job: &Job, file: &OwnedFd, create: &Create<'_>, to: Destination) -> CopyEnd {
    let Ok(st) = fstat(file) else { return CopyEnd::Refused };
    let size = st.st_size.cast_unsigned();
    match job.target.copy(file, create, job.reader.pace()) {
        Ok(out) if out.written() < size => CopyEnd::Refused,
        Ok(mut out) => {
            if let Some(extended) = &job.extended {
                out.attach(extended.clone());
            }
            match job.target.commit(out, &job.attrs, to) {
                Ok(()) => CopyEnd::Done(size),
                Err((step, error)) => CopyEnd::Commit(step, port(error)),
            }
        }
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
            CopyEnd::Commit(CommitStep::Write, port(error))
        }
        // Of reading or of writing.
        Err(Errno::IO) => CopyEnd::Refused,
        Err(error) => CopyEnd::Commit(CommitStep::Create, port(error)),
    }
}

/// Fills the buffer, or reads to the end of the file; one call for a file that fits. `size`: as it was listed.
fn read_start(file: &OwnedFd, size: u64, buf: &mut [u8]) -> rustix::io::Result<usize> {
    if size == 0 && fstat(file)?.st_size == 0 {
        // A read would change the time of the last access, or find what is no content, as below `/proc`.
        return Ok(0);
    }
    // A regular file is read short at its end only, and where it has less than it says, as below `/sys`.
    let n = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *buf, 0))?;
    if n < buf.len() && (n as u64) < size && (n as u64) < fstat(file)?.st_size.cast_unsigned() {
        return Err(Errno::NODATA);
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use arsync_core::{
        options::SessionOptions,
        ports::{Source, SourcePath},
    };

    use super::*;
    use crate::engine::testing::block_on;

    /// A copy in place has the name from the start, so it is only begun where it is one write, and no other name shows it.
    #[test]
    fn in_place_only_what_is_small_and_has_one_name_is_copied_ahead() {
        let tmp = tempfile::tempdir().unwrap();
        let (from, to) = (tmp.path().join("from"), tmp.path().join("to"));
        for dir in [&from, &to] {
            fs::create_dir(dir).unwrap();
        }
        for name in ["new", "old", "twice", "empty"] {
            fs::write(from.join(name), "data").unwrap();
        }
        fs::write(from.join("large"), vec![7; SMALL + 1]).unwrap();
        fs::write(from.join("empty"), "").unwrap();
        for name in ["old", "twice", "empty"] {
            fs::write(to.join(name), "longer than that").unwrap();
        }
        fs::hard_link(to.join("twice"), to.join("other")).unwrap();
        let inode = fs::metadata(to.join("old")).unwrap().ino();
        let options = SessionOptions::default();
        let source = FileSource::new(&options);
        let base = block_on(source.enter(from.as_os_str().as_encoded_bytes())).unwrap();
        let target = TreeTarget::new(Some(fs::File::open(&to).unwrap().into()), &options).unwrap();
        let workers = Workers::default();
        let copy = |name: &str| {
            let job = CopyJob {
                source: SourcePath { base, name: name.as_bytes() },
                name: RelName::new(name.as_bytes()).unwrap(),
                file_mode: 0o100_644,
                attrs: Attrs { mode: Some(0o100_644), mtime: Some((1_000_000_000, 5)), ..Attrs::default() },
                extended: None,
                backup: false,
                size: fs::metadata(from.join(name)).unwrap().len(),
                fresh: false,
                in_place: true,
            };
            block_on(workers.finish(&source, &target, workers.start(&source, &target, &job)))
        };
        assert_eq!(["new", "old", "empty"].map(copy), [CopyEnd::Done(4), CopyEnd::Done(4), CopyEnd::Done(0)]);
        assert_eq!(["twice", "large"].map(copy), [CopyEnd::Refused, CopyEnd::Refused]);
        for (name, data) in [("new", "data"), ("old", "data"), ("empty", ""), ("twice", "longer than that")] {
            assert_eq!(fs::read(to.join(name)).unwrap(), data.as_bytes(), "{name}");
        }
        let old = fs::metadata(to.join("old")).unwrap();
        assert_eq!(
            (old.ino(), old.mode(), old.mtime(), old.mtime_nsec()),
            (inode, 0o100_644, 1_000_000_000, 5)
        );
        assert_eq!(fs::read_dir(&to).unwrap().count(), 5);
    }
}
