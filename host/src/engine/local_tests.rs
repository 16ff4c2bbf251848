//! A whole local run over the engine.

use std::{cell::RefCell, os::fd::OwnedFd, rc::Rc};

use arsync_core::{
    checksum::ChecksumKind, error::Role, exit::ExitCode, filter::FilterList, flist::entry::EntryRef,
    item::{ItemizeView, itemize}, mux::MsgTag, options::SessionOptions,
    ports::{FileProgress, ItemEvent, Notice, Observer}, rt::block_on_ready,
    session::{self, Entered, Entrance, FirstList, Outbox, Shared, SourceArgs},
    setup::{Agreed, CompatFlags, Side}, version::ProtocolVersion,
};

use super::{FileSource, TreeTarget};

struct Seen(RefCell<Vec<String>>);
impl Observer for Seen {
    fn notice(&self, from: Role, notice: &Notice<'_>) {
        eprintln!("{from}: {notice:?}");
    }
    fn peer_text(&self, _tag: MsgTag, _text: &[u8]) {}
    fn item(&self, e: &ItemEvent<'_>) {
        let s = itemize(ItemizeView { flags: e.flags, kind: e.kind.item(), sending: false, times: true, symlink_times: true });
        let line = format!("{} {}", String::from_utf8_lossy(&s), String::from_utf8_lossy(e.name));
        println!("{line}");
        self.0.borrow_mut().push(line);
    }
    fn listed(&self, _entry: &EntryRef<'_>) {}
    fn progress(&self, _p: &FileProgress<'_>) {}
}
struct Enter<'a>(&'a str, &'a SessionOptions);
impl Entrance for Enter<'_> {
    type Target = TreeTarget;
    async fn enter(&self, _l: &FirstList) -> Result<Entered<TreeTarget>, ExitCode> {
        std::fs::create_dir_all(self.0).unwrap();
        let fd: OwnedFd = std::fs::File::open(self.0).unwrap().into();
        Ok(Entered { target: TreeTarget::new(Some(fd), self.1).unwrap(), single_name: None, missing_root: false, created_root: false })
    }
}

#[test]
fn a_tree_is_copied() {
    let Ok(src) = std::env::var("LT_SRC") else { return };
    let dst = std::env::var("LT_DST").unwrap();
    let mut o = SessionOptions::default();
    o.select.recursive = true;
    o.select.dirs = true;
    o.select.implied_dirs = true;
    let p = &mut o.preserve;
    (p.links, p.perms, p.times, p.owner, p.group, p.devices, p.specials) = (true, true, true, true, true, true, true);
    p.hard_links = 1;
    if std::env::var("LT_DEL").is_ok() { o.delete.when = Some(arsync_core::options::DeleteWhen::Default); }
    let agreed = Agreed { protocol: ProtocolVersion::MAX, flags: CompatFlags::all(), transfer_sum: ChecksumKind::Xxh128, list_sum: ChecksumKind::Xxh128, implied_sum: false, compress: None, seed: 1 };
    let seen = Seen(RefCell::default());
    let mut shared = Shared::new(&o, agreed, &seen, Side::Client, Rc::new(Outbox::new()));
    shared.local = true;
    let source = FileSource::new(&o);
    let f = FilterList::default();
    let args = SourceArgs { names: vec![src.into_bytes()], base: None };
    block_on_ready(session::run_local(&shared, &source, &Enter(&dst, &o), &f, &f, &args)).unwrap();
    println!("{:?} {:?}", shared.partial_code(), shared.stats.borrow());
}
