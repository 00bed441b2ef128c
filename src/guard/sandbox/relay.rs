//! Inside a sandbox with named hosts alone: a loopback port that leads to the runner's proxy.
//!
//! The last step into the sandbox starts this program once more to carry bytes, and becomes the brain. When the brain has
//! ended, the sandbox ends with all that is in it. A brain that kills it cuts itself off.

use std::{
    ffi::OsString,
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::HostRule,
    process::{self, Cmd},
};

/// Where the runner's socket stands in the sandbox.
pub(super) const SOCKET: &str = "/run/khlone/proxy";
/// The port on the sandbox's own loopback.
const PORT: u16 = 3128;

/// The variables that lead programs there. What listens on the sandbox's own loopback is reached without it, but for a name
/// of loopback that one of `rules` has: that is this machine's then, where a model server may listen.
pub fn variables(rules: &[HostRule]) -> Vec<(OsString, OsString)> {
    let mut variables = Vec::new();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        variables.push((name.into(), format!("http://127.0.0.1:{PORT}").into()));
    }
    let mut own = ["localhost", "127.0.0.1", "::1"].to_vec();
    own.retain(|host| !rules.iter().any(|rule| rule.names(host)));
    for name in ["NO_PROXY", "no_proxy"] {
        variables.push((name.into(), own.join(",").into()));
    }
    // Without it Node's own fetch passes the others over.
    variables.push(("NODE_USE_ENV_PROXY".into(), "1".into()));
    variables
}

/// Starts the relay and becomes `argv`. Returns only if that failed, with the reason.
pub fn exec(own: &OsString, argv: &[OsString]) -> io::Error {
    let listener = match TcpListener::bind(("127.0.0.1", PORT)) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let mut relay = Cmd::new(own).args(["confine", "--relay"]).into_inner();
    relay
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Err(error) = relay.spawn() {
        return error;
    }
    process::replace(argv)
}

/// Carries bytes for each connection to the port, which is stdin.
///
/// # Errors
/// If it cannot listen any more.
pub fn serve() -> io::Result<()> {
    use std::os::fd::AsFd;
    outlive_stop();
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::Builder::new().spawn(move || carry(stream))?;
    }
    Ok(())
}

/// A brain that is told to stop has its connections until it has ended; the sandbox then takes the relay with it.
fn outlive_stop() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        runtime.block_on(async {
            let mut interrupts = signal(SignalKind::interrupt())?;
            let mut ends = signal(SignalKind::terminate())?;
            while tokio::select! {
                heard = interrupts.recv() => heard.is_some(),
                heard = ends.recv() => heard.is_some(),
            } {}
            io::Result::Ok(())
        })
    });
}

fn carry(client: TcpStream) -> io::Result<()> {
    let proxy = UnixStream::connect(SOCKET)?;
    let (mut from_client, mut to_proxy) = (client.try_clone()?, proxy.try_clone()?);
    let (mut from_proxy, mut to_client) = (proxy, client);
    let up = std::thread::Builder::new().spawn(move || {
        let _end = io::copy(&mut from_client, &mut to_proxy);
        to_proxy.shutdown(Shutdown::Write)
    })?;
    let _end = io::copy(&mut from_proxy, &mut to_client);
    drop(to_client.shutdown(Shutdown::Both));
    drop(up.join());
    Ok(())
}
