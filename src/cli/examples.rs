//! Examples of the verbs, for their pages of the manual.

/// What one does, and its line in a shell.
pub(super) type Example = (&'static str, &'static str);

/// The examples of a page, by its name without `git-khlone` and the hyphen after it.
pub(super) fn examples(page: &str) -> &'static [Example] {
    let found = ALL.iter().find(|(name, _)| *name == page);
    found.map_or(&[], |(_, examples)| examples)
}

const ALL: &[(&str, &[Example])] = &[
    (
        "",
        &[
            (
                "Let a clone do something; the shell is yours at once",
                "git khlone act \"implement the login form\"",
            ),
            ("See what needs you and what is under way", "git khlone"),
            (
                "Look at the newest work, and take it over",
                "git khlone diff && git khlone land",
            ),
        ],
    ),
    (
        "act",
        &[
            (
                "Wait for it, with its last words on stdout",
                "git khlone act --await \"add a test for the parser\"",
            ),
            (
                "By a new clone on another brain, while the first one works",
                "git khlone act --who @codex++ \"update the changelog\"",
            ),
            (
                "With the prompt from a file, on a zone that is made for it",
                "git khlone act --zone feature/login --create <prompt.md",
            ),
            (
                "In a pipeline, with no process left behind",
                "KHLONE_DAEMON=never git khlone act \"mend the failing test\"",
            ),
        ],
    ),
    (
        "ask",
        &[
            (
                "Use the answer in a script",
                "git khlone ask --await \"which module parses dates?\" 2>/dev/null",
            ),
            (
                "Ask a certain clone, which knows what it did",
                "git khlone ask --who foreman.1 --await \"why a mutex there?\"",
            ),
        ],
    ),
    (
        "await",
        &[
            ("The newest task of the zone", "git khlone await"),
            (
                "Whichever of two is over first, within ten minutes",
                "git khlone await --any --timeout 600 t-7k3 t-9p2",
            ),
        ],
    ),
    (
        "watch",
        &[
            ("What a clone does", "git khlone watch foreman.1"),
            (
                "Everything in the repository, for a program",
                "git khlone --json watch --all",
            ),
        ],
    ),
    (
        "status",
        &[
            ("Refreshed in place until q", "git khlone status --watch"),
            (
                "For a prompt: how many need you, run and wait",
                "git khlone status --porcelain",
            ),
        ],
    ),
    (
        "list",
        &[
            ("Everything that needs you", "git khlone list needs"),
            (
                "Clones, what they do and how their branches stand",
                "git khlone list crew",
            ),
        ],
    ),
    (
        "show",
        &[
            ("What was asked, said and changed", "git khlone show t-7k3"),
            (
                "The variables that its brain got, by name",
                "git khlone show --env t-7k3",
            ),
        ],
    ),
    (
        "diff",
        &[
            (
                "What a clone's branch has over its zone",
                "git khlone diff foreman.1",
            ),
            ("Only the names", "git khlone diff --name-only t-7k3"),
        ],
    ),
    (
        "land",
        &[
            ("As one commit", "git khlone land foreman.1 --squash"),
            ("Take it back again", "git khlone undo"),
        ],
    ),
    (
        "update",
        &[(
            "Bring a clone's branch up to its zone",
            "git khlone update foreman.1",
        )],
    ),
    (
        "undo",
        &[
            ("What can be brought back", "git khlone undo --list"),
            ("The newest", "git khlone undo"),
        ],
    ),
    (
        "reply",
        &[("Answer a question", "git khlone reply t-7k3 \"the second one\"")],
    ),
    (
        "dismiss",
        &[(
            "Everything that needs nothing more",
            "git khlone dismiss --all-done",
        )],
    ),
    (
        "cancel",
        &[(
            "Stop a task, or take it out of the queue",
            "git khlone cancel t-7k3",
        )],
    ),
    (
        "resume",
        &[(
            "Go on where it stood, in the same session",
            "git khlone resume t-7k3",
        )],
    ),
    (
        "retry",
        &[("Anew, from the files before it", "git khlone retry --fresh t-7k3")],
    ),
    (
        "rollback",
        &[("Take back what a task did", "git khlone rollback t-7k3")],
    ),
    (
        "zone-remove",
        &[(
            "One clone with its worktree and branch",
            "git khlone zone remove main --clone foreman.2",
        )],
    ),
    (
        "gc",
        &[
            ("Delete what is old and landed", "git khlone gc"),
            (
                "Delete saved state 3 for good, whatever it holds",
                "git khlone gc --forget 3",
            ),
        ],
    ),
    (
        "config",
        &[
            ("What counts, and from which file", "git khlone config"),
            (
                "What an answer looks like in JSON",
                "git khlone config --schema=land",
            ),
        ],
    ),
    (
        "completions",
        &[("For this user's bash", "git khlone completions bash --install")],
    ),
    (
        "man",
        &[("A page without installing it", "git khlone man act | man -l -")],
    ),
    (
        "daemon-install",
        &[(
            "Have open tasks go on after a boot",
            "git khlone daemon install && loginctl enable-linger",
        )],
    ),
    (
        "uninstall",
        &[(
            "Leave plain git, with the branches of clones",
            "git khlone uninstall --keep-branches",
        )],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_command_of_a_page_that_there_is() {
        let pages = super::super::pages(&super::super::command()).unwrap();
        for (name, examples) in ALL {
            let page = match *name {
                "" => "git-khlone.1".to_owned(),
                name => format!("git-khlone-{name}.1"),
            };
            assert!(pages.iter().any(|known| known.name == page), "{page}");
            let lines = examples.iter().flat_map(|(_, line)| line.split(" && "));
            for line in lines.filter(|line| line.contains("git khlone")) {
                let line = line
                    .split(['|', '<'])
                    .next()
                    .unwrap()
                    .trim_end_matches("2>/dev/null");
                let words = shlex::split(line).unwrap();
                let words = words.into_iter().skip_while(|word| word != "khlone").skip(1);
                let words = std::iter::once("git-khlone".to_owned()).chain(words.filter(|word| word != "2>"));
                super::super::command().try_get_matches_from(words).unwrap();
            }
        }
    }
}
