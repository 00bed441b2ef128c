//! Settings of git that people have, through the whole round, some at a time: what is the user's is the same to the byte.

use super::matrix::{FILES, Round};
use crate::stage::Stage;

const FILES_AND_INDEX: &str = "core.fileMode=false core.ignoreCase=false core.precomposeUnicode=true core.protectNTFS=true core.quotePath=false \
    core.trustctime=false core.checkStat=minimal core.untrackedCache=true core.preloadIndex=false core.abbrev=4 index.version=4 \
    index.threads=1 index.recordEndOfIndexEntries=true core.compression=0 core.looseCompression=9 core.safecrlf=true";
const STORAGE: &str = "core.bigFileThreshold=1 core.packedGitLimit=1m core.packedGitWindowSize=4096 core.deltaBaseCacheLimit=1k \
    core.multiPackIndex=false core.commitGraph=false core.fsync=all core.fsyncMethod=batch core.sharedRepository=group \
    core.useReplaceRefs=false pack.writeReverseIndex=false pack.threads=1 pack.compression=0 pack.packSizeLimit=1m \
    pack.useBitmaps=false pack.allowPackReuse=false repack.writeBitmaps=true repack.useDeltaBaseOffset=false";
const DIFF: &str = "diff.noprefix=true diff.mnemonicPrefix=true diff.renames=copies diff.renameLimit=1 diff.context=0 \
    diff.interHunkContext=9 diff.ignoreSubmodules=all diff.submodule=diff diff.wordRegex=. diff.colorMoved=zebra \
    diff.algorithm=patience diff.autoRefreshIndex=false diff.suppressBlankEmpty=true diff.relative=true diff.statNameWidth=3 \
    core.whitespace=trailing-space core.pager=false pager.diff=false core.attributesFile=/nonexistent";
const MERGE_AND_COMMIT: &str = "merge.renames=false merge.directoryRenames=true merge.conflictStyle=zdiff3 merge.log=true \
    merge.stat=false merge.autoStash=true merge.renormalize=true merge.verbosity=5 merge.branchdesc=true merge.default=union \
    commit.cleanup=scissors commit.status=false commit.verbose=true commit.template=/nonexistent core.commentChar=; core.editor=false \
    rebase.autoStash=true rebase.updateRefs=true rebase.missingCommitsCheck=error rerere.enabled=true rerere.autoupdate=true";
const WORDS_AND_COLOURS: &str = "color.ui=always color.diff=always color.status=always color.branch=always column.ui=always \
    column.status=always status.short=true status.branch=true status.renames=false status.relativePaths=false status.showStash=true \
    log.showSignature=true log.decorate=full log.date=iso log.mailmap=false log.follow=true log.showRoot=false log.diffMerges=separate \
    format.pretty=oneline branch.sort=-committerdate tag.sort=-version:refname i18n.logOutputEncoding=ISO-8859-1 advice.detachedHead=false";
const FETCH_GC_AND_REST: &str = "fetch.prune=true fetch.fsckObjects=true transfer.fsckObjects=true receive.fsckObjects=true \
    transfer.hideRefs=refs/khlone push.default=nothing gc.auto=1 gc.pruneExpire=now gc.worktreePruneExpire=now gc.reflogExpire=now \
    gc.cruftPacks=false maintenance.auto=true feature.experimental=true feature.manyFiles=true extensions.worktreeConfig=true \
    branch.autoSetupMerge=always branch.autoSetupRebase=always checkout.workers=0 submodule.recurse=true user.useConfigOnly=true \
    protocol.allow=never safe.bareRepository=explicit trailer.separators=# apply.whitespace=error alias.diff=!false alias.merge=!false \
    credential.helper=false clean.requireForce=false notes.rewriteRef=refs/notes/* core.askPass=false";

fn go_round(name: &str, settings: &str) {
    let stage = Stage::with(&FILES);
    for setting in settings.split_whitespace() {
        let (key, value) = setting.split_once('=').unwrap();
        stage.work.git(&["config", key, value]);
    }
    let work = stage.work.clone();
    // The first look of git itself may write the index anew.
    work.git(&["status"]);
    let zone = "main".to_owned();
    let round = Round {
        name,
        stage: &stage,
        work,
        zone,
    };
    round.go();
}

#[test]
fn settings_of_files_the_index_and_storage_change_nothing() {
    go_round("files and index", FILES_AND_INDEX);
    go_round("storage", STORAGE);
}

#[test]
fn settings_of_diffs_merges_and_commits_change_nothing() {
    go_round("diff", DIFF);
    go_round("merge and commit", MERGE_AND_COMMIT);
}

#[test]
fn settings_of_words_colours_and_the_rest_change_nothing() {
    go_round("words and colours", WORDS_AND_COLOURS);
    go_round("fetch, gc and the rest", FETCH_GC_AND_REST);
}

/// git re-encodes whatever has a format of its own, ids too.
#[test]
fn a_log_in_another_encoding_hides_no_id() {
    let stage = Stage::with(&FILES);
    for encoding in ["UTF-16", "UTF-32", "ISO-8859-1"] {
        stage.work.git(&["config", "i18n.logOutputEncoding", encoding]);
        let (said, task) = stage.act(&format!("echo {encoding} > n"));
        assert_eq!(task["outcome"], "done", "{encoding}: {}", said.err);
        stage.run(&["land"]).ok();
        assert_eq!(
            stage.work.read("n").as_deref(),
            Some(format!("{encoding}\n").as_str())
        );
        stage.run(&["audit", task["task"].as_str().unwrap()]).ok();
    }
}
