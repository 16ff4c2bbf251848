//! Which hosts may connect: `hosts allow`, `hosts deny`, `proxy protocol hosts` (spec: host access).

use core::net::IpAddr;
use std::net::ToSocketAddrs;

use arsync_core::filter::wildmatch;

use super::lookup::is_in_netgroup;

/// Who connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its address as text.
    pub(super) address: String,
    /// Its address; none: it is not known.
    pub(super) ip: Option<IpAddr>,
    /// Its name, or a word in its place.
    pub(super) name: String,
}

/// The name where none was found, and where none was looked for.
pub(super) const UNKNOWN: &str = "UNKNOWN";
pub(super) const UNDETERMINED: &str = "UNDETERMINED";

impl Peer {
    /// One of whom nothing is known yet but the address.
    pub(super) fn new(address: String) -> Self {
        // A scope follows behind a percent sign.
        let plain = address.split('%').next().unwrap_or_default();
        let ip = plain.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        Self { address, ip, name: UNDETERMINED.to_owned() }
    }

    /// `NAME (ADDRESS)`, as messages have it.
    pub(super) fn shown(&self) -> String {
        format!("{} ({})", self.name, self.address)
    }
}

/// What names are looked up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Allow,
    Deny,
}

/// Whether a peer may connect. `forward`: plain names of the lists are looked up.
pub(super) fn admits(allow: Option<&[u8]>, deny: Option<&[u8]>, peer: &Peer, forward: bool) -> bool {
    let is_listed = |text, list| matches_any(text, peer, list, forward);
    match (allow, deny) {
        (Some(allow), _) if is_listed(allow, List::Allow) => true,
        (Some(_), None) => false,
        (_, Some(deny)) => !is_listed(deny, List::Deny),
        (None, None) => true,
    }
}

/// Whether a proxy may speak for others; names are not looked up.
pub(super) fn is_proxy(hosts: &[u8], peer: &Peer) -> bool {
    matches_any(hosts, peer, List::Allow, false)
}

fn matches_any(text: &[u8], peer: &Peer, list: List, forward: bool) -> bool {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    words.into_iter().any(|word| matches(word, peer, list, forward))
}

fn matches(word: &str, peer: &Peer, list: List, forward: bool) -> bool {
    if let Some(group) = word.strip_prefix('@') {
        return is_in_netgroup(group, &peer.name);
    }
    if let Some(found) = address(word, peer) {
        return found;
    }
    if wildmatch(word.as_bytes(), peer.name.to_lowercase().as_bytes()) {
        return true;
    }
    if !forward || word.contains(['*', '?', '[', '/']) {
        return false;
    }
    match (word, 0).to_socket_addrs() {
        Ok(mut found) => found.any(|a| a.is_ipv4() && Some(a.ip()) == peer.ip),
        Err(_) => list == List::Deny,
    }
}

