//! The name of an address, by the C library (which knows the name services).

use core::{ffi::CStr, mem::size_of, net::IpAddr};
use std::{ffi::CString, net::ToSocketAddrs};

/// Longest name of a host, bytes, with its end.
const MAX_NAME: usize = 1025;

/// The name of an address, if that name leads back to the address. What is asked first is the name service, which may
/// take its time.
pub(super) fn name_of(ip: IpAddr) -> Result<String, &'static str> {
    let name = reverse(ip).ok_or("name lookup failed")?;
    let known =
        (name.as_str(), 0).to_socket_addrs().map(|all| all.map(|a| a.ip().to_canonical()).any(|a| a == ip));
    match known {
        Ok(true) => Ok(name),
        Ok(false) => Err("name spoofing is suspected: the name has another address"),
        Err(_) => Err("the name has no address"),
    }
}

/// The name that the name service has for an address.
#[allow(unsafe_code)]
fn reverse(ip: IpAddr) -> Option<String> {
    let mut name = [0u8; MAX_NAME];
    let len = libc::socklen_t::try_from(name.len()).ok()?;
    let ask = |address: *const libc::sockaddr, size: usize, name: &mut [u8]| {
        let size = libc::socklen_t::try_from(size).unwrap_or(0);
        // SAFETY: `address` points to a value of `size` bytes that outlives the call, and `name` has `len` bytes.
        unsafe {
            let out = name.as_mut_ptr().cast();
            libc::getnameinfo(address, size, out, len, core::ptr::null_mut(), 0, libc::NI_NAMEREQD)
        }
    };
    let done = match ip {
        IpAddr::V4(ip) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                sin_zero: [0; 8],
            };
            ask((&raw const address).cast(), size_of::<libc::sockaddr_in>(), &mut name)
        }
        IpAddr::V6(ip) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                sin6_scope_id: 0,
            };
            ask((&raw const address).cast(), size_of::<libc::sockaddr_in6>(), &mut name)
        }
    };
    let text = CStr::from_bytes_until_nul(&name).ok()?;
    (done == 0).then(|| text.to_string_lossy().into_owned())
}

unsafe extern "C" {
    /// Netgroups of the GNU C library, for which the crate `libc` has no name.
    fn innetgr(
        group: *const libc::c_char,
        host: *const libc::c_char,
        user: *const libc::c_char,
        domain: *const libc::c_char,
    ) -> libc::c_int;
}

/// Whether a host is in a netgroup, by the name services of this machine.
#[allow(unsafe_code)]
pub(super) fn is_in_netgroup(group: &str, host: &str) -> bool {
    let [Ok(group), Ok(host)] = [group, host].map(CString::new) else { return false };
    // SAFETY: both strings end in NUL and outlive the call, and null stands for any user and domain. The library keeps
    // its place in the netgroup behind a lock.
    unsafe { innetgr(group.as_ptr(), host.as_ptr(), core::ptr::null(), core::ptr::null()) == 1 }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_own_address_has_a_name() {
        assert_eq!(name_of(Ipv4Addr::LOCALHOST.into()).as_deref(), Ok("localhost"));
        assert!(name_of(Ipv4Addr::new(192, 0, 2, 1).into()).is_err());
    }
}
