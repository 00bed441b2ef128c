//! Refusals in each provider's own words: status and body, by the path that was asked.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// What is refused, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Refusal {
    /// The plan's limit, which ends in two hours.
    UsageLimit,
    /// No money is left.
    NoCredit,
    /// The account may not do this.
    Forbidden,
    /// The session has no room left.
    Full,
}

const RESET: u64 = 7200;

impl Refusal {
    pub(super) fn answer(self, path: &str) -> (u16, Value) {
        let google = path.contains(":generateContent") || path.contains(":streamGenerateContent");
        let anthropic = path.contains("/messages");
        match self {
            Self::UsageLimit if google => (429, quota()),
            Self::UsageLimit if anthropic => {
                // Of a wait as long as this the client tells the provider's words at once.
                let words = format!("Claude AI usage limit reached|{}", reset());
                let mut told = error(429, "rate_limit_error", &words);
                told["retry_after"] = RESET.into();
                (429, told)
            }
            Self::UsageLimit => (429, usage_limit()),
            Self::NoCredit if google => (402, error(402, "PERMISSION_DENIED", "Insufficient Balance.")),
            Self::NoCredit if anthropic => (
                400,
                error(
                    400,
                    "invalid_request_error",
                    "Your credit balance is too low to access the Anthropic API.",
                ),
            ),
            Self::NoCredit => (
                429,
                error(
                    429,
                    "insufficient_quota",
                    "You exceeded your current quota, please check your plan and billing details.",
                ),
            ),
            Self::Forbidden if google => (
                403,
                error(
                    403,
                    "PERMISSION_DENIED",
                    "Your organization has disabled this model.",
                ),
            ),
            Self::Forbidden => (
                403,
                error(
                    403,
                    "permission_error",
                    "Your organization has disabled this model.",
                ),
            ),
            Self::Full if google => (
                400,
                error(
                    400,
                    "INVALID_ARGUMENT",
                    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                ),
            ),
            Self::Full if anthropic => (
                400,
                error(
                    400,
                    "invalid_request_error",
                    "prompt is too long: 219898 tokens > 200000 maximum",
                ),
            ),
            Self::Full => (
                400,
                error(
                    400,
                    "context_length_exceeded",
                    "Your input exceeds the context window of this model. Please adjust your input and try again.",
                ),
            ),
        }
    }
}

/// One document that every client finds its own fields in.
fn error(code: u16, kind: &str, message: &str) -> Value {
    let google = json!({"error": {"code": code, "message": message, "status": kind}});
    let others = json!({"type": "error", "error": {"code": kind, "type": kind, "message": message}});
    if kind.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
        google
    } else {
        others
    }
}

/// When the plan's limit ends, in seconds since the epoch.
fn reset() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + RESET
}

fn usage_limit() -> Value {
    json!({"type": "error", "error": {"type": "usage_limit_reached", "message": "The usage limit has been reached",
        "plan_type": "plus", "resets_at": reset(), "resets_in_seconds": RESET}})
}

fn quota() -> Value {
    json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You have exhausted your capacity on this model. Your quota will reset after 2h0m0s.",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED",
            "domain": "cloudcode-pa.googleapis.com", "metadata": {"quotaResetDelay": "7200s"}},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7200s"}]}})
}
