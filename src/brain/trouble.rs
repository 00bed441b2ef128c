//! What a provider's error is about: by its status where that is told, by its words where it is not. One place for all
//! brains, so that one refusal means one thing.

use super::event::Trouble;

/// What a failed request is about.
pub(super) fn sort(status: Option<u16>, said: &str) -> Trouble {
    let said = said.to_lowercase();
    if is_money(&said) {
        return Trouble::Credit;
    }
    match status {
        Some(401 | 403) => Trouble::Auth,
        Some(402) => Trouble::Credit,
        Some(429) => Trouble::Limit,
        Some(408 | 500..) => Trouble::Network,
        _ => by_words(&said),
    }
}

/// What an error text is about.
pub(super) fn trouble(said: &str) -> Trouble {
    sort(None, said)
}

/// Words in lower case, and what they speak of; the first that are found count.
const WORDS: [(Trouble, &[&str]); 4] = [
    (
        Trouble::Full,
        &[
            "context_length_exceeded",
            "exceeds the context window",
            "room in the model's context window",
            "maximum context length",
            "prompt is too long",
            "input is too long",
            "exceeds the maximum number of tokens",
            "context window will overflow",
        ],
    ),
    (
        Trouble::Auth,
        &[
            "unauthorized",
            "unauthenticated",
            "forbidden",
            "permission_denied",
            "permission_error",
            "api key",
            "api_key",
            "not logged in",
            "please run /login",
            "authentication",
            "failed to authenticate",
            "missing environment variable",
            "oauth token",
            "invalid_grant",
        ],
    ),
    (
        Trouble::Limit,
        &[
            "rate limit",
            "rate_limit",
            "usage limit",
            "hit your limit",
            "limit reached",
            "quota",
            "too many requests",
            "resource_exhausted",
            "exhausted your capacity",
        ],
    ),
    (
        Trouble::Network,
        &[
            "stream disconnected",
            "error: terminated",
            "socket hang up",
            "other side closed",
            "connection",
            "unable to connect",
            "cannot connect",
            "network",
            "econnre",
            "enotfound",
            "eai_again",
            "etimedout",
            "fetch failed",
            "error sending request",
            "high demand",
            "overloaded",
        ],
    ),
];

/// Statuses that stand in a text.
const STATUSES: [(Trouble, &[&str]); 4] = [
    (Trouble::Credit, &["402"]),
    (Trouble::Auth, &["401", "403"]),
    (Trouble::Limit, &["429"]),
    (Trouble::Network, &["500", "502", "503", "504", "529"]),
];

fn by_words(said: &str) -> Trouble {
    // An answer that was cut off or withheld would be so again, though it is told as a stream that broke off.
    if said.contains("incomplete response returned") {
        return Trouble::Other;
    }
    let status = STATUSES
        .iter()
        .find(|(_, numbers)| numbers.iter().any(|number| has_number(said, number)));
    let words = WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| said.contains(word)));
    let found = match words {
        // What a text says of a session goes before its number, which is one of many.
        Some((Trouble::Full, _)) => Some(Trouble::Full),
        _ => status
            .map(|(trouble, _)| *trouble)
            .or(words.map(|(trouble, _)| *trouble)),
    };
    found.unwrap_or(Trouble::Other)
}

/// No money is left. A free quota of a day speaks of billing too, but says when it is there again.
fn is_money(said: &str) -> bool {
    let gone = [
        "insufficient_quota",
        "insufficient balance",
        "insufficient credit",
        "insufficient funds",
        "credit balance",
        "payment required",
        "billing_hard_limit",
        "billing_not_active",
    ];
    let plan = "check your plan and billing details";
    let passes = [
        "resource_exhausted",
        "ai.google.dev",
        "free_tier",
        "retrydelay",
        "retry in",
        "try again in",
    ];
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    has(&gone) || (said.contains(plan) && !has(&passes))
}

/// Whether `number` stands in a text by itself, not in a longer one nor behind a host's colon.
fn has_number(said: &str, number: &str) -> bool {
    said.match_indices(number).any(|(at, _)| {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let before = &said[..at];
        // The port of a host.
        let host = before.strip_suffix(':').is_some_and(|host| host.ends_with(joins));
        let after = said[at + number.len()..].chars().next();
        !host && !before.ends_with(joins) && !after.is_some_and(|c| c.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_means_one_thing_whoever_tells_it() {
        for (said, meant) in [
            // As the CLIs print it.
            (
                "Quota exceeded. Check your plan and billing details.",
                Trouble::Credit,
            ),
            ("Credit balance is too low", Trouble::Credit),
            ("API Error: 402 Insufficient Balance.", Trouble::Credit),
            (
                "unexpected status 402 Payment Required: Insufficient Balance., url: http://127.0.0.1:33464/v1/responses",
                Trouble::Credit,
            ),
            (
                "You exceeded your current quota, please check your plan and billing details. insufficient_quota",
                Trouble::Credit,
            ),
            (
                r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}"#,
                Trouble::Limit,
            ),
            (
                "unexpected status 403 Forbidden: Your organization has disabled this model., url: http://127.0.0.1:32089/v1/responses",
                Trouble::Auth,
            ),
            (
                "Failed to authenticate. API Error: 403 Your organization has disabled this model.",
                Trouble::Auth,
            ),
            (
                "Codex ran out of room in the model's context window. Start a new thread or clear earlier history before retrying.",
                Trouble::Full,
            ),
            (
                "Prompt is too long · the request is ~219898 tokens",
                Trouble::Full,
            ),
            (
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                Trouble::Full,
            ),
            (
                "Your input exceeds the context window of this model. Please adjust your input and try again.",
                Trouble::Full,
            ),
            (
                "You’ve hit your usage limit. Upgrade to Pro or try again at 2:38 AM.",
                Trouble::Limit,
            ),
            (
                "exceeded retry limit, last status: 429 Too Many Requests",
                Trouble::Limit,
            ),
            (
                "waiting for network (Connection failed: error sending request)",
                Trouble::Network,
            ),
            (
                "exception TypeError: fetch failed sending request",
                Trouble::Network,
            ),
            (
                "unexpected status 503 Service Unavailable, url: http://127.0.0.1:401/v1",
                Trouble::Network,
            ),
            ("[API Error: terminated]", Trouble::Network),
            (
                "stream disconnected before completion: Incomplete response returned, reason: content_filter",
                Trouble::Other,
            ),
            // Numbers that are part of others say nothing.
            ("wrote 4290 lines to 127.0.0.1:401", Trouble::Other),
            ("expected 1500 tokens", Trouble::Other),
        ] {
            assert_eq!(trouble(said), meant, "{said}");
        }
        for (status, meant) in [
            (401, Trouble::Auth),
            (402, Trouble::Credit),
            (403, Trouble::Auth),
            (429, Trouble::Limit),
            (500, Trouble::Network),
            (529, Trouble::Network),
            (400, Trouble::Other),
        ] {
            assert_eq!(sort(Some(status), "no"), meant, "{status}");
        }
        assert_eq!(sort(Some(429), "insufficient_quota"), Trouble::Credit);
        assert_eq!(sort(Some(400), "Your credit balance is too low"), Trouble::Credit);
    }
}
