//! One command under one fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
    sync::mpsc,
};

use git_khlone::process::Cmd;

use crate::rig::{BOUND, Rig, kill, program};

/// The system calls that change what is on the disk, and the locks around them.
const CALLS: &str = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,\
                     linkat,symlink,symlinkat,ftruncate,fchmod,fchmodat,flock";
/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Killed at a named point.
    Point,
    /// Killed at a system call.
    Kill,
    /// Whichever process comes to a system call first is killed: git's and the sandbox's too.
    KillAny,
    /// The system call finds the disk full.
    Full,
    /// The user's share of the disk is used up.
    Quota,
    /// The system call finds the disk broken.
    Broken,
}

/// In the place of a call: the n-th of all points.
const POINT: &str = "point";

/// Where it goes wrong: at the n-th `call`, the n-th point, or the first point that begins with `call`.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) fault: Fault,
    pub(crate) call: String,
    pub(crate) n: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.fault, self.call, self.n)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Point => "point",
            Self::Kill => "kill",
            Self::KillAny => "kill-any",
            Self::Full => "ENOSPC",
            Self::Quota => "EDQUOT",
            Self::Broken => "EIO",
        })
    }
}

/// What became of the command.
pub(crate) struct Struck {
    /// Whether the fault came about.
    pub(crate) hit: bool,
    /// The first line of its stdout, whole.
    pub(crate) answer: Option<String>,
    /// The named points that were passed before the fault struck.
    pub(crate) passed: Vec<String>,
    /// What strace saw.
    trace: String,
}

impl Struck {
    /// How often the program made a system call.
    pub(crate) fn count(&self, call: &str) -> u64 {
        self.trace.matches(&format!(" {call}(")).count() as u64
    }
}

/// Runs the program with `args` and lets the fault strike at its place; without one, only watches. The moment it
/// has answered with a line, `then` is called with its pid.
pub(crate) fn strike(rig: &Rig, args: &[&str], place: Option<&Place>, then: impl FnOnce(i32)) -> Struck {
    let log = rig.path().join("strace");
    let cmd = match place {
        Some(place) if place.fault == Fault::Point && place.call == POINT => {
            rig.cmd(args).env("KHLONE_FAULT", place.n.to_string())
        }
        Some(place) if place.fault == Fault::Point => rig.cmd(args).env("KHLONE_FAULT", &place.call),
        _ => strace(rig, &log, place, args).env("KHLONE_FAULT", "all"),
    };
    let mut command = cmd.into_inner();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        drop(stderr.read_to_end(&mut text));
        drop(tell.send(String::from_utf8_lossy(&text).into_owned()));
    });
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    drop(stdout.read_line(&mut line));
    let answer = line.strip_suffix('\n').map(str::to_owned);
    if answer.is_some() {
        then(pid);
    }
    let status = child.wait().unwrap();
    // A process that it has started may hold its stderr a little longer.
    let told = told.recv_timeout(BOUND / 30).unwrap_or_default();
    let trace = std::fs::read_to_string(&log).unwrap_or_default();
    drop(std::fs::remove_file(log));
    let hit = match place.map(|place| place.fault) {
        None => false,
        Some(Fault::Point) => {
            std::os::unix::process::ExitStatusExt::signal(&status) == Some(9) && answer.is_none()
        }
        Some(Fault::Kill | Fault::KillAny) => trace.contains("killed by SIGKILL") && answer.is_none(),
        Some(Fault::Full | Fault::Quota | Fault::Broken) => trace.contains("(INJECTED)"),
    };
    let passed = match place.map(|place| place.fault) {
        None | Some(Fault::Point | Fault::Kill) => points(&told),
        Some(Fault::KillAny) => points(trace.split("+++ killed by").next().unwrap_or_default()),
        Some(Fault::Full | Fault::Quota | Fault::Broken) => {
            points(trace.split("(INJECTED)").next().unwrap_or_default())
        }
    };
    Struck {
        hit,
        answer,
        passed,
        trace,
    }
}

