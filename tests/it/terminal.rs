//! A terminal for tests: a program on a pseudo-terminal, and the screen that a person would see.

use std::{
    io::{Read, Write},
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(20);
const SIZE: PtySize = PtySize {
    rows: 50,
    cols: 80,
    pixel_width: 0,
    pixel_height: 0,
};

/// A program on a terminal of 80 columns; it ends with this value.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    // Closing it hangs up; it must live as long as the child.
    _master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    output: mpsc::Receiver<Vec<u8>>,
    parser: vte::Parser,
    screen: Screen,
}

impl Terminal {
    /// Starts `argv` in `dir` with exactly the variables `env`.
    pub(crate) fn start(argv: &[&str], dir: &Path, env: &[(&str, &str)]) -> Self {
        Self::of_width(SIZE.cols, argv, dir, env)
    }

    /// As [`Terminal::start`], with so many columns.
    pub(crate) fn of_width(cols: u16, argv: &[&str], dir: &Path, env: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(PtySize { cols, ..SIZE }).unwrap();
        let mut command = CommandBuilder::from_argv(argv.iter().map(Into::into).collect());
        command.env_clear();
        command.cwd(dir);
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if sender.send(chunk[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            keyboard: pair.master.take_writer().unwrap(),
            _master: pair.master,
            output,
            parser: vte::Parser::new(),
            screen: Screen {
                columns: usize::from(cols),
                ..Screen::default()
            },
        }
    }

    /// Types `keys`.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits until the screen is as wanted and gives its text. Panics with the screen after a while.
    pub(crate) fn wait_until(&mut self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.screen.text();
            if is_there(&text) {
                return text;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.parser.advance(&mut self.screen, &bytes),
                Err(error) => panic!("waited for {what} ({error}); the screen:\n{text}\n"),
            }
            let replies = std::mem::take(&mut self.screen.replies);
            if !replies.is_empty() {
                self.press(&replies);
            }
        }
    }

    /// Waits for its end, and gives the exit code; none where a signal ended it.
    pub(crate) fn end(&mut self) -> Option<u32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended.signal().is_none().then(|| ended.exit_code());
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Waits until `text` stands on the screen.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }
}

impl Stage {
    /// The program with the words of `line` at a terminal of so many columns, under a shell that tells its exit code.
    pub(crate) fn at_terminal(&self, columns: u16, line: &str) -> Terminal {
        let program = env!("CARGO_BIN_EXE_git-khlone");
        // It stays: with the end of a session goes what its terminal has not shown yet.
        let script = format!("trap : INT; '{program}' {line}; echo \"code $?.\"; read -r _");
        self.terminal(columns, &["bash", "-c", &script])
    }

    /// `argv` on a terminal, with nothing of the surroundings but `PATH`.
    pub(crate) fn terminal(&self, columns: u16, argv: &[&str]) -> Terminal {
        let path = std::env::var("PATH").unwrap();
        let (home, run) = (self.path().join("home"), self.path().join("run"));
        let env = [
            ("PATH", path.as_str()),
            ("HOME", home.to_str().unwrap()),
            ("XDG_RUNTIME_DIR", run.to_str().unwrap()),
            ("TERM", "xterm"),
        ];
        Terminal::of_width(columns, argv, &self.work.0, &env)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// As much of a terminal as line editors use.
#[derive(Default)]
struct Screen {
    columns: usize,
    /// What goes beyond the last column is cut off instead of going to the next line.
    cuts: bool,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// What the terminal answers to questions about itself.
    replies: String,
}

impl Screen {
    fn text(&self) -> String {
        let lines = self
            .lines
            .iter()
            .map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&mut self) -> &mut Vec<char> {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        &mut self.lines[self.row]
    }

    fn erase_line(&mut self, mode: u16) {
        let column = self.column;
        let line = self.line();
        match mode {
            0 => line.truncate(column),
            1 => line.iter_mut().take(column + 1).for_each(|c| *c = ' '),
            _ => line.clear(),
        }
    }

    fn erase_display(&mut self, mode: u16) {
        match mode {
            0 => {
                self.erase_line(0);
                self.lines.truncate(self.row + 1);
            }
            2 | 3 => self.lines.clear(),
            _ => {}
        }
    }
}

impl vte::Perform for Screen {
    fn print(&mut self, c: char) {
        if self.column >= self.columns {
            if self.cuts {
                return;
            }
            self.row += 1;
            self.column = 0;
        }
        let column = self.column;
        let line = self.line();
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = c;
        self.column += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.row += 1,
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => self.column = (self.column / 8 + 1) * 8,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &vte::Params, intermediates: &[u8], _ignore: bool, action: char) {
        let numbers: Vec<u16> = params.iter().filter_map(|param| param.first().copied()).collect();
        let mode = numbers.first().copied().unwrap_or(0);
        let (first, second) = (
            usize::from(mode.max(1)),
            usize::from(numbers.get(1).copied().unwrap_or(1).max(1)),
        );
        match (intermediates, action) {
            ([b'?'], 'l' | 'h') if mode == 7 => self.cuts = action == 'l',
            ([], 'A') => self.row = self.row.saturating_sub(first),
            ([], 'B') => self.row += first,
            ([], 'C') => self.column += first,
            ([], 'D') => self.column = self.column.saturating_sub(first),
            ([], 'G') => self.column = first - 1,
            ([], 'H') => (self.row, self.column) = (first - 1, second - 1),
            ([], 'J') => self.erase_display(mode),
            ([], 'K') => self.erase_line(mode),
            ([], 'P') => {
                let column = self.column;
                let line = self.line();
                let end = line.len().min(column + first);
                line.drain(column.min(end)..end);
            }
            ([], 'n') => self.replies += &format!("\x1b[{};{}R", self.row + 1, self.column + 1),
            ([], 'c') => self.replies += "\x1b[?62c",
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, _intermediates: &[u8], _ignore: bool, byte: u8) {
        if byte == b'M' {
            self.row = self.row.saturating_sub(1);
        }
    }
}

#[test]
fn the_screen_is_what_a_person_sees() {
    let mut terminal = Terminal::start(
        &[
            "/bin/sh",
            "-c",
            "printf 'abc\\rX\\n\\033[31mred\\033[0m\\033[2D!'; read x",
        ],
        Path::new("/"),
        &[],
    );
    let screen = terminal.wait_for("r!d");
    assert_eq!(screen, "Xbc\nr!d");
}
