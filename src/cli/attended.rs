//! `KHLONE_DAEMON=never`: no process stays when the command is over, as containers and CI want it. The daemon that the
//! command starts leaves with it, and so what would be queued in the background is followed to its end.

use std::path::{Path, PathBuf};

use super::error::CliError;
use crate::{
    daemon::{Attendance, DaemonError, Place},
    render::Out,
};

/// The variable that says whether a daemon may stay.
pub(super) const VARIABLE: &str = "KHLONE_DAEMON";

/// Whether no process may stay when the command is over.
pub(super) fn leaves_nothing() -> Result<bool, CliError> {
    let said = std::env::var_os(VARIABLE).unwrap_or_default();
    match said.to_str() {
        Some("" | "auto") => Ok(false),
        Some("never") => Ok(true),
        _ => {
            let said = said.to_string_lossy();
            Err(CliError::usage(
                format!("invalid {VARIABLE} `{said}`: expected `auto` or `never`"),
                format!("export {VARIABLE}=never    # or: unset {VARIABLE}"),
            ))
        }
    }
}

/// How a command uses the daemon of a site.
pub(super) struct DaemonUse {
    common: PathBuf,
    /// Where no daemon may stay: what keeps it meanwhile.
    attendance: Option<Attendance>,
    out: Out,
}

impl DaemonUse {
    /// As the environment says it, for the site of this common git folder.
    pub(super) fn of(common: &Path, out: Out) -> Result<Self, CliError> {
        let attendance = leaves_nothing()?.then(Attendance::default);
        Ok(Self {
            common: common.to_owned(),
            attendance,
            out,
        })
    }

    /// Whether nothing may stay when the command is over.
    pub(super) fn leaves_nothing(&self) -> bool {
        self.attendance.is_some()
    }

    /// Tells, also later, whether what runs is stopped with this command: not where it found a daemon that stays.
    pub(super) fn stops(&self) -> impl Fn() -> bool + Send + use<> {
        let attendance = self.attendance.clone();
        move || attendance.as_ref().is_some_and(Attendance::is_keeping)
    }

    /// Where the daemon is found, and started.
    pub(super) fn place(&self) -> Result<Place, DaemonError> {
        let place = Place::new(&self.common)?;
        Ok(match &self.attendance {
            Some(attendance) => place.attended(attendance.clone()),
            None => place,
        })
    }
}

impl Drop for DaemonUse {
    fn drop(&mut self) {
        let Some(attendance) = &self.attendance else {
            return;
        };
        if let Err(error) = self.place().and_then(|place| attendance.end(&place)) {
            self.out.note(&format!(
                "warning: the daemon of this command is still there: {error}"
            ));
        }
    }
}