/// What a word says that is an address or a range of them; `None`: it is none.
fn address(word: &str, peer: &Peer) -> Option<bool> {
    let (base, mask) = word.split_once('/').map_or((word, None), |(base, mask)| (base, Some(mask)));
    let (base, scope) = base.split_once('%').map_or((base, None), |(base, scope)| (base, Some(scope)));
    let base: IpAddr = base.parse().ok()?;
    let base = if mask.is_none() { base.to_canonical() } else { base };
    let Some(ip) = peer.ip else { return Some(false) };
    if scope.is_some_and(|scope| peer.address.split_once('%').is_some_and(|(_, theirs)| theirs != scope)) {
        return Some(false);
    }
    let width = if base.is_ipv4() { 32 } else { 128 };
    let mask = match mask {
        None => u128::MAX,
        Some(bits) => match (bits.parse::<u32>(), bits.parse::<IpAddr>()) {
            (Ok(bits), _) if bits <= width => u128::MAX.checked_shl(width - bits).unwrap_or(0),
            (_, Ok(mask)) if mask.is_ipv4() == base.is_ipv4() => number(mask),
            _ => return Some(false),
        },
    };
    Some(base.is_ipv4() == ip.is_ipv4() && number(base) & mask == number(ip) & mask)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    fn peer(address: &str, name: &str) -> Peer {
        Peer { name: name.into(), ..Peer::new(address.into()) }
    }

    fn allowed(list: &str, peer: &Peer) -> bool {
        admits(Some(list.as_bytes()), None, peer, false)
    }

    #[test]
    fn addresses_and_ranges() {
        let v4 = peer("192.168.3.7", "UNKNOWN");
        for (list, fine) in [
            ("192.168.3.7", true),
            ("192.168.3.8", false),
            ("192.168.3.8, 192.168.3.7", true),
            ("192.168.0.0/16", true),
            ("192.168.0.0/24", false),
            ("10.0.0.0/0", true),
            ("192.168.3.0/255.255.255.0", true),
            ("192.168.3.0/255.255.255.255", false),
            ("192.168.3.7/33", false),
            ("::/0", false),
            ("*", true),
        ] {
            assert_eq!(allowed(list, &v4), fine, "{list}");
        }
        let v6 = peer("fe80::1%eth0", "UNKNOWN");
        assert!(allowed("fe80::/10", &v6));
        assert!(allowed("FE80::1", &v6));
        assert!(allowed("fe80::1%eth0", &v6));
        assert!(!allowed("fe80::1%eth1", &v6));
        assert!(!allowed("0.0.0.0/0", &v6));
        assert!(allowed("10.1.2.3", &peer("::ffff:10.1.2.3", "UNKNOWN")));
    }

    #[test]
    fn names_match_as_wildcards() {
        let host = peer("192.0.2.1", "Mail.Example.org");
        assert!(allowed("*.example.ORG", &host));
        assert!(allowed("mail.example.org", &host));
        assert!(!allowed("example.org", &host));
    }

    #[test]
    fn the_order_of_the_lists() {
        let host = peer("192.0.2.1", "h");
        let of = |allow: Option<&str>, deny: Option<&str>| {
            admits(allow.map(str::as_bytes), deny.map(str::as_bytes), &host, false)
        };
        assert!(of(None, None));
        assert!(of(Some("h"), Some("*")));
        assert!(!of(Some("g"), None));
        assert!(!of(Some("g"), Some("*")));
        assert!(of(Some("g"), Some("f")));
        assert!(!of(None, Some("192.0.2.0/24")));
        assert!(of(None, Some("f")));
    }

    #[test]
    fn names_that_cannot_be_found_out_keep_a_host_out() {
        let host = peer("192.0.2.1", "h");
        assert!(!admits(None, Some(b"no-such-host.invalid"), &host, true));
        assert!(!admits(Some(b"no-such-host.invalid"), None, &host, true));
        assert!(admits(None, Some(b"no-such-host.invalid"), &host, false));
        assert!(admits(None, Some(b"@no-such-group"), &host, true));
        assert!(!admits(Some(b"@no-such-group"), None, &host, true));
        assert!(admits(Some(b"localhost"), None, &peer("127.0.0.1", "UNKNOWN"), true));
    }

    /// The list, then the address, with NUL between them. Groups of the network are asked of the machine, and left out.
    #[test]
    fn spoiled_lists_are_read_the_same_for_both_orders() {
        fuzz::run("host_lists", 20_000, |data| {
            let mut parts = data.splitn(2, |&b| b == 0);
            let list: Vec<u8> =
                parts.next().unwrap_or_default().iter().map(|&b| if b == b'@' { b'a' } else { b }).collect();
            let address = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
            let host = peer(&address, "mail.example.org");
            let allowed = admits(Some(&list), None, &host, false);
            assert_eq!(admits(None, Some(&list), &host, false), !allowed);
        });
    }
}
