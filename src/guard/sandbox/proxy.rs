//! The runner's proxy for a sandbox that reaches named hosts alone.
//!
//! It listens on a unix socket that is bound into the sandbox, speaks HTTP's CONNECT (and plain requests for `http:`), and
//! connects to what the rules let through. A name that leads to this machine or to link-local addresses, where clouds
//! serve credentials, is refused unless a rule names it. What was reached and refused is kept for the task's record.
//!
//! Not promised: that a host which is let through passes nothing on, or that several names on one host are told apart.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::config::HostRule;

/// The longest head of a request.
const HEAD: usize = 16 << 10;
/// How long a request may take to arrive, and a connection to be made.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many connections at once.
const CONNECTIONS: usize = 256;
/// So many hosts of each kind are kept.
const NAMED: usize = 100;

/// A proxy that is at work until the process ends.
#[derive(Debug)]
pub struct Proxy {
    path: PathBuf,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    allow: Vec<HostRule>,
    seen: Mutex<Seen>,
    open: AtomicUsize,
}

/// Hosts with their ports.
#[derive(Debug, Default, Clone)]
struct Seen {
    reached: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Proxy {
    /// Listens at `path`, in a folder of ours alone.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn start(path: PathBuf, allow: Vec<HostRule>) -> io::Result<Self> {
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path)?;
        let state = Arc::new(State {
            allow,
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accept(&listener, &shared))?;
        Ok(Self { path, state })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hosts that were connected to.
    pub fn reached(&self) -> Vec<String> {
        self.state.seen().reached.into_iter().collect()
    }

    /// The hosts that were refused.
    pub fn refused(&self) -> Vec<String> {
        self.state.seen().refused.into_iter().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

impl State {
    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, target: &Target, is_reached: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let list = if is_reached {
            &mut seen.reached
        } else {
            &mut seen.refused
        };
        if list.len() < NAMED {
            list.insert(format!("{}:{}", target.host, target.port));
        }
    }
}

fn accept(listener: &UnixListener, state: &Arc<State>) {
    for client in listener.incoming() {
        let Ok(client) = client else {
            // Out of descriptors, most likely; some come free.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if state.open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            state.open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let shared = Arc::clone(state);
        let spawned = std::thread::Builder::new().spawn(move || {
            if let Err(error) = serve(client, &shared) {
                tracing::debug!(%error, "a connection of the proxy");
            }
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            state.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn serve(mut client: UnixStream, state: &State) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let (head, rest) = read_head(&mut client)?;
    let Some(request) = Request::parse(&head) else {
        return client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    };
    let target = &request.target;
    let rule = state
        .allow
        .iter()
        .find(|rule| rule.allows(&target.host, target.port));
    let Some(rule) = rule else {
        state.note(target, false);
        return refuse(&mut client, target, "is not in network.allow");
    };
    let server = match connect(target, rule.names(&target.host)) {
        Ok(server) => server,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            state.note(target, false);
            return refuse(&mut client, target, "leads to this machine");
        }
        Err(error) => {
            let text = format!(
                "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\ngit-khlone: {}: {error}\n",
                target.host
            );
            return client.write_all(text.as_bytes());
        }
    };
    state.note(target, true);
    let mut to_server = server.try_clone()?;
    match &request.forward {
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?,
        Some(head) => to_server.write_all(head)?,
    }
    to_server.write_all(&rest)?;
    client.set_read_timeout(None)?;
    client.set_write_timeout(None)?;
    tunnel(client, server)
}

fn refuse(client: &mut UnixStream, target: &Target, why: &str) -> io::Result<()> {
    let text = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\ngit-khlone: {}:{} {why}\n",
        target.host, target.port
    );
    client.write_all(text.as_bytes())
}

/// The head of a request with its empty line, and what came after it.
fn read_head(client: &mut UnixStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok((bytes, rest));
        }
        let n = client.read(&mut chunk)?;
        if n == 0 || bytes.len() + n > HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend(&chunk[..n]);
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    target: Target,
    /// The head as the server is to get it; none for a tunnel.
    forward: Option<Vec<u8>>,
}

impl Request {
    fn parse(head: &[u8]) -> Option<Self> {
        let head = str::from_utf8(head).ok()?;
        let (first, fields) = head.split_once("\r\n")?;
        let mut words = first.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        if method == "CONNECT" {
            return Some(Self {
                target: Target::parse(target, None)?,
                forward: None,
            });
        }
        let rest = target.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut forward = format!("{method} {slash}{path} {version}\r\n");
        let kept = fields.split("\r\n").filter(|line| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            !line.is_empty() && name != "connection" && !name.starts_with("proxy-")
        });
        for line in kept {
            forward.push_str(&format!("{line}\r\n"));
        }
        // One request a connection: the next may be for another host.
        forward.push_str("Connection: close\r\n\r\n");
        Some(Self {
            target: Target::parse(authority, Some(80))?,
            forward: Some(forward.into_bytes()),
        })
    }
}

impl Target {
    fn parse(authority: &str, default: Option<u16>) -> Option<Self> {
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
            _ => (authority, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
        let port = port.or(default)?;
        is_host.then_some(Self { host, port })
    }
}

/// Connects; to this machine only where that `is_named`.
fn connect(target: &Target, is_named: bool) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (target.host.as_str(), target.port).to_socket_addrs()?.collect();
    let (here, there): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| is_here(address.ip()));
    if !here.is_empty() && there.is_empty() && !is_named {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let here = here.into_iter().filter(|_| is_named);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in there.into_iter().chain(here) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Loopback, link-local, and no address at all.
fn is_here(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => {
            it.is_loopback() || it.is_link_local() || it.is_unspecified() || it.octets()[0] == 0
        }
        IpAddr::V6(it) => it.is_loopback() || it.is_unspecified() || it.is_unicast_link_local(),
    }
}

/// Carries bytes both ways until both are at their end.
fn tunnel(client: UnixStream, server: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    let up = std::thread::Builder::new().spawn(move || {
        let _end = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    })?;
    let _end = io::copy(&mut from_server, &mut to_client);
    drop(to_client.shutdown(Shutdown::Both));
    drop(from_server.shutdown(Shutdown::Both));
    drop(up.join());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn parse(text: &str) -> Option<(String, u16, Option<String>)> {
        let request = Request::parse(text.as_bytes())?;
        let forward = request.forward.map(|head| String::from_utf8(head).unwrap());
        Some((request.target.host, request.target.port, forward))
    }

    #[test]
    fn a_request_names_its_host() {
        let connect = |target: &str| parse(&format!("CONNECT {target} HTTP/1.1\r\nHost: other\r\n\r\n"));
        assert_eq!(
            connect("Example.com.:443"),
            Some(("example.com".into(), 443, None))
        );
        assert_eq!(
            connect("u:p@example.com:8443"),
            Some(("example.com".into(), 8443, None))
        );
        assert_eq!(connect("[::1]:443"), Some(("::1".into(), 443, None)));
        for bad in ["example.com", ":443", "a/b:443", "a:99999", "a\0:443", ""] {
            assert_eq!(connect(bad), None, "{bad}");
        }
        let plain = parse(
            "GET http://a.b:81/x?y HTTP/1.1\r\nHost: a.b\r\nProxy-Authorization: s\r\nConnection: keep-alive\r\n\r\n",
        );
        let forward = "GET /x?y HTTP/1.1\r\nHost: a.b\r\nConnection: close\r\n\r\n";
        assert_eq!(plain, Some(("a.b".into(), 81, Some(forward.into()))));
        assert_eq!(parse("GET /x HTTP/1.1\r\n\r\n"), None);
        assert_eq!(parse("GET ftp://a/x HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn only_what_is_named_is_reached_and_what_is_not_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 5];
                stream.read_exact(&mut bytes).unwrap();
                stream.write_all(b"hello").unwrap();
            }
        });
        let rules = [format!("127.0.0.1:{port}"), format!("*.localhost.example:{port}")];
        let rules = rules
            .iter()
            .map(|rule| rule.as_str().try_into().unwrap())
            .collect();
        let proxy = Proxy::start(dir.path().join("s"), rules).unwrap();
        let ask = |host: &str| {
            let mut client = UnixStream::connect(proxy.path()).unwrap();
            client
                .write_all(format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\nping!").as_bytes())
                .unwrap();
            let mut said = String::new();
            client.read_to_string(&mut said).unwrap();
            said
        };
        assert!(ask("127.0.0.1").ends_with("\r\n\r\nhello"));
        assert!(ask("localhost").starts_with("HTTP/1.1 403"));
        assert!(ask("evil.example").starts_with("HTTP/1.1 403"));
        assert_eq!(proxy.reached(), [format!("127.0.0.1:{port}")]);
        assert_eq!(
            proxy.refused(),
            [format!("evil.example:{port}"), format!("localhost:{port}")]
        );
        assert!(
            is_here("::ffff:169.254.169.254".parse().unwrap()) && !is_here("93.184.216.34".parse().unwrap())
        );
    }
}
