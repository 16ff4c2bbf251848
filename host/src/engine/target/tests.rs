use std::{
    fs::{self, File},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use arsync_core::ports::WriteMode;

use super::*;
use crate::{engine::testing::block_on, needs::needs_root};

struct Fixture {
    dir: tempfile::TempDir,
    target: TreeTarget,
}

fn fixture(change: impl FnOnce(&mut SessionOptions, &Path)) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut options = SessionOptions::default();
    options.transfer.suffix = b"~".to_vec();
    change(&mut options, dir.path());
    let root = File::open(dir.path().join("d")).unwrap().into();
    let target = TreeTarget::new(Some(root), &options).unwrap();
    Fixture { dir, target }
}

fn name(text: &str) -> RelName<'_> {
    RelName::new(text.as_bytes()).unwrap()
}

impl Fixture {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("d").join(name)
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(dir))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn receive(
        &self,
        create: &Create<'_>,
        data: &[u8],
        attrs: &Attrs,
        to: Destination,
    ) -> Result<(), (CommitStep, PortError)> {
        let mut out = block_on(self.target.create(create)).unwrap();
        for piece in data.chunks(100_000) {
            block_on(self.target.write(&mut out, piece)).unwrap();
        }
        block_on(self.target.commit(out, attrs, to))
    }
}

fn plain(text: &str) -> Create<'_> {
    Create { name: name(text), mode: WriteMode::Temporary, file_mode: 0o100_644, size: 0, append_from: 0 }
}

const DONE: Destination = Destination::Final { backup: false };
const ATTRS: Attrs = Attrs {
    mode: Some(0o100_640),
    uid: None,
    gid: None,
    mtime: Some((1_000_000_000, 123)),
    atime: None,
    rdev: None,
};

#[test]
fn a_received_file_has_data_and_attributes_and_leaves_no_temporary() {
    let f = fixture(|_, _| ());
    let data: Vec<u8> = (0..1_000_003u32).map(|n| (n % 253) as u8).collect();
    f.receive(&plain("x"), &data, &ATTRS, DONE).unwrap();
    assert!(fs::read(f.path("x")).unwrap() == data);
    let meta = fs::metadata(f.path("x")).unwrap();
    assert_eq!((meta.mode(), meta.mtime(), meta.mtime_nsec()), (0o100_640, 1_000_000_000, 123));
    assert_eq!(f.names("."), ["x"]);
    let st = block_on(f.target.stat(Place::Dest(name("x")), false)).unwrap().unwrap();
    assert_eq!((st.size, st.mtime, st.nsec, st.nlink), (1_000_003, 1_000_000_000, 123, 1));
}

#[test]
fn permissions_are_exact_whatever_the_umask() {
    let f = fixture(|_, _| ());
    for perms in [0o644, 0o666, 0o777, 0o400, 0o000, 0o4755, 0o640] {
        let mode = 0o100_000 | perms;
        let attrs = Attrs { mode: Some(mode), ..Attrs::default() };
        f.receive(&Create { file_mode: mode, ..plain("x") }, b"data", &attrs, DONE).unwrap();
        assert_eq!(fs::metadata(f.path("x")).unwrap().mode(), mode, "{perms:o}");
    }
}

#[test]
fn a_temporary_sits_beside_its_target_and_is_private_until_owned() {
    let f = fixture(|_, _| ());
    let mode = 0o106_750;
    let out = block_on(f.target.create(&Create { file_mode: mode, ..plain("x") })).unwrap();
    let names = f.names(".");
    assert!(names.len() == 1 && names[0].starts_with(".x."), "{names:?}");
    assert_eq!(fs::metadata(f.path(&names[0])).unwrap().mode(), 0o100_700);
    block_on(f.target.discard(out));
    assert!(f.names(".").is_empty());
}

#[test]
fn owners_come_before_set_id_bits() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    let f = fixture(|_, _| ());
    let attrs = Attrs { mode: Some(0o106_755), uid: Some(5), gid: Some(6), ..Attrs::default() };
    f.receive(&plain("x"), b"data", &attrs, DONE).unwrap();
    let meta = fs::metadata(f.path("x")).unwrap();
    assert_eq!((meta.mode(), meta.uid(), meta.gid()), (0o106_755, 5, 6));
}

