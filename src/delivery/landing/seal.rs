//! From what is proposed to what moves: the user's hooks are asked, as git's own command asks them, and the commits are
//! made, signed where the user signs.
//!
//! | lands by | before | after |
//! |---|---|---|
//! | fast-forward | | post-merge |
//! | merge | pre-merge-commit, prepare-commit-msg, commit-msg | post-merge |
//! | squash | pre-commit, prepare-commit-msg, commit-msg | post-merge, post-commit |
//! | rebase | pre-rebase | post-rewrite |
//!
//! And reference-transaction, as the branch moves. A hook that rejects ends the landing with nothing changed. What
//! pre-commit stages is committed; what pre-merge-commit stages is not, as with git.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use bstr::{BString, ByteSlice};
use git2::Oid;

use super::{
    HookUse, Kind, LandError, Landing, Policy, Proposal, Voice,
    bench::Bench,
    error::again,
    join::Make,
    make::{Maker, Original, Parts},
    recorded,
};
use crate::{
    process::Cmd,
    refs::Repo,
    task::{LandingHook, Signer},
    worktree::checkout::Checkout,
};

/// Where the branch goes, and the commits that were made anew for it.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) new: Oid,
    /// Old and new, oldest first.
    pub(super) rewritten: Vec<(Oid, Oid)>,
    /// The hooks that there are.
    pub(super) hooks: Vec<LandingHook>,
    /// Who signed what was made.
    pub(super) signer: Option<Signer>,
}

