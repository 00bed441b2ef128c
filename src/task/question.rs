//! Whether a text ends by asking something. Pure.
//!
//! The last sentence ends in a question mark, of any script; closing quotes, brackets and Markdown after it do not
//! count, nor does a list of answers to choose from. What is given is the line with the question, which is what a
//! person can answer: the text often begins with what was looked at.

/// Longer questions are cut: they stand in lists.
const MOST: usize = 200;
/// How a question ends, in Latin, Greek, Arabic, Chinese and Armenian script.
const MARKS: [char; 5] = ['?', '\u{37e}', '؟', '？', '՞'];

/// The line of `text` with the question that it ends in, if it does.
pub fn question(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let last = lines.next()?;
    let found = if is_asked(last) {
        last
    } else if is_choice(last) {
        lines
            .find(|line| !is_choice(line))
            .filter(|line| is_asked(line))?
    } else {
        return None;
    };
    let clean: String = found.chars().filter(|c| !c.is_control()).collect();
    if clean.chars().count() <= MOST {
        return Some(clean);
    }
    // Its end is what asks.
    let from = clean.chars().count() - (MOST - 1);
    Some(std::iter::once('…').chain(clean.chars().skip(from)).collect())
}

fn is_asked(line: &str) -> bool {
    line.trim_end_matches(|c: char| c.is_whitespace() || c.is_control() || "\"'`*_)]}»”’」』".contains(c))
        .ends_with(MARKS)
}

/// `- this`, `2. that`, `b) other`.
fn is_choice(line: &str) -> bool {
    let Some((mark, _)) = line.split_once(' ') else {
        return false;
    };
    let counted = mark
        .strip_suffix(['.', ')', ':'])
        .map(|mark| mark.trim_start_matches(['(', '*']));
    ["-", "*", "+", "•"].contains(&mark)
        || counted.is_some_and(|mark| {
            let digits = !mark.is_empty() && mark.chars().all(|c| c.is_ascii_digit());
            digits || mark.len() == 1 && mark.chars().all(|c| c.is_ascii_alphabetic())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_asks_if_its_last_sentence_does() {
        let asks = [
            "Which database do you mean?",
            "I looked at it.\n\nWhich database do you mean, **Postgres or SQLite?**\n",
            "Should I go on (y/n?)",
            "您要哪一个？",
        ];
        for text in asks {
            assert!(question(text).is_some(), "{text}");
        }
        for text in [
            "",
            "Done.",
            "Why? Because.",
            "Is it?\nIt is.",
            "- one\n- two",
            "http://x/?a=b",
        ] {
            assert_eq!(question(text), None, "{text}");
        }
    }

    #[test]
    fn the_line_of_the_question_is_given() {
        let text = "I found two.\nWhich one do you mean?\n1. Postgres\n2. SQLite\n";
        assert_eq!(question(text).unwrap(), "Which one do you mean?");
        let long = format!("{}?\u{1b}", "x".repeat(900));
        let cut = question(&long).unwrap();
        assert!(cut.chars().count() == MOST && cut.ends_with("x?"), "{cut}");
    }
}