fn strace(rig: &Rig, log: &Path, place: Option<&Place>, args: &[&str]) -> Cmd {
    let mut cmd = Cmd::new("strace").args(["-q", "-s", "120", "-o"]).arg(log);
    if place.is_none_or(|place| place.fault == Fault::KillAny) {
        cmd = cmd.arg("-f");
    }
    cmd = cmd.args(["-e", &format!("trace={CALLS}")]);
    if let Some(place) = place {
        let what = match place.fault {
            Fault::Full => "error=ENOSPC",
            Fault::Quota => "error=EDQUOT",
            Fault::Broken => "error=EIO",
            Fault::Point | Fault::Kill | Fault::KillAny => "signal=KILL",
        };
        cmd = cmd.args(["-e", &format!("inject={}:{what}:when={}", place.call, place.n)]);
    }
    cmd.arg("--")
        .arg(program())
        .args(args)
        .only_env(rig.env())
        .dir(&rig.work.0)
}

/// What follows `fault: ` in the program's stderr, or in strace's record of it.
fn points(text: &str) -> Vec<String> {
    let lines = text.split("fault: ").skip(1);
    lines
        .filter_map(|rest| rest.split(['\n', '\\', '"']).next().map(str::to_owned))
        .collect()
}

/// Every place for a fault that a run without one has shown, each with the number of points passed before it.
pub(crate) fn places(unharmed: &Struck, faults: &[Fault]) -> Vec<(Place, usize)> {
    let main = unharmed.trace.split(' ').next().unwrap_or_default();
    let (mut by_process, mut first) = (BTreeMap::<(&str, &str), u64>::new(), BTreeSet::new());
    let (mut own, mut others) = (Vec::new(), Vec::new());
    let mut passed = 0;
    for line in unharmed.trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        passed += usize::from(rest.contains("\"fault: "));
        let Some((call, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if !CALLS.split(',').any(|known| known == call) {
            continue;
        }
        let n = by_process.entry((pid, call)).or_default();
        *n += 1;
        if pid == main {
            own.push((call, *n, passed));
        }
        // Of all processes, the one that comes so far first is struck.
        if first.insert((call, *n)) && pid != main {
            others.push((call, *n, passed));
        }
    }
    let points = (1..=unharmed.passed.len())
        .map(|n| (POINT, n as u64, n))
        .collect();
    let mut places = Vec::new();
    for fault in faults.iter().copied() {
        let of_it: &Vec<_> = match fault {
            Fault::Point => &points,
            Fault::KillAny => &others,
            Fault::Kill | Fault::Full | Fault::Quota | Fault::Broken => &own,
        };
        let struck = of_it.iter().filter(|(call, ..)| is_refused(fault, call));
        places.extend(struck.map(|(call, n, passed)| {
            let call = (*call).to_owned();
            (Place { fault, call, n: *n }, *passed)
        }));
    }
    places
}

/// What a disk refuses to remove is left, whoever asks; a full one removes and locks all the same.
fn is_refused(fault: Fault, call: &str) -> bool {
    match fault {
        Fault::Full | Fault::Quota => {
            !call.starts_with("unlink") && !matches!(call, "rmdir" | "flock" | "fchmod")
        }
        Fault::Broken => !call.starts_with("unlink") && call != "rmdir",
        Fault::Point | Fault::Kill | Fault::KillAny => true,
    }
}

/// Runs the program, which must answer, and gives the answer with strace's record of all that it did to files.
pub(crate) fn record(rig: &Rig, args: &[&str]) -> (String, String) {
    let log = rig.path().join("strace");
    let calls = format!("trace={CALLS},openat");
    let mut command = Cmd::new("strace")
        .args(["-q", "-y", "-s", "4096", "-e", "signal=none", "-e", &calls, "-o"])
        .arg(&log)
        .arg("--")
        .arg(program())
        .args(args)
        .only_env(rig.env())
        .dir(&rig.work.0)
        .into_inner();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    // The rest is waking a daemon.
    end(i32::try_from(child.id()).unwrap());
    drop(child.wait());
    (line.trim().to_owned(), std::fs::read_to_string(log).unwrap())
}

/// Ends a program that is traced, and its tracer.
pub(crate) fn end(pid: i32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        kill(child.parse().unwrap());
    }
    kill(pid);
}
