//! Where a landing's commit is made: a git folder of its own, whose HEAD is the zone's branch, so that the user's settings
//! count as in a checkout of that branch; and with hooks, a checkout and an index of the files that would land, in which
//! they run. It is gone when this is dropped; what a kill leaves of it `gc` takes.

use std::{fs, path::PathBuf, time::Duration};

use bstr::ByteSlice;
use git2::Oid;

use super::{LandError, Voice, hooks::Hooks};
use crate::{
    delivery::advance::AdvanceError,
    process::{Cmd, ProcessError, Tried},
    refs::{Repo, Site, Standing, branch_ref, move_by_git},
    worktree::checkout::Checkout,
};

/// The git folder, and the checkout if there is one.
#[derive(Debug)]
pub(super) struct Bench {
    folder: tempfile::TempDir,
    /// Made of the files that would land.
    is_laid_out: bool,
    /// How long a hook may take.
    patience: Duration,
    /// The user's hooks, as they are before the landing.
    pub(super) hooks: Hooks,
}

impl Bench {
    /// One for a landing in `zone`, which stands at `old`. `checkout` has the zone's branch, or is the main one.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn new(
        (repo, site): (&Repo, &Site),
        checkout: Option<&Checkout>,
        (zone, old): (&str, Oid),
        patience: Duration,
    ) -> Result<Self, LandError> {
        let away = site.dir().join("tmp");
        fs::create_dir_all(&away).tried("make the folder", &away)?;
        let folder = tempfile::Builder::new().prefix("land-").tempdir_in(&away);
        let folder = folder.tried("make a folder in", &away)?;
        let git_dir = folder.path().join("git");
        fs::create_dir(&git_dir)?;
        let mut common = repo.common_dir().as_os_str().to_owned();
        common.push("\n");
        fs::write(git_dir.join("commondir"), common.as_encoded_bytes())?;
        fs::write(git_dir.join("HEAD"), format!("ref: {}\n", branch_ref(zone)))?;
        let own = checkout.map(|checkout| checkout.git_dir.join("config.worktree"));
        if let Some(own) = own.filter(|own| own.exists()) {
            // All files that would land are laid out.
            let mut text = fs::read(own)?;
            text.extend_from_slice(b"\n[core]\n\tsparseCheckout = false\n");
            fs::write(git_dir.join("config.worktree"), text)?;
        }
        let hooks = Hooks::find(repo, checkout, old, folder.path())?;
        Ok(Self {
            folder,
            is_laid_out: false,
            patience,
            hooks,
        })
    }

    pub(super) fn git_dir(&self) -> PathBuf {
        self.folder.path().join("git")
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// A file of the git folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.git_dir().join(name)
    }

    /// git with this folder, the user's settings, no hooks, and every object that it writes synced.
    pub(super) fn git(&self) -> Cmd {
        let git = Cmd::git(&self.git_dir()).dir(self.git_dir());
        let git = git.env("GIT_NO_LAZY_FETCH", "0");
        git.args(["-c", "core.fsync=loose-object,pack,pack-metadata"])
    }

    /// Lays out the files of a tree, with an index of them.
    ///
    /// # Errors
    /// If git fails, a filter included.
    pub(super) fn lay_out(&mut self, tree: Oid) -> Result<(), LandError> {
        if self.is_laid_out {
            return Ok(());
        }
        fs::create_dir_all(self.tree())?;
        let git = self.git().env("GIT_WORK_TREE", self.tree()).dir(self.tree());
        let git = git.args(["-c", "core.sparseCheckout=false", "-c", "submodule.recurse=false"]);
        let git = git.args(["read-tree", "--reset", "-u", &tree.to_string()]);
        git.patience(self.patience).on_leash().output()?;
        self.is_laid_out = true;
        Ok(())
    }

    /// The tree that its index has.
    ///
    /// # Errors
    /// If git fails.
    pub(super) fn staged(&self) -> Result<Oid, LandError> {
        let out = self
            .git()
            .env("GIT_WORK_TREE", self.tree())
            .arg("write-tree")
            .output()?;
        Ok(out.trim().to_str_lossy().parse()?)
    }

    /// Moves the zone's branch, as git does in the checkout that has it.
    ///
    /// # Errors
    /// As [`move_by_git`].
    pub(super) fn move_zone(
        &self,
        repo: &Repo,
        holder: Option<&Checkout>,
        (zone, from, to): (&str, Oid, Oid),
        log: &str,
    ) -> Result<(), AdvanceError> {
        let standing = Standing {
            git_dir: holder.map_or(repo.common_dir(), |holder| &holder.git_dir),
            work_dir: holder.map(|holder| holder.path.as_path()),
            hooks: self.hooks.is_elsewhere.then_some(self.hooks.dir.as_path()),
            patience: self.patience,
        };
        Ok(move_by_git(
            repo,
            &standing,
            (&branch_ref(zone), Some(from), to),
            log,
        )?)
    }

    /// Where a hook runs here.
    fn standing(&self) -> (PathBuf, PathBuf) {
        (self.git_dir(), self.tree())
    }

    /// Runs a hook of the user's over the files that would land, if there is one.
    ///
    /// # Errors
    /// [`LandError::Hook`] if it rejects, or takes too long.
    pub(super) fn ask(&self, name: &'static str, words: &[&str], voice: &Voice<'_>) -> Result<(), LandError> {
        if !self.hooks.has(name) {
            return Ok(());
        }
        let (git_dir, tree) = self.standing();
        let standing = Standing {
            git_dir: &git_dir,
            work_dir: Some(&tree),
            hooks: self.hooks.is_elsewhere.then_some(self.hooks.dir.as_path()),
            patience: self.patience,
        };
        let around = Around::Index(git_dir.join("index"));
        run((&self.hooks, &standing), (name, words), around, voice)
    }

    /// Tells a hook of the user's what was done, in the checkout that has the branch, else here. What it answers is only
    /// passed on.
    pub(super) fn tell(
        &self,
        checkout: Option<&Checkout>,
        (name, words): (&'static str, &[&str]),
        input: Option<&str>,
        voice: &Voice<'_>,
    ) {
        if !self.hooks.has(name) {
            return;
        }
        let (git_dir, tree) = match checkout {
            Some(checkout) => (checkout.git_dir.clone(), checkout.path.clone()),
            None => self.standing(),
        };
        let standing = Standing {
            git_dir: &git_dir,
            work_dir: tree.is_dir().then_some(tree.as_path()),
            hooks: self.hooks.is_elsewhere.then_some(self.hooks.dir.as_path()),
            patience: self.patience,
        };
        let around = match input {
            Some(text) => Around::Input(text),
            None => Around::Nothing,
        };
        let told = run((&self.hooks, &standing), (name, words), around, voice);
        match told {
            Ok(()) => {}
            Err(LandError::Hook { said, .. }) => {
                (voice.said)(format!("{said}\nwarning: the hook {name} failed").trim_start());
            }
            Err(error) => (voice.said)(&format!("warning: the hook {name} did not run: {error}")),
        }
    }
}

