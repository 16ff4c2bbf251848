//! Temporaries: their names (spec: temporary file), and the registry that makes them disappear on every exit.
//!
//! A [`Temp`] that is dropped unlinks its file. [`unlink_all`] is for the way out of the process: it removes
//! whatever is alive and refuses new ones.

use alloc::sync::Arc;
use core::{
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    collections::hash_map::RandomState,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Instant,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat},
    io::{self, Errno},
};

/// Longest part of a temporary's name that comes from the target's name, bytes.
const MAX_BASE: usize = 246;
/// Letters of the random part.
const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const RANDOM: usize = 6;
const TRIES: u32 = 100;

#[derive(Debug)]
struct TempPath {
    dir: Arc<OwnedFd>,
    name: Vec<u8>,
}

/// A live temporary name. Dropping it unlinks the file.
#[derive(Debug)]
pub struct Temp {
    path: Arc<TempPath>,
    /// Place in the registry; `None` once the name is given up.
    slot: Option<usize>,
}

/// All live temporaries of the process.
#[derive(Debug, Default)]
pub struct Registry {
    slots: Mutex<Slots>,
    /// Files that threads are making under names which they have registered, or are about to.
    making: AtomicUsize,
}

#[derive(Debug, Default)]
struct Slots {
    live: Vec<Option<Arc<TempPath>>>,
    free: Vec<usize>,
    closed: bool,
}

static REGISTRY: Registry = Registry {
    slots: Mutex::new(Slots { live: Vec::new(), free: Vec::new(), closed: false }),
    making: AtomicUsize::new(0),
};

/// How long [`unlink_all`] waits for files that are being made: a file system that does not answer must not keep the
/// program alive.
const PATIENCE: Duration = Duration::from_secs(1);

/// Removes every live temporary; from now on none can be made (`EINTR`). For the way out of the process, on a thread
/// that makes none itself.
pub fn unlink_all() {
    REGISTRY.unlink_all();
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, path: Arc<TempPath>) -> io::Result<usize> {
        let mut slots = self.lock();
        if slots.closed {
            return Err(Errno::INTR);
        }
        if let Some(slot) = slots.free.pop() {
            slots.live[slot] = Some(path);
            return Ok(slot);
        }
        slots.live.push(Some(path));
        Ok(slots.live.len() - 1)
    }

    fn release(&self, slot: usize) {
        let mut slots = self.lock();
        slots.live[slot] = None;
        slots.free.push(slot);
    }

    fn unlink_all(&self) {
        self.lock().closed = true;
        // Who has found it open will have made its file soon: only then is it there to be removed.
        let since = Instant::now();
        while self.making.load(Ordering::SeqCst) > 0 && since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_micros(50));
        }
        for path in self.lock().live.iter().flatten() {
            let _ = unlinkat(&path.dir, &*path.name, AtFlags::empty());
        }
    }

    /// Has a file made under a name, which is registered before the file exists, so that no exit can fall in between.
    fn make<T>(
        &self,
        path: Arc<TempPath>,
        make: impl FnOnce(&TempPath) -> io::Result<T>,
    ) -> io::Result<(T, usize)> {
        self.making.fetch_add(1, Ordering::SeqCst);
        let made = self.register(path.clone()).and_then(|slot| match make(&path) {
            Ok(made) => Ok((made, slot)),
            Err(error) => {
                self.release(slot);
                Err(error)
            }
        });
        self.making.fetch_sub(1, Ordering::SeqCst);
        made
    }
}

impl Temp {
    /// Its name in its directory.
    pub fn name(&self) -> &[u8] {
        &self.path.name
    }

    /// A file that is made under a name of this directory.
    fn make<T>(
        dir: &Arc<OwnedFd>,
        name: Vec<u8>,
        make: impl FnOnce(&TempPath) -> io::Result<T>,
    ) -> io::Result<(T, Self)> {
        let path = Arc::new(TempPath { dir: dir.clone(), name });
        let (made, slot) = REGISTRY.make(path.clone(), make)?;
        Ok((made, Self { path, slot: Some(slot) }))
    }