#[test]
fn a_failing_owner_is_reported_and_the_file_is_in_place() {
    let f = fixture(|_, _| ());
    let attrs = Attrs { gid: Some(u32::MAX), ..ATTRS };
    let failed = (CommitStep::Attrs(AttrStep::Owner { owner: false }), PortError(22));
    assert_eq!(f.receive(&plain("x"), b"data", &attrs, DONE), Err(failed));
    assert_eq!(fs::read(f.path("x")).unwrap(), b"data");
}

#[test]
fn a_directory_in_the_way_fails_the_rename_and_takes_the_temporary_along() {
    let f = fixture(|_, _| ());
    fs::create_dir(f.path("x")).unwrap();
    let failed = (CommitStep::Rename, PortError(21));
    assert_eq!(f.receive(&plain("x"), b"data", &ATTRS, DONE), Err(failed));
    assert_eq!(f.names("."), ["x"]);
    assert_eq!(block_on(f.target.create(&plain("none/x"))).unwrap_err(), PortError::NOT_FOUND);
}

#[test]
fn a_symlink_in_the_path_is_not_followed() {
    let f = fixture(|_, dir| symlink(dir, dir.join("d/l")).unwrap());
    assert_eq!(block_on(f.target.create(&plain("l/x"))).unwrap_err(), PortError(40));
    assert_eq!(block_on(f.target.stat(Place::Dest(name("l/d")), false)).unwrap_err(), PortError(40));
    assert_eq!(block_on(f.target.stat(Place::Dest(name("l")), true)).unwrap_err(), PortError(40));
    assert_eq!(block_on(f.target.remove_dir(Place::Dest(name("l/d")))).unwrap_err(), PortError(40));
    assert!(f.target.tree().at(name("l")).is_ok());
}

#[test]
fn kept_directory_links_are_entered_and_their_targets_get_the_attributes() {
    let f = fixture(|options, dir| {
        options.select.keep_dirlinks = true;
        fs::create_dir(dir.join("d/real")).unwrap();
        symlink("real", dir.join("d/l")).unwrap();
    });
    let st = block_on(f.target.stat(Place::Dest(name("l")), true)).unwrap().unwrap();
    assert!(st.is_dir());
    f.receive(&plain("l/x"), b"data", &ATTRS, DONE).unwrap();
    assert_eq!(fs::read(f.path("real/x")).unwrap(), b"data");
    let attrs = Attrs { mode: Some(0o040_711), ..Attrs::default() };
    assert_eq!(block_on(f.target.set_attrs(Place::Dest(name("l")), &st, &attrs)), Ok(true));
    assert_eq!(fs::metadata(f.path("real")).unwrap().mode() & 0o7777, 0o711);
    block_on(f.target.remove_file(Place::Dest(name("l")))).unwrap();
    assert_eq!(block_on(f.target.create(&plain("l/x"))).unwrap_err(), PortError::NOT_FOUND);
}

