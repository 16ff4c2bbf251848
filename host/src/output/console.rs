//! tmp
use std::{rc::Rc, io::Write};
use arsync_core::{error::Role, flist::entry::EntryRef, item::{ItemizeView, itemize}, mux::MsgTag, ports::*, session::Outbox};
use crate::session::Speak;
pub(crate) struct Console { pub(crate) items: bool, pub(crate) server: bool, pub(crate) outbox: Rc<Outbox>, pub(crate) sending: bool, pub(crate) times: bool }
impl Observer for Console {
    fn notice(&self, from: Role, notice: &Notice<'_>) { match notice { Notice::UpToDate(_) | Notice::ListStart | Notice::ListDone | Notice::DeltaTransmission(_) | Notice::Newer(_) | Notice::Exists{..} | Notice::SenderRemoved(_) | Notice::NotCreating{..} | Notice::Duplicate{..} | Notice::BackedUp(_)|Notice::OverMaxSize(_)|Notice::UnderMinSize(_) => {}, n => eprintln!("rsync: [{from}] {n:?}") } }
    fn peer_text(&self, tag: MsgTag, text: &[u8]) { if tag == MsgTag::Info { let _ = std::io::stdout().write_all(text); } else { let _ = std::io::stderr().write_all(text); } }
    fn item(&self, e: &ItemEvent<'_>) {
        if !self.items || self.server { return }
        let s = itemize(ItemizeView { flags: e.flags, kind: e.kind.item(), sending: self.sending, times: self.times, symlink_times: true });
        let mut line = s.to_vec(); line.push(b' '); line.extend(e.name);
        if e.kind == arsync_core::flist::entry::FileKind::Dir { line.push(b'/'); }
        if let Some(l) = e.link { if !l.is_empty() { line.extend(b" => "); line.extend(l); } }
        else if let Some(en) = &e.entry { if !en.link_target().is_empty() { line.extend(b" -> "); line.extend(en.link_target()); } }
        line.push(b'\n');
        let _ = std::io::stdout().write_all(&line);
    }
    fn listed(&self, e: &EntryRef<'_>) { println!("{}", String::from_utf8_lossy(e.name())); }
    fn progress(&self, _p: &FileProgress<'_>) {}
}
impl Speak for Console { fn say(&self, tag: MsgTag, _r: Role, text: &[u8]) { let mut t = text.to_vec(); t.push(b'\n'); if tag == MsgTag::Info { if self.server { self.outbox.push(tag, t); } else { let _ = std::io::stdout().write_all(&t); } } else { let _ = std::io::stderr().write_all(&t); } } }

impl Console {
    pub(crate) fn new(r: &crate::cli::resolve::Resolved, _roots: Rc<std::cell::RefCell<super::message::Roots>>, outbox: Rc<Outbox>) -> Self {
        use crate::cli::operands::Route;
        Self { items: r.output.format.is_some(), server: matches!(r.route, Route::Server{..}), outbox, sending: matches!(r.route, Route::Push{..}), times: r.opts.preserve.times }
    }
    pub(crate) fn protocol_known(&self, _p: arsync_core::version::ProtocolVersion, _i: bool) {}
    pub(crate) fn finish(&self, ended: Option<&crate::session::Ended>, code: arsync_core::exit::ExitCode, role: Role) {
        let _ = std::io::stdout().flush();
        if let Some(Some(r)) = ended.map(|e| &e.reason) { eprintln!("{r}"); }
        if code.0 != 0 { let _ = std::io::stderr().write_all(&super::exit_line::exit_line(code, role)); }
    }
}