    /// Makes a new file under its final name, which must be free. It disappears like a temporary until it is kept.
    pub fn create_named(dir: &Arc<OwnedFd>, name: &[u8], mode: u32) -> io::Result<(OwnedFd, Self)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::make(dir, name.to_vec(), |at| openat(&at.dir, &*at.name, flags, Mode::from_raw_mode(mode)))
    }

    /// The file is complete and stays.
    pub fn keep(self) {
        self.release();
    }

    /// Makes a new file named for `base` with these permissions (the umask applies), open for reading and
    /// writing. `hidden`: with a leading dot, as beside the target.
    pub fn create(dir: &Arc<OwnedFd>, base: &[u8], hidden: bool, mode: u32) -> io::Result<(OwnedFd, Self)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |at: &TempPath| openat(&at.dir, &*at.name, flags, Mode::from_raw_mode(mode));
        for _ in 0..TRIES {
            match Self::make(dir, random_name(base, hidden), open) {
                Err(Errno::EXIST) => {}
                other => return other,
            }
        }
        Err(Errno::EXIST)
    }

    /// Makes something that is no regular file under a name `.BASE.NUMBER`.
    pub fn special(
        dir: &Arc<OwnedFd>,
        base: &[u8],
        make: impl Fn(&OwnedFd, &[u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let pid = std::process::id();
        let first = if pid > 999_899 { 0 } else { pid };
        for number in first..first + TRIES {
            let mut name = stem(base, true);
            name.extend_from_slice(number.to_string().as_bytes());
            match Self::make(dir, name, |at| make(&at.dir, &at.name)) {
                Err(Errno::EXIST) => {}
                other => return other.map(|((), temp)| temp),
            }
        }
        Err(Errno::EXIST)
    }

    /// Renames the file to its place. On failure it is removed when the value goes.
    pub fn rename(self, dir: &OwnedFd, name: &[u8]) -> Result<(), (Errno, Self)> {
        match renameat(&self.path.dir, &*self.path.name, dir, name) {
            Ok(()) => {
                self.release();
                Ok(())
            }
            Err(error) => Err((error, self)),
        }
    }

    /// The same for a hard link: where `name` is one of the same file already, a rename does nothing and
    /// leaves the temporary.
    pub fn rename_link(self, dir: &OwnedFd, name: &[u8]) -> io::Result<()> {
        renameat(&self.path.dir, &*self.path.name, dir, name)
    }

    /// Releases the name without unlinking: nothing of ours is there.
    fn release(mut self) {
        if let Some(slot) = self.slot.take() {
            REGISTRY.release(slot);
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let _ = unlinkat(&self.path.dir, &*self.path.name, AtFlags::empty());
            REGISTRY.release(slot);
        }
    }
}

/// The name up to its variable part: `.BASE.` (spec: temporary file).
pub(crate) fn stem(base: &[u8], hidden: bool) -> Vec<u8> {
    let base = if hidden { base.strip_prefix(b".").unwrap_or(base) } else { base };
    let mut len = base.len();
    if len > MAX_BASE {
        len = MAX_BASE;
        // A cut inside a multi-byte character would make a name that some file systems refuse.
        while len > 0 && base[MAX_BASE] & 0x80 != 0 && base[len - 1] & 0x80 != 0 {
            len -= 1;
        }
    }
    let base = &base[..len];
    let base = base.strip_suffix(b".").unwrap_or(base);
    let mut name = Vec::with_capacity(base.len() + 2 + RANDOM);
    if hidden && !base.is_empty() {
        name.push(b'.');
    }
    name.extend_from_slice(base);
    name.push(b'.');
    name
}

fn random_name(base: &[u8], hidden: bool) -> Vec<u8> {
    let mut name = stem(base, hidden);
    let mut bits = random();
    for _ in 0..RANDOM {
        name.push(LETTERS[(bits % 62) as usize]);
        bits /= 62;
    }
    name
}

/// Numbers that do not repeat within the process and that others cannot foresee: a keyed hash of a counter.
fn random() -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = KEY.get_or_init(RandomState::new).build_hasher();
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt, path::Path};

    use super::*;

    fn names(dir: &Path) -> Vec<Vec<u8>> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().as_bytes().to_vec()).collect()
    }

    fn open(dir: &Path) -> Arc<OwnedFd> {
        Arc::new(fs::File::open(dir).unwrap().into())
    }

    /// Lengths and shapes observed with the reference.
    #[test]
    fn names_are_shortened_as_the_reference_does() {
        assert_eq!(stem(b"foo", true), b".foo.");
        assert_eq!(stem(b".foo.", true), b".foo.");
        assert_eq!(stem(b"foo.", true), b".foo.");
        assert_eq!(stem(b"foo", false), b"foo.");
        assert_eq!(stem(b".foo.", false), b".foo.");
        let e = "é".as_bytes();
        for (base, len) in [
            (vec![b'a'; 255], 254),
            ([b".".to_vec(), vec![b'b'; 254]].concat(), 254),
            ([b".".to_vec(), vec![b'f'; 245]].concat(), 253),
            ([vec![b'g'; 101], e.repeat(77)].concat(), 109),
            (e.repeat(127), 7),
            ([vec![b'h'; 245], b".zzzz".to_vec()].concat(), 253),
            ([vec![b'i'; 245], e.to_vec(), b"x".to_vec()].concat(), 253),
            ([vec![b'j'; 244], e.repeat(2), b"x".to_vec()].concat(), 252),
            ([vec![b'k'; 240], e.repeat(3)].concat(), 254),
        ] {
            assert_eq!(random_name(&base, true).len(), len, "{}", String::from_utf8_lossy(&base));
        }
        assert_eq!(random_name(&e.repeat(127), false).len(), 7);
        assert_eq!(random_name(&[b'a'; 255], false).len(), 253);
    }

    #[test]
    fn a_dropped_temporary_disappears_and_a_renamed_one_stays() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = open(tmp.path());
        let (_file, temp) = Temp::create(&dir, b"x", true, 0o600).unwrap();
        let name = names(tmp.path()).remove(0);
        assert!(name.starts_with(b".x.") && name.len() == 9, "{name:?}");
        drop(temp);
        assert!(names(tmp.path()).is_empty());
        let (_file, temp) = Temp::create(&dir, b"x", true, 0o600).unwrap();
        temp.rename(&dir, b"x").unwrap();
        assert_eq!(names(tmp.path()), [b"x"]);
    }

    #[test]
    fn special_names_carry_the_first_free_number() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = open(tmp.path());
        let pid = std::process::id();
        let first = if pid > 999_899 { 0 } else { pid };
        fs::write(tmp.path().join(format!(".s.{first}")), "").unwrap();
        let make = |d: &OwnedFd, n: &[u8]| rustix::fs::symlinkat("t", d, n);
        let temp = Temp::special(&dir, b"s", make).unwrap();
        assert!(tmp.path().join(format!(".s.{}", first + 1)).is_symlink());
        drop(temp);
        assert_eq!(names(tmp.path()).len(), 1);
    }

    #[test]
    fn a_closed_registry_unlinks_what_is_alive_and_takes_nothing_more() {
        let tmp = tempfile::tempdir().unwrap();
        let registry = Registry::default();
        fs::write(tmp.path().join("t"), "").unwrap();
        let path = Arc::new(TempPath { dir: open(tmp.path()), name: b"t".to_vec() });
        registry.register(path.clone()).unwrap();
        registry.unlink_all();
        assert!(names(tmp.path()).is_empty());
        assert_eq!(registry.register(path).unwrap_err(), Errno::INTR);
    }

    #[test]
    fn what_is_being_made_meanwhile_disappears_as_well() {
        let tmp = tempfile::tempdir().unwrap();
        let registry = Registry::default();
        let path = Arc::new(TempPath { dir: open(tmp.path()), name: b"t".to_vec() });
        thread::scope(|scope| {
            let made = registry.make(path, |_| {
                let closing = scope.spawn(|| registry.unlink_all());
                while !registry.lock().closed {
                    thread::yield_now();
                }
                assert!(!closing.is_finished());
                fs::write(tmp.path().join("t"), "").unwrap();
                Ok(())
            });
            assert_eq!(made.unwrap().1, 0);
        });
        assert!(names(tmp.path()).is_empty());
    }
}