#[test]
fn kept_directory_links_that_lead_out_stay_as_they_are() {
    let f = fixture(|options, dir| {
        options.select.keep_dirlinks = true;
        fs::create_dir(dir.join("outside")).unwrap();
        fs::set_permissions(dir.join("outside"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../outside", dir.join("d/l")).unwrap();
        symlink("../none", dir.join("d/dangling")).unwrap();
    });
    let link = Place::Dest(name("l"));
    let st = block_on(f.target.stat(link, true)).unwrap().unwrap();
    assert!(st.is_dir());
    assert!(block_on(f.target.stat(Place::Dest(name("dangling")), true)).unwrap().is_none());
    assert_eq!(block_on(f.target.stat(Place::Dest(name("l/x")), false)).unwrap_err(), PortError(40));
    assert_eq!(block_on(f.target.create(&plain("l/x"))).unwrap_err(), PortError(40));
    let attrs = Attrs { mode: Some(0o040_700), mtime: Some((1, 0)), ..Attrs::default() };
    let set = block_on(f.target.set_attrs(link, &st, &attrs));
    assert_eq!(set, Err((AttrStep::Mode, PortError(40))));
    let outside = fs::metadata(f.path("l")).unwrap();
    assert_eq!((outside.mode() & 0o7777, outside.mtime() == 1), (0o755, false));
    assert_eq!(fs::symlink_metadata(f.path("l")).unwrap().mtime(), 1);
}

#[test]
fn in_place_keeps_the_file_and_cuts_its_end() {
    let f = fixture(|_, _| ());
    fs::write(f.path("x"), vec![b'o'; 600_000]).unwrap();
    fs::set_permissions(f.path("x"), fs::Permissions::from_mode(0o444)).unwrap();
    let ino = fs::metadata(f.path("x")).unwrap().ino();
    let create = Create { mode: WriteMode::InPlace, ..plain("x") };
    let mut out = block_on(f.target.create(&create)).unwrap();
    block_on(f.target.write(&mut out, b"new")).unwrap();
    block_on(f.target.keep(&mut out, 10)).unwrap();
    block_on(f.target.write(&mut out, b"end")).unwrap();
    block_on(f.target.commit(out, &ATTRS, DONE)).unwrap();
    assert_eq!(fs::read(f.path("x")).unwrap(), b"newooooooooooend");
    let meta = fs::metadata(f.path("x")).unwrap();
    assert_eq!((meta.ino(), meta.mode(), meta.mtime()), (ino, 0o100_640, 1_000_000_000));
    let out = block_on(f.target.create(&Create { mode: WriteMode::InPlace, ..plain("new") })).unwrap();
    assert_eq!(fs::metadata(f.path("new")).unwrap().mode(), 0o100_600);
    drop(out);
    symlink("x", f.path("l")).unwrap();
    let link = Create { mode: WriteMode::InPlace, ..plain("l") };
    assert_eq!(block_on(f.target.create(&link)).unwrap_err(), PortError(40));
}

#[test]
fn appending_starts_where_the_old_part_ends() {
    let f = fixture(|_, _| ());
    fs::write(f.path("x"), "0123456").unwrap();
    let create = Create { mode: WriteMode::InPlace, append_from: 7, ..plain("x") };
    f.receive(&create, b"789", &ATTRS, DONE).unwrap();
    assert_eq!(fs::read(f.path("x")).unwrap(), b"0123456789");
}

#[test]
fn sparse_files_have_holes_and_reserved_ones_lose_what_they_do_not_need() {
    let mut data = vec![0; 4 << 20];
    data[2 << 20] = 1;
    for (sparse, preallocate, in_place) in
        [(true, false, false), (true, true, false), (false, true, false), (true, false, true)]
    {
        let f = fixture(|options, _| {
            options.transfer.sparse = sparse;
            options.transfer.preallocate = preallocate;
        });
        if in_place {
            fs::write(f.path("x"), vec![1; 5 << 20]).unwrap();
        }
        let mode = if in_place { WriteMode::InPlace } else { WriteMode::Temporary };
        f.receive(&Create { size: 8 << 20, mode, ..plain("x") }, &data, &ATTRS, DONE).unwrap();
        assert!(fs::read(f.path("x")).unwrap() == data);
        let meta = fs::metadata(f.path("x")).unwrap();
        let blocks = meta.blocks() * 512;
        if sparse {
            assert!(blocks < 1 << 20, "{blocks} {preallocate} {in_place}");
        } else {
            assert!((4 << 20..5 << 20).contains(&blocks), "{blocks}");
        }
        assert_eq!(meta.mtime(), 1_000_000_000);
        assert!(f.target.shared().take_not_reserved().is_empty());
    }
}

#[test]
fn a_temporary_directory_on_another_file_system_ends_in_a_copy() {
    let other = ["/dev/shm", "/run", "/tmp"].iter().find_map(|dir| {
        let here = fs::metadata(std::env::temp_dir()).ok()?.dev();
        (fs::metadata(dir).ok()?.dev() != here).then(|| tempfile::tempdir_in(dir).ok())?
    });
    let Some(other) = other else { return };
    let path = other.path().to_str().unwrap().to_owned();
    let f = fixture(|options, _| options.transfer.temp_dir = Some(path.into_bytes()));
    let data = vec![b'x'; 300_000];
    let out = block_on(f.target.create(&plain("x"))).unwrap();
    let temp = fs::read_dir(other.path()).unwrap().next().unwrap().unwrap().file_name();
    assert!(temp.to_str().unwrap().starts_with("x."), "{temp:?}");
    drop(out);
    f.receive(&plain("x"), &data, &ATTRS, DONE).unwrap();
    assert!(fs::read(f.path("x")).unwrap() == data);
    let meta = fs::metadata(f.path("x")).unwrap();
    assert_eq!((meta.mode(), meta.mtime()), (0o100_640, 1_000_000_000));
    assert_eq!(f.names("."), ["x"]);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn a_missing_temporary_directory_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = SessionOptions::default();
    options.transfer.temp_dir = Some(b"none".to_vec());
    let root = File::open(dir.path()).unwrap().into();
    let error = TreeTarget::new(Some(root), &options).unwrap_err();
    assert_eq!(error, SetupError::TempDir(PortError::NOT_FOUND));
}

#[test]
fn a_partial_file_without_a_directory_takes_the_target_name_with_time_zero() {
    let f = fixture(|_, _| ());
    fs::write(f.path("x"), "old").unwrap();
    f.receive(&plain("x"), b"half", &ATTRS, Destination::KeptPartial { backup: true }).unwrap();
    let meta = fs::metadata(f.path("x")).unwrap();
    assert_eq!((meta.mode(), meta.mtime(), meta.mtime_nsec()), (0o100_640, 0, 0));
    assert_eq!(fs::read(f.path("x")).unwrap(), b"half");
    assert_eq!(fs::read(f.path("x~")).unwrap(), b"old");
}

#[test]
fn partial_directories_are_made_on_demand_and_removed_when_empty() {
    for absolute in [false, true] {
        let f = fixture(|options, dir| {
            fs::create_dir(dir.join("d/s")).unwrap();
            let path = if absolute { dir.join("part").to_str().unwrap().to_owned() } else { ".part".into() };
            options.transfer.partial_dir = Some(path.into_bytes());
        });
        let dir = if absolute { f.dir.path().join("part") } else { f.path("s/.part") };
        let place = Place::Partial(name("s/x"));
        assert_eq!(block_on(f.target.stat(place, false)), Ok(None));
        // Something else of that name is removed.
        fs::write(&dir, "").unwrap();
        let attrs = Attrs { mtime: None, ..ATTRS };
        f.receive(&plain("s/x"), b"half", &attrs, Destination::Partial).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode(), 0o040_700);
        assert_eq!(fs::read(dir.join("x")).unwrap(), b"half");
        assert_eq!(block_on(f.target.stat(place, false)).unwrap().unwrap().size, 4);
        let (basis, size) = block_on(f.target.open_basis(place)).unwrap();
        let mut buf = [0; 9];
        assert_eq!((block_on(f.target.read_basis(&basis, 1, &mut buf)), size), (Ok(3), 4));

        let resume = Create { mode: WriteMode::PartialInPlace, append_from: 4, ..plain("s/x") };
        f.receive(&resume, b"+rest", &ATTRS, Destination::Partial).unwrap();
        assert_eq!(fs::read(dir.join("x")).unwrap(), b"half+rest");
        f.receive(&Create { append_from: 9, ..resume }, b"!", &ATTRS, DONE).unwrap();
        assert_eq!(fs::read(f.path("s/x")).unwrap(), b"half+rest!");

        f.receive(&plain("s/x"), b"delayed", &ATTRS, Destination::Partial).unwrap();
        assert_eq!(fs::read(f.path("s/x")).unwrap(), b"half+rest!");
        block_on(f.target.promote_partial(name("s/x"))).unwrap();
        assert_eq!(fs::read(f.path("s/x")).unwrap(), b"delayed");
        block_on(f.target.tidy_partial_dir(name("s/x")));
        assert_eq!(dir.exists(), absolute);
    }
}

#[test]
fn a_partial_directory_that_cannot_be_made_loses_the_data() {
    let f = fixture(|options, _| options.transfer.partial_dir = Some(b"a/b".to_vec()));
    let failed = (CommitStep::PartialDir, PortError::NOT_FOUND);
    assert_eq!(f.receive(&plain("x"), b"half", &ATTRS, Destination::Partial), Err(failed));
    assert!(f.names(".").is_empty());
}

#[test]
fn a_backup_by_suffix_is_the_old_file_itself_and_replaces_an_older_one() {
    let f = fixture(|_, _| ());
    fs::write(f.path("x"), "old").unwrap();
    fs::write(f.path("x~"), "older").unwrap();
    let ino = fs::metadata(f.path("x")).unwrap().ino();
    f.receive(&plain("x"), b"new", &ATTRS, Destination::Final { backup: true }).unwrap();
    assert_eq!(fs::metadata(f.path("x~")).unwrap().ino(), ino);
    assert_eq!(
        (fs::read(f.path("x")).unwrap(), fs::read(f.path("x~")).unwrap()),
        (b"new".into(), b"old".into())
    );
    // Twice in a row, while both names are one file.
    block_on(f.target.back_up(name("x"), BackupBy::Link)).unwrap();
    block_on(f.target.back_up(name("x"), BackupBy::Rename)).unwrap();
    assert_eq!(f.names("."), ["x~"]);
    assert_eq!(fs::read(f.path("x~")).unwrap(), b"new");
    // Nothing to back up.
    f.receive(&plain("y"), b"new", &ATTRS, Destination::Final { backup: true }).unwrap();
    assert_eq!(block_on(f.target.back_up(name("z"), BackupBy::Rename)), Err(PortError::NOT_FOUND));
}

#[test]
fn backup_directories_resemble_the_real_ones() {
    let f = fixture(|options, dir| {
        options.transfer.backup_dir = Some(b"../bk/deep".to_vec());
        options.transfer.suffix = Vec::new();
        fs::create_dir_all(dir.join("d/s/t")).unwrap();
        fs::set_permissions(dir.join("d/s"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(dir.join("d/s/t/x"), "old").unwrap();
        symlink("to", dir.join("d/s/l")).unwrap();
    });
    assert_eq!(block_on(f.target.stat(Place::Backup(name("s/t/x")), false)), Ok(None));
    block_on(f.target.back_up(name("s/t/x"), BackupBy::Rename)).unwrap();
    block_on(f.target.back_up(name("s/l"), BackupBy::Link)).unwrap();
    let backups = f.dir.path().join("bk/deep");
    assert_eq!(fs::read(backups.join("s/t/x")).unwrap(), b"old");
    assert_eq!(fs::metadata(backups.join("s")).unwrap().mode(), 0o040_750);
    assert_eq!(fs::read_link(backups.join("s/l")).unwrap(), Path::new("to"));
    assert_eq!(f.names("s"), ["l", "t"]);
    assert!(f.names("s/t").is_empty());
    assert_eq!(block_on(f.target.stat(Place::Backup(name("s/t/x")), false)).unwrap().unwrap().size, 3);
}

#[test]
fn an_in_place_backup_is_a_copy() {
    let f = fixture(|options, _| {
        options.transfer.inplace = true;
        options.preserve.times = true;
    });
    fs::write(f.path("x"), "old").unwrap();
    fs::set_permissions(f.path("x"), fs::Permissions::from_mode(0o4666)).unwrap();
    let copy = |whole_seconds| {
        block_on(f.target.back_up(name("x"), BackupBy::Copy { whole_seconds, summed: false })).unwrap();
        fs::metadata(f.path("x~")).unwrap().mtime_nsec()
    };
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(5, 7);
    File::options().write(true).open(f.path("x")).unwrap().set_modified(time).unwrap();
    assert_eq!((copy(true), copy(false)), (0, 7));
    f.receive(&Create { mode: WriteMode::InPlace, ..plain("x") }, b"new", &ATTRS, DONE).unwrap();
    assert_eq!(fs::read(f.path("x~")).unwrap(), b"old");
    assert_eq!(fs::metadata(f.path("x~")).unwrap().mode(), 0o104_666);
}

#[test]
fn directories_get_exactly_their_mode_and_keep_an_inherited_group_bit() {
    let f = fixture(|_, _| ());
    block_on(f.target.make_dir(name("a"), 0o2777)).unwrap();
    assert_eq!(fs::metadata(f.path("a")).unwrap().mode(), 0o042_777);
    block_on(f.target.make_dir(name("a/b"), 0o755)).unwrap();
    assert_eq!(fs::metadata(f.path("a/b")).unwrap().mode(), 0o042_755);
    assert_eq!(block_on(f.target.make_dir(name("a"), 0o755)), Err(PortError(17)));
    f.receive(&plain("a/b/x"), b"", &ATTRS, DONE).unwrap();
    assert_eq!(block_on(f.target.remove_dir(Place::Dest(name("a/b")))), Err(PortError::NOT_EMPTY));
    block_on(f.target.remove_file(Place::Dest(name("a/b/x")))).unwrap();
    block_on(f.target.remove_dir(Place::Dest(name("a/b")))).unwrap();
    assert_eq!(block_on(f.target.create(&plain("a/b/x"))).unwrap_err(), PortError::NOT_FOUND);
    assert_eq!(block_on(f.target.list(name("a"))).unwrap().len(), 0);
    assert_eq!(block_on(f.target.list(RelName::ROOT)).unwrap().len(), 1);
}

#[test]
fn specials_and_links_are_made_and_replaced() {
    let f = fixture(|options, dir| {
        options.transfer.alt_dests = vec![b"../alt".to_vec(), b"../none".to_vec()];
        fs::create_dir_all(dir.join("alt/s")).unwrap();
        fs::write(dir.join("alt/s/x"), "alternate").unwrap();
        symlink("s", dir.join("alt/linked")).unwrap();
    });
    let t = &f.target;
    assert_eq!(t.missing_alternates().collect::<Vec<_>>(), [(1, PortError::NOT_FOUND)]);
    block_on(t.make_symlink(name("l"), b"a", false)).unwrap();
    block_on(t.make_symlink(name("l"), b"b", true)).unwrap();
    assert_eq!(block_on(t.read_link(Place::Dest(name("l")))).unwrap(), b"b");
    block_on(t.make_node(name("p"), 0o010_644, (0, 0), false)).unwrap();
    assert!(fs::symlink_metadata(f.path("p")).unwrap().file_type().is_fifo());
    assert_eq!(block_on(t.open_basis(Place::Dest(name("p")))).unwrap_err(), PortError(22));
    block_on(t.hard_link(Place::Alt(0, name("linked/x")), name("p"), true)).unwrap();
    assert_eq!(fs::metadata(f.path("p")).unwrap().nlink(), 2);
    assert_eq!(block_on(t.stat(Place::Alt(1, name("s/x")), false)), Ok(None));
    assert_eq!(block_on(t.read_small(b"p", 3)).unwrap(), b"alt");

    let out = block_on(t.copy_local(Place::Alt(0, name("s/x")), &plain("c"))).unwrap();
    block_on(t.commit(out, &ATTRS, DONE)).unwrap();
    assert_eq!(fs::read(f.path("c")).unwrap(), b"alternate");
    let mut out = Vec::new();
    block_on(t.stat_many(&mut [name("c"), name("none")].into_iter(), &mut out));
    assert_eq!(out[0].unwrap().unwrap().size, 9);
    assert_eq!(out[1], Ok(None));
}

#[test]
fn a_whole_small_file_is_one_call_on_any_thread() {
    let f = fixture(|_, _| ());
    let shared = f.target.shared().clone();
    let create = |name: &'static str| Create {
        name: RelName::new(name.as_bytes()).unwrap(),
        mode: WriteMode::Temporary,
        file_mode: 0o100_644,
        size: 5,
        append_from: 0,
    };
    let done = std::thread::spawn(move || {
        [create("x"), create("none/x")].map(|c| shared.put(&c, b"small", &ATTRS, None, DONE))
    });
    assert_eq!(done.join().unwrap(), [Ok(()), Err((CommitStep::Create, Errno::NOENT))]);
    let taken = f.target.shared().put_fresh(&create("x"), b"other", &ATTRS);
    assert_eq!(taken, Err((CommitStep::Create, Errno::EXIST)));
    f.target.shared().put_fresh(&create("y"), b"fresh", &ATTRS).unwrap();
    assert_eq!(fs::read(f.path("y")).unwrap(), b"fresh");
    assert_eq!(fs::read(f.path("x")).unwrap(), b"small");
    assert_eq!(fs::metadata(f.path("x")).unwrap().mode(), 0o100_640);
}

#[test]
fn without_a_destination_everything_is_missing() {
    let target = TreeTarget::new(None, &SessionOptions::default()).unwrap();
    assert_eq!(block_on(target.stat(Place::Dest(name("x")), false)), Ok(None));
    assert_eq!(block_on(target.list(RelName::ROOT)).unwrap_err(), PortError::NOT_FOUND);
    assert!(target.rights().groups.contains(&getegid().as_raw()));
}

#[test]
fn a_fifo_that_is_written_in_place_is_not_waited_for() {
    let f = fixture(|_, _| ());
    let root: OwnedFd = File::open(f.path("")).unwrap().into();
    special::node(&Arc::new(root), b"p", 0o010_600, (0, 0), Put::New).unwrap();
    let create = Create { mode: WriteMode::InPlace, ..plain("p") };
    assert_eq!(block_on(f.target.create(&create)).err(), Some(port(Errno::NXIO)));
}
