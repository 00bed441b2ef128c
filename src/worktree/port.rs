//! Ports of a clone: twenty in a row on the loopback, so that the servers of two clones never meet.
//!
//! A lease is a number in the clone's document, nothing is held open. It is probed when it is given and again
//! before each run; one that somebody else listens on by then is given up for another.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// How many ports a clone has.
pub const SPAN: u16 = 20;
/// Where leases begin: above what is registered for servers, below what systems give to outgoing connections.
const FIRST: u16 = 20_000;
/// How many leases there are.
const LEASES: u16 = 600;

/// Chooses the first port of a clone's lease: the one it has, if that is still free, else one that no other clone
/// of the site has and nobody listens on. `who` spreads clones of different sites over the range.
///
/// `None` if every port is taken.
pub fn lease(had: Option<u16>, others: &[u16], who: &str, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let start = u16::try_from(crc32fast::hash(who.as_bytes()) % u32::from(LEASES)).unwrap_or(0);
    let all = (0..LEASES).map(|n| FIRST + (start + n) % LEASES * SPAN);
    had.into_iter()
        .chain(all)
        .filter(|first| others.iter().all(|other| other.abs_diff(*first) >= SPAN))
        .find(|first| is_free(*first))
}

/// Whether nobody on this machine listens on any port of the lease that begins with `first`.
pub fn is_free(first: u16) -> bool {
    (first..first.saturating_add(SPAN)).all(|port| {
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        // A machine without IPv6 has nobody listening there.
        [v4, v6].iter().all(|address| match TcpListener::bind(address) {
            Err(error) => !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied),
            Ok(_) => true,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_overlap_and_stay_while_they_can() {
        let mut leased = Vec::new();
        for n in 0..LEASES {
            let first = lease(None, &leased, &format!("clone {n}"), |_| true).unwrap();
            assert!(leased.iter().all(|other: &u16| other.abs_diff(first) >= SPAN));
            assert!((FIRST..FIRST + LEASES * SPAN).contains(&first));
            leased.push(first);
        }
        assert_eq!(lease(None, &leased, "one more", |_| true), None);
        let had = leased.pop();
        assert_eq!(lease(had, &leased, "anyone", |_| true), had);
        assert_eq!(
            lease(had, &[], "anyone", |first| Some(first) != had).map(|new| Some(new) == had),
            Some(false)
        );
    }

    #[test]
    fn a_listener_anywhere_in_it_takes_a_lease() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port.saturating_sub(SPAN - 1)));
        assert!(!is_free(port));
    }
}
