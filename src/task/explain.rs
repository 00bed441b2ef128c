//! What an error means to the caller: its class, which is also the exit code, and the next step.

/// The class of a result, one to one with the process exit code.
///
/// The table is part of the interface (`git khlone --help`, `docs/errors.md`); JSON-RPC codes map onto it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Class {
    /// The work was tried and failed.
    Failed = 1,
    /// The words of the command are wrong.
    Usage = 2,
    /// The named thing does not exist.
    NotFound = 3,
    /// Not now or not so: a limit, missing trust, a busy clone, a dirty tree, a conflict.
    Refused = 4,
    /// The brain is missing, signed out or broken.
    Brain = 5,
    /// Cancelled by someone.
    Cancelled = 6,
    /// A time limit ran out.
    Timeout = 7,
    /// A bug of git-khlone.
    Bug = 70,
    /// Interrupted from the keyboard.
    Interrupted = 130,
}

impl Class {
    /// Every class, by exit code.
    pub const ALL: [Self; 9] = [
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Refused,
        Self::Brain,
        Self::Cancelled,
        Self::Timeout,
        Self::Bug,
        Self::Interrupted,
    ];

    /// What it tells the caller, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Failed => "The work was tried and failed.",
            Self::Usage => "The words of the command, or a config file, are wrong.",
            Self::NotFound => "The named thing does not exist.",
            Self::Refused => {
                "Not now or not so: a limit, missing trust, a busy clone, a dirty tree, a conflict."
            }
            Self::Brain => "The brain is missing, not signed in, or broken.",
            Self::Cancelled => "Someone cancelled the task.",
            Self::Timeout => "A time limit ran out.",
            Self::Bug => "A bug of git-khlone.",
            Self::Interrupted => "Interrupted from the keyboard.",
        }
    }

    /// The process exit code.
    pub const fn exit_code(self) -> u8 {
        self as u8
    }
}

/// How an error explains itself at the edge. Every error type of the crate has it next to its
/// definition, by [`explain!`], so that no list of all errors exists anywhere.
pub trait Explain: std::error::Error {
    /// Which exit code it ends in, and the next step: one command to paste, and behind `#` what else there is to say.
    fn explain(&self) -> (Class, Option<String>);

    /// Which exit code it ends in.
    fn class(&self) -> Class {
        self.explain().0
    }

    /// The next step.
    fn hint(&self) -> Option<String> {
        self.explain().1
    }
}

/// What an arm of [`explain!`] may give as its next step.
pub struct Hint(pub(crate) Option<String>);

impl From<&str> for Hint {
    fn from(hint: &str) -> Self {
        Self(Some(hint.to_owned()))
    }
}

impl From<String> for Hint {
    fn from(hint: String) -> Self {
        Self(Some(hint))
    }
}

impl From<Option<String>> for Hint {
    fn from(hint: Option<String>) -> Self {
        Self(hint)
    }
}

/// Implements [`Explain`]: what is `transparent` says what its source says (`Variant.field` where the source is a
/// field among others); the other variants stand below their class, each with its next step if it has one. What has an
/// arm of its own for some values may be `transparent` for the rest. A variant that is left out does not compile.
///
/// ```text
/// explain!(HomeError: Usage, "export HOME=/home/you");
///
/// explain! {
///     CommandError {
///         transparent { Ledger, Process }
///         Refused {
///             Busy(task) => format!("git khlone show {task}"),
///             Changed | Elsewhere { .. } => "git khlone status",
///         }
///         Failed { Git, Io }
///     }
/// }
/// ```
macro_rules! explain {
    (@source $error:ident, $variant:ident) => { Self::$variant($error) };
    (@source $error:ident, $variant:ident $field:ident) => { Self::$variant { $field: $error, .. } };
    (@pattern $variant:ident) => { Self::$variant { .. } };
    (@pattern $variant:ident $fields:tt) => { Self::$variant $fields };
    (@hint) => { None };
    (@hint $hint:expr) => { $crate::task::Hint::from($hint).0 };
    (@variants $error:ty, [$($forward:ident $(.$source:ident)?),*]
        $($class:ident { $(
            $($variant:ident $(( $($tuple:tt)* ))? $({ $($named:tt)* })?)|+
            $(if $guard:expr)? $(=> $hint:expr)?
        ),* $(,)? })*
    ) => {
        impl $crate::task::Explain for $error {
            fn explain(&self) -> ($crate::task::Class, Option<String>) {
                match self {
                    $($(
                        $($crate::task::explain!(@pattern $variant $(( $($tuple)* ))? $({ $($named)* })?))|+
                        $(if $guard)? => (
                            $crate::task::Class::$class,
                            $crate::task::explain!(@hint $($hint)?),
                        ),
                    )*)*
                    $($crate::task::explain!(@source error, $forward $($source)?) => {
                        $crate::task::Explain::explain(error)
                    })*
                }
            }
        }
    };
    ($error:ty { transparent { $($forward:ident $(.$source:ident)?),+ $(,)? } $($classes:tt)* }) => {
        $crate::task::explain!(@variants $error, [$($forward $(.$source)?),+] $($classes)*);
    };
    ($error:ty { $($classes:tt)* }) => {
        $crate::task::explain!(@variants $error, [] $($classes)*);
    };
    ($error:ty: $class:ident $(, $hint:expr)?) => {
        impl $crate::task::Explain for $error {
            fn explain(&self) -> ($crate::task::Class, Option<String>) {
                ($crate::task::Class::$class, $crate::task::explain!(@hint $($hint)?))
            }
        }
    };
}
pub(crate) use explain;
