//! A directory served in fixed memory, on plain blocking std: what a microcontroller does, on a host.
//!
//! It is a remote shell for stock rsync that ignores the host name and is the remote side itself:
//!
//! ```sh
//! DEVICE_ROOT=/some/dir rsync -e target/debug/examples/tiny_device -a device:/ copy/
//! DEVICE_ROOT=/some/dir rsync -e target/debug/examples/tiny_device -a new.bin device:/image/
//! ```
//!
//! No runtime: reads and writes block, so every future is ready when it is polled, and polling once is enough.

#[path = "transport/blocking.rs"]
mod blocking;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::AsFd as _,
        unix::{
            ffi::{OsStrExt as _, OsStringExt as _},
            fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
        },
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use arsync_core::{
    rt::block_on_ready,
    tiny::{Config, Memory, Meta, Store, StoreEntry, StoreError, serve},
};
use blocking::Blocking;

// --- the files ----------------------------------------------------------------------------------------------------

/// A directory as the files of a device.
struct Folder {
    root: PathBuf,
    entries: Vec<(Vec<u8>, Meta)>,
    /// The file that is written, under its temporary name.
    open: Option<(File, PathBuf)>,
}

fn failure(error: std::io::Error) -> StoreError {
    StoreError(match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory",
        std::io::ErrorKind::PermissionDenied => "permission denied",
        std::io::ErrorKind::StorageFull => "no space left",
        _ => "input/output error",
    })
}

impl Folder {
    fn open(root: PathBuf) -> std::io::Result<Self> {
        let mut folder = Self { root, entries: Vec::new(), open: None };
        folder.list(&PathBuf::new())?;
        Ok(folder)
    }

    fn list(&mut self, below: &Path) -> std::io::Result<()> {
        let dir = self.root.join(below);
        for entry in fs::read_dir(dir)? {
            let path = below.join(entry?.file_name());
            let stat = fs::symlink_metadata(self.root.join(&path))?;
            if !stat.is_dir() && !stat.is_file() {
                continue;
            }
            let meta = Meta { size: stat.len(), mtime: stat.mtime(), mode: stat.mode() };
            self.entries.push((path.clone().into_os_string().into_vec(), meta));
            if stat.is_dir() {
                self.list(&path)?;
            }
        }
        Ok(())
    }

    fn at(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    fn note(&mut self, path: &[u8], meta: &Meta) {
        match self.entries.iter_mut().find(|(known, _)| known == path) {
            Some((_, old)) => *old = *meta,
            None => self.entries.push((path.to_vec(), *meta)),
        }
    }

    fn set(&self, path: &Path, meta: &Meta) -> std::io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(meta.mode & 0o7777))?;
        if meta.mtime != 0 {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(meta.mtime.unsigned_abs());
            File::open(path)?.set_modified(time)?;
        }
        Ok(())
    }
}

impl Store for Folder {
    async fn entry(&mut self, id: u32) -> Result<Option<StoreEntry<'_>>, StoreError> {
        Ok(self.entries.get(id as usize).map(|(path, meta)| StoreEntry { path, meta: *meta }))
    }

    async fn read_at(&mut self, id: u32, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let (path, _) = self.entries.get(id as usize).ok_or(StoreError("no such file"))?;
        File::open(self.at(path)).and_then(|file| file.read_at(buf, offset)).map_err(failure)
    }

    async fn begin(&mut self, path: &[u8], _size: u64) -> Result<(), StoreError> {
        let mut name = self.at(path).into_os_string();
        name.push(".part");
        let name = PathBuf::from(name);
        let file = File::create(&name).map_err(failure)?;
        self.open = Some((file, name));
        Ok(())
    }

    async fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        let (file, _) = self.open.as_mut().ok_or(StoreError("no file is open"))?;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(data)).map_err(failure)
    }

    async fn commit(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        let (_, name) = self.open.take().ok_or(StoreError("no file is open"))?;
        self.set(&name, meta).and_then(|()| fs::rename(&name, self.at(path))).map_err(failure)?;
        self.note(path, meta);
        Ok(())
    }

    async fn discard(&mut self) {
        if let Some((_, name)) = self.open.take() {
            let _ = fs::remove_file(name);
        }
    }

    async fn make_dir(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        let full = self.at(path);
        match fs::create_dir(&full) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failure(error)),
            _ => self.set(&full, meta).map_err(failure)?,
        }
        self.note(path, meta);
        Ok(())
    }

    async fn set_meta(&mut self, id: u32, meta: &Meta) -> Result<(), StoreError> {
        let (path, old) = self.entries.get_mut(id as usize).ok_or(StoreError("no such file"))?;
        *old = *meta;
        let path = path.clone();
        self.set(&self.at(&path), meta).map_err(failure)
    }
}

fn main() -> ExitCode {
    let root = std::env::var_os("DEVICE_ROOT").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let mut folder = match Folder::open(root) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("tiny_device: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The arguments behind the host name, in the form in which a device reads them from its line.
    let mut command = Vec::new();
    for arg in std::env::args_os().skip(1).skip_while(|arg| !arg.as_bytes().ends_with(b"rsync")) {
        command.extend_from_slice(arg.as_bytes());
        command.push(0);
    }
    command.push(0);
    let from = Blocking(std::io::Cursor::new(command).chain(std::io::stdin().lock()));
    // Not std::io::stdout(): that would collect lines, and the session has a buffer of its own.
    let to = Blocking(File::from(std::io::stdout().as_fd().try_clone_to_owned().expect("a standard output")));
    let mut memory = Box::new(Memory::<256, 8192, 256, 4096>::new());
    match block_on_ready(serve(from, to, &mut folder, &mut memory, &Config::default())) {
        Ok(summary) => {
            if std::env::var_os("DEVICE_SUMMARY").is_some() {
                eprintln!("tiny_device: {summary:?}");
            }
            ExitCode::from(summary.exit_code().0)
        }
        Err(fault) => {
            eprintln!("tiny_device: {fault}");
            ExitCode::from(fault.exit_code().0)
        }
    }
}
