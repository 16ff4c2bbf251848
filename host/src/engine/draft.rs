//! A file being received, whose start on disk may be put off: a small one in a directory that this run has made
//! is kept in memory until it is complete, and then written under its final name at once.

use core::ops::Range;
use std::os::fd::OwnedFd;

use arsync_core::{
    names::RelName,
    ports::{Attrs, CommitStep, Create, Destination, Extended, WriteMode},
};
use rustix::io::{self, Errno};

use super::{
    copy::append_from,
    write::{Output, SMALL, Shared},
};

/// A file on its way.
#[derive(Debug)]
pub enum Draft {
    /// In memory.
    Small {
        /// Its name.
        name: Box<[u8]>,
        /// Type and permissions that it will have.
        file_mode: u32,
        /// What it holds so far.
        data: Vec<u8>,
        /// What is set when it is complete; with this it takes the usual course.
        extended: Option<Box<Extended>>,
    },
    /// On disk.
    File(Box<Output>),
}

impl Draft {
    /// Starts a file. `fresh`: its directory was made by this run.
    pub fn start(shared: &Shared, create: &Create<'_>, fresh: bool) -> io::Result<Self> {
        let small = fresh
            && create.mode == WriteMode::Temporary
            && create.size <= SMALL as u64
            && shared.takes_small_files()
            && shared.takes_final_names();
        if !small {
            return Ok(Self::File(Box::new(shared.create(create)?)));
        }
        let mut data = shared.spare_buffer();
        data.reserve(usize::try_from(create.size).unwrap_or(SMALL).min(SMALL));
        Ok(Self::Small {
            name: create.name.bytes().into(),
            file_mode: create.file_mode,
            data,
            extended: None,
        })
    }

    /// The file on disk, made now if it was not yet.
    fn file(&mut self, shared: &Shared) -> io::Result<&mut Output> {
        if let Self::Small { name, file_mode, data, extended } = self {
            let rel = RelName::new(name).ok_or(Errno::INVAL)?;
            let size = data.len() as u64;
            let mode = WriteMode::Temporary;
            let create = Create { name: rel, mode, file_mode: *file_mode, size, append_from: 0 };
            let mut output = shared.create(&create)?;
            output.write(data)?;
            if let Some(extended) = extended.take() {
                output.attach(*extended);
            }
            shared.give_back(core::mem::take(data));
            *self = Self::File(Box::new(output));
        }
        match self {
            Self::File(output) => Ok(output),
            Self::Small { .. } => Err(Errno::INVAL),
        }
    }

    /// Appends data.
    pub fn write(&mut self, shared: &Shared, new: &[u8]) -> io::Result<()> {
        match self {
            Self::Small { data, .. } if data.len() + new.len() <= SMALL => {
                data.extend_from_slice(new);
                Ok(())
            }
            _ => self.file(shared)?.write(new),
        }
    }

    /// Appends what a file holds in a range and shows it to `seen`.
    pub fn write_from(
        &mut self,
        shared: &Shared,
        from: &OwnedFd,
        range: Range<u64>,
        seen: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        match self {
            Self::Small { data, .. } if data.len().saturating_add(len) <= SMALL => {
                seen(append_from(from, range.start, len, data));
                Ok(())
            }
            _ => self.file(shared)?.write_from(from, range, seen),
        }
    }

    /// Skips what is already there.
    pub fn keep(&mut self, shared: &Shared, len: u64) -> io::Result<()> {
        self.file(shared)?.keep(len)
    }

    /// Has this set when the file is complete.
    pub fn attach(&mut self, new: Extended) {
        match self {
            Self::Small { extended, .. } => *extended = Some(Box::new(new)),
            Self::File(output) => output.attach(new),
        }
    }

    /// The file on disk, if there is one yet.
    pub fn output(&self) -> Option<&Output> {
        match self {
            Self::Small { .. } => None,
            Self::File(output) => Some(output),
        }
    }

