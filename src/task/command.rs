//! Commands to suggest. One that names a clone names its zone, too: the clones of all zones have the same names, and
//! where it is pasted another zone may be checked out.

/// The words that name a clone of the zone of `branch` to `verb`.
pub fn of_clone(verb: &str, clone: &str, branch: &str) -> String {
    format!("git khlone {verb} {clone} -z {}", word(branch))
}

/// The command that gives a clone of the zone of `branch` something to do.
pub fn act_of(clone: &str, branch: &str) -> String {
    format!(
        "git khlone act --who {clone} -z {} \"what is to be done\"",
        word(branch)
    )
}

/// The command that removes the clones of the zone of `branch`.
pub fn zone_remove(branch: &str) -> String {
    format!("git khlone zone remove {}", word(branch))
}

/// The command that watches the zone of `branch`.
pub fn watch_zone(branch: &str) -> String {
    format!("git khlone watch -z {}", word(branch))
}

/// A branch as one word of a shell.
fn word(branch: &str) -> String {
    shlex::try_quote(branch).map_or_else(|_| branch.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_named_with_its_zone() {
        assert_eq!(
            of_clone("land", "foreman.1", "feat"),
            "git khlone land foreman.1 -z feat"
        );
        let hostile = of_clone("land", "foreman.1", "a;$(touch${IFS}pwn)'");
        assert_eq!(
            shlex::split(&hostile).unwrap().last().unwrap(),
            "a;$(touch${IFS}pwn)'"
        );
        assert!(act_of("foreman.1", "feat").contains("--who foreman.1 -z feat \""));
    }
}
