//! Lists and names in words, for documents and for people.

/// The first `most` of a list; where there are more, the last line counts them.
pub fn few(mut list: Vec<String>, most: usize) -> Vec<String> {
    let more = list.len().saturating_sub(most);
    if more > 0 {
        list.truncate(most);
        list.push(format!("… and {more} more"));
    }
    list
}

/// A word with its article.
pub fn a(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_gits_have_their_article() {
        assert_eq!((a("am").as_str(), a("rebase").as_str()), ("an am", "a rebase"));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let list = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(few(list(3), 3), ["0", "1", "2"]);
        assert_eq!(few(list(5), 3), ["0", "1", "2", "… and 2 more"]);
    }
}
