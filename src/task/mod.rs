//! Tasks, attempts, their states and documents: pure values, no input or output.

mod address;
mod checkpoint;
mod command;
mod document;
mod effects;
mod explain;
mod id;
mod landed;
mod moves;
mod names;
mod need;
mod outcome;
mod question;
mod queue;
mod retry;
mod status;
mod text;
mod until;
mod words;

pub use address::{AddressError, Who, ZoneAddress};
pub use checkpoint::{Checkpoint, OpenTool, Position, ToolEnd};
pub use command::{act_of, of_clone, watch_zone, zone_remove};
pub use document::{
    Attempt, Death, FORMAT, FormatError, How, Import, Mode, Obstacle, Owner, Protection, Task, Transition,
    Usage, parse_versioned,
};
pub use effects::{BranchMove, Change, Effects, FileChange, LeftFile, RefChange};
pub(crate) use explain::explain;
pub use explain::{Class, Explain, Hint};
pub use id::{IdError, TaskId, TaskPrefix};
pub use landed::{Landed, LandedBy, LandingHook, Rewritten, Signer};
pub use moves::{Ending, Move};
pub use names::{BrainName, CloneName, NameError, RoleName, ZoneId};
pub use need::Need;
pub use outcome::{Evidence, Outcome, judge};
pub use question::question;
pub use queue::QueuePosition;
pub use retry::{LONGEST_PAUSE, Retry, pending};
pub use status::{Event, IllegalMove, Status};
pub use until::{FARTHEST, sane_until};
pub use words::{a, few};