/// What a hook finds besides its words.
enum Around<'a> {
    /// The index of the files that would land.
    Index(PathBuf),
    /// On its stdin.
    Input(&'a str),
    /// Neither.
    Nothing,
}

/// Runs a hook as git does where no editor is used.
fn run(
    (hooks, standing): (&Hooks, &Standing<'_>),
    (name, words): (&'static str, &[&str]),
    around: Around<'_>,
    voice: &Voice<'_>,
) -> Result<(), LandError> {
    let by_git = standing
        .git()
        .args(["hook", "run", "--ignore-missing", name, "--"]);
    let hook = match around {
        Around::Index(index) => by_git.env("GIT_INDEX_FILE", index),
        // git gives a hook no stdin but from a file, and that not before 2.41.
        Around::Input(text) => standing.around(Cmd::new(hooks.dir.join(name))).input(text),
        Around::Nothing => by_git,
    };
    let done = match hook.env("GIT_EDITOR", ":").args(words).finish() {
        Err(ProcessError::Timeout { patience, .. }) => return Err(LandError::HookTime { name, patience }),
        done => done?,
    };
    let said = [done.stdout.as_slice(), done.stderr.as_slice()].concat();
    let said = said.to_str_lossy().trim_end().to_owned();
    if !done.status.success() {
        return Err(LandError::Hook { name, said });
    }
    if !said.is_empty() {
        (voice.said)(&said);
    }
    Ok(())
}