/// Asks the hooks and makes the commits.
///
/// # Errors
/// [`LandError`] if a hook rejects, or a commit cannot be made.
pub(super) fn seal(
    repo: &Repo,
    landing: &Landing<'_>,
    proposal: &Proposal,
    bench: &mut Bench,
    (policy, voice): (&Policy, &Voice<'_>),
) -> Result<Sealed, LandError> {
    refuse_changed_hooks(repo, landing, proposal, (bench, policy))?;
    let (tree, message) = ask(landing, proposal, bench, (policy, voice))?;
    let maker = Maker {
        bench,
        voice,
        signs: policy.signs.is_some(),
        key: None,
    };
    let rewritten = rewrite(repo, proposal, &maker, policy)?;
    let now = |oid: &Oid| {
        rewritten
            .iter()
            .find(|(old, _)| old == oid)
            .map_or(*oid, |(_, new)| *new)
    };
    let new = match &proposal.joined.make {
        Make::Move(to) => now(to),
        Make::Commit { parents, .. } => {
            let parents: Vec<_> = parents.iter().map(now).collect();
            let parts = Parts {
                tree,
                parents: &parents,
                from: None,
            };
            signer_of(&maker, proposal, policy).commit(&parts, &message)?
        }
    };
    let is_made = !rewritten.is_empty() || matches!(proposal.joined.make, Make::Commit { .. });
    let signs = signer_of(&maker, proposal, policy).signs;
    let signer = (is_made && signs).then(|| recorded::signer(bench));
    Ok(Sealed {
        new,
        hooks: recorded::hooks(&bench.hooks, proposal.kind(), policy.hooks),
        signer: signer.transpose()?,
        rewritten: chained(&proposal.joined.series, rewritten),
    })
}

/// Who makes the last commit: a merge may be signed where nothing else is.
fn signer_of<'a>(maker: &Maker<'a>, proposal: &Proposal, policy: &'a Policy) -> Maker<'a> {
    let is_told = proposal.kind() == Kind::Merge && policy.merge.signs;
    Maker {
        bench: maker.bench,
        voice: maker.voice,
        signs: maker.signs || is_told,
        key: policy.merge.key.as_deref().filter(|_| is_told),
    }
}

/// A landing does not change what the user's git runs, unless the user says so.
fn refuse_changed_hooks(
    repo: &Repo,
    landing: &Landing<'_>,
    proposal: &Proposal,
    (bench, policy): (&Bench, &Policy),
) -> Result<(), LandError> {
    if policy.hooks == HookUse::Run {
        return Ok(());
    }
    let files = bench.hooks.changed(repo, proposal.old, proposal.joined.tree)?;
    if files.is_empty() {
        return Ok(());
    }
    Err(LandError::ChangesHooks {
        branch: landing.branch.to_owned(),
        files,
        again: again(landing),
    })
}

/// Asks the hooks that come before; gives the tree and the message that they leave.
fn ask(
    landing: &Landing<'_>,
    proposal: &Proposal,
    bench: &mut Bench,
    (policy, voice): (&Policy, &Voice<'_>),
) -> Result<(Oid, BString), LandError> {
    let tree = proposal.joined.tree;
    let (names, _) = recorded::names(proposal.kind());
    let (kind, file) = match proposal.kind() {
        Kind::Merge => ("merge", "MERGE_MSG"),
        Kind::Squash => ("squash", "COMMIT_EDITMSG"),
        Kind::Rebase => {
            if policy.hooks != HookUse::Skip && bench.hooks.has("pre-rebase") {
                bench.lay_out(tree)?;
                bench.ask("pre-rebase", &[landing.zone, landing.branch], voice)?;
            }
            return Ok((tree, BString::default()));
        }
        Kind::FastForward | Kind::Already => return Ok((tree, BString::default())),
    };
    let Make::Commit { message, .. } = &proposal.joined.make else {
        return Ok((tree, BString::default()));
    };
    let is_merge = proposal.kind() == Kind::Merge;
    let own = policy.merge.signs_off.as_ref().filter(|_| is_merge);
    let message = signed_off(
        bench,
        message.as_bytes().into(),
        policy.signs_off.as_ref().or(own),
    )?;
    let cleanup = policy.merge.cleanup.as_deref().filter(|_| is_merge);
    let path = bench.file(file);
    fs::write(&path, &message)?;
    match proposal.kind() {
        Kind::Merge => fs::write(bench.file("MERGE_HEAD"), format!("{}\n", proposal.tip))?,
        _ => fs::write(bench.file("SQUASH_MSG"), &message)?,
    }
    if !names.iter().any(|name| bench.hooks.has(name)) {
        return Ok((tree, cleaned(bench, cleanup, message)?));
    }
    bench.lay_out(tree)?;
    let word = path.to_string_lossy().into_owned();
    let mut staged = tree;
    for name in names {
        let words: &[&str] = match *name {
            "prepare-commit-msg" => &[&word, kind],
            "commit-msg" => &[&word],
            _ => &[],
        };
        if !recorded::is_skipped(name, policy.hooks) {
            bench.ask(name, words, voice)?;
        }
        if *name == "pre-commit" {
            staged = bench.staged()?;
        }
    }
    Ok((staged, cleaned(bench, cleanup, fs::read(&path)?.into())?))
}

/// The message with the user's line, where the user signs off.
fn signed_off(bench: &Bench, message: BString, who: Option<&String>) -> Result<BString, LandError> {
    let Some(who) = who else {
        return Ok(message);
    };
    let git = bench
        .git()
        .args(["interpret-trailers", "--if-exists", "addIfDifferent"]);
    let git = git.arg("--trailer").arg(format!("Signed-off-by: {who}"));
    Ok(git.input(message.to_vec()).output()?.into())
}

/// The message as git would take it without an editor.
fn cleaned(bench: &Bench, told: Option<&str>, message: BString) -> Result<BString, LandError> {
    let setting = bench.git().args(["config", "--get", "commit.cleanup"]).finish()?;
    let strip = match told.map_or(setting.stdout.trim(), str::as_bytes) {
        b"verbatim" => return Ok(message),
        b"strip" => Some("--strip-comments"),
        _ => None,
    };
    let git = bench.git().arg("stripspace").args(strip).input(message.to_vec());
    let clean = BString::from(git.output()?);
    if clean.is_empty() {
        return Err(LandError::NoMessage);
    }
    Ok(clean)
}

/// Makes commits of the clone's anew that are to be signed, or signed off; gives old and new, oldest first.
fn rewrite(
    repo: &Repo,
    proposal: &Proposal,
    maker: &Maker<'_>,
    policy: &Policy,
) -> Result<Vec<(Oid, Oid)>, LandError> {
    let (mut done, mut anew) = (Vec::new(), HashMap::new());
    for oid in &proposal.remade {
        let commit = repo.git().find_commit(*oid)?;
        let parents: Vec<Oid> = commit
            .parent_ids()
            .map(|old| *anew.get(&old).unwrap_or(&old))
            .collect();
        let original = Original::read(repo, *oid)?;
        let parts = Parts {
            tree: commit.tree_id(),
            parents: &parents,
            from: Some(&original),
        };
        let message = signed_off(maker.bench, original.message.clone(), policy.signs_off.as_ref())?;
        let new = maker.commit(&parts, &message)?;
        anew.insert(*oid, new);
        done.push((*oid, new));
    }
    Ok(done)
}

/// What a series made of commits, and what signing made of that.
fn chained(series: &[(Oid, Oid)], signed: Vec<(Oid, Oid)>) -> Vec<(Oid, Oid)> {
    if series.is_empty() {
        return signed;
    }
    let last = |oid: Oid| {
        signed
            .iter()
            .find(|(old, _)| *old == oid)
            .map_or(oid, |(_, new)| *new)
    };
    series.iter().map(|(old, new)| (*old, last(*new))).collect()
}

/// Those of `commits` that are not signed by a key that git trusts.
///
/// # Errors
/// If git fails.
pub(super) fn unsigned(repo: &Repo, commits: &[Oid]) -> Result<HashSet<Oid>, LandError> {
    if commits.is_empty() {
        return Ok(HashSet::new());
    }
    let ask = |commits: &[Oid]| {
        let list: Vec<String> = commits.iter().map(ToString::to_string).collect();
        let git = Cmd::git(repo.common_dir()).dir(repo.common_dir());
        let git = git.args([
            "log",
            "--no-walk=unsorted",
            "--stdin",
            "--encoding=UTF-8",
            "--format=%H %G?",
        ]);
        git.input(list.join("\n") + "\n").output()
    };
    let out = match ask(commits) {
        // git dies with a program that does not read the signature; that one says nothing good of this commit alone.
        Err(error) if error.was_killed() => commits
            .iter()
            .flat_map(|commit| ask(&[*commit]).unwrap_or_default())
            .collect(),
        out => out?,
    };
    let out = out.to_str_lossy();
    let good = out
        .lines()
        .filter_map(|line| line.strip_suffix(" G")?.parse().ok());
    let good: HashSet<Oid> = good.collect();
    Ok(commits
        .iter()
        .copied()
        .filter(|oid| !good.contains(oid))
        .collect())
}

/// Whether `git merge --verify-signatures` would take a commit: signed by a key that git trusts, or by anybody's.
///
/// # Errors
/// If git fails.
pub(super) fn is_verified(repo: &Repo, commit: Oid, trusts_anybody: bool) -> Result<bool, LandError> {
    if unsigned(repo, &[commit])?.is_empty() {
        return Ok(true);
    }
    let git = Cmd::git(repo.common_dir()).dir(repo.common_dir());
    let verify = || git.args(["verify-commit", &commit.to_string()]).finish();
    Ok(trusts_anybody && verify()?.status.success())
}

/// Tells the hooks that come after, in the checkout that has the branch, else over the files that landed.
pub(super) fn tell(
    proposal: &Proposal,
    sealed: &Sealed,
    (bench, checkout): (&mut Bench, Option<&Checkout>),
    voice: &Voice<'_>,
) {
    let pairs = || -> String {
        let line = |(old, new): &(Oid, Oid)| format!("{old} {new}\n");
        sealed.rewritten.iter().map(line).collect()
    };
    let (_, names) = recorded::names(proposal.kind());
    for name in names {
        let words: &[&str] = match (*name, proposal.kind()) {
            ("post-merge", Kind::Squash) => &["1"],
            ("post-merge", _) => &["0"],
            ("post-rewrite", _) => &["rebase"],
            _ => &[],
        };
        if !bench.hooks.has(name) {
            continue;
        }
        if checkout.is_none()
            && let Err(error) = bench.lay_out(proposal.joined.tree)
        {
            (voice.said)(&format!("warning: {name} did not run: {error}"));
            return;
        }
        let input = (*name == "post-rewrite").then(pairs);
        bench.tell(checkout, (name, words), input.as_deref(), voice);
    }
}