    /// Completes the file.
    pub fn commit(
        mut self,
        shared: &Shared,
        attrs: &Attrs,
        to: Destination,
    ) -> Result<(), (CommitStep, Errno)> {
        if let (Self::Small { name, file_mode, data, extended: None }, Destination::Final { .. }) =
            (&mut self, to)
            && let Some(rel) = RelName::new(name)
        {
            let create = Create {
                name: rel,
                mode: WriteMode::Temporary,
                file_mode: *file_mode,
                size: data.len() as u64,
                append_from: 0,
            };
            match shared.put_fresh(&create, data, attrs) {
                // Something is there nevertheless, or the name is taken for another reason.
                Err((CommitStep::Create, _)) => {}
                other => {
                    shared.give_back(core::mem::take(data));
                    return other;
                }
            }
        }
        self.file(shared).map_err(|e| (CommitStep::Create, e))?;
        match self {
            Self::File(output) => shared.commit(*output, attrs, to),
            Self::Small { .. } => Err((CommitStep::Create, Errno::INVAL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt},
        path::Path,
    };

    use arsync_core::{options::SessionOptions, ports::XattrChange};

    use super::*;
    use crate::{
        engine::{
            beneath::{Links, Tree},
            meta::Handle,
            xattr,
        },
        needs::needs,
    };

    fn shared(dir: &Path) -> Shared {
        let tree = Tree::new(fs::File::open(dir).unwrap().into(), Links::Never);
        Shared::new(tree, &SessionOptions::default(), false).unwrap()
    }

    fn create(name: &str, size: u64) -> Create<'_> {
        Create {
            name: RelName::new(name.as_bytes()).unwrap(),
            mode: WriteMode::Temporary,
            file_mode: 0o100_640,
            size,
            append_from: 0,
        }
    }

    const FINAL: Destination = Destination::Final { backup: false };

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_small_file_appears_when_it_is_complete() {
        let tmp = tempfile::tempdir().unwrap();
        let shared = shared(tmp.path());
        let mut draft = Draft::start(&shared, &create("f", 6), true).unwrap();
        draft.write(&shared, b"abc").unwrap();
        draft.write(&shared, b"def").unwrap();
        assert_eq!(names(tmp.path()), [] as [&str; 0]);
        let attrs = Attrs { mode: Some(0o100_640), mtime: Some((1_000, 7)), ..Attrs::default() };
        draft.commit(&shared, &attrs, FINAL).unwrap();
        let meta = fs::metadata(tmp.path().join("f")).unwrap();
        assert_eq!((meta.permissions().mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o640, 1_000, 7));
        assert_eq!(fs::read(tmp.path().join("f")).unwrap(), b"abcdef");
        drop(Draft::start(&shared, &create("g", 6), true).unwrap());
        assert_eq!(names(tmp.path()), ["f"]);
    }

    #[test]
    fn what_grows_or_is_in_the_way_takes_the_usual_course() {
        let tmp = tempfile::tempdir().unwrap();
        let shared = shared(tmp.path());
        let mut draft = Draft::start(&shared, &create("large", 3), true).unwrap();
        let data = vec![7; SMALL];
        draft.write(&shared, &data).unwrap();
        draft.write(&shared, b"x").unwrap();
        assert!(names(tmp.path())[0].starts_with(".large."));
        draft.commit(&shared, &Attrs::default(), FINAL).unwrap();
        assert_eq!(fs::metadata(tmp.path().join("large")).unwrap().len(), SMALL as u64 + 1);

        fs::write(tmp.path().join("there"), "old").unwrap();
        let mut draft = Draft::start(&shared, &create("there", 3), true).unwrap();
        draft.write(&shared, b"new").unwrap();
        draft.commit(&shared, &Attrs::default(), FINAL).unwrap();
        assert_eq!(fs::read(tmp.path().join("there")).unwrap(), b"new");
        assert_eq!(names(tmp.path()), ["large", "there"]);
    }

    /// Whatever stood in the way of the file when it got them.
    #[test]
    fn extended_attributes_are_not_lost_where_a_file_cannot_be_made_at_first() {
        let tmp = tempfile::tempdir().unwrap();
        let shared = shared(tmp.path());
        let mut draft = Draft::start(&shared, &create("d/f", 3), true).unwrap();
        draft.write(&shared, b"abc").unwrap();
        let value = Some(b"v".to_vec());
        let xattrs = vec![XattrChange { name: b"user.x".to_vec(), value }];
        draft.attach(Extended { xattrs, ..Extended::default() });
        fs::create_dir(tmp.path().join("d")).unwrap();
        draft.commit(&shared, &Attrs::default(), FINAL).unwrap();
        let file = fs::File::open(tmp.path().join("d/f")).unwrap().into();
        let got = xattr::find(Handle::File(&file), false, b"user.x");
        let able = shared.setter().take_failures().is_empty();
        if needs("extended attributes", able) {
            assert_eq!(got, Ok(Some(b"v".to_vec())));
        }
        assert_eq!(names(&tmp.path().join("d")), ["f"]);
    }

    #[test]
    fn elsewhere_a_file_starts_under_a_temporary_name() {
        let tmp = tempfile::tempdir().unwrap();
        let shared = shared(tmp.path());
        let draft = Draft::start(&shared, &create("f", 3), false).unwrap();
        assert!(names(tmp.path())[0].starts_with(".f."));
        drop(draft);
        assert_eq!(names(tmp.path()), [] as [&str; 0]);
    }
}
