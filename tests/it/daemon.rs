//! The daemon as its callers meet it: the real binary, real sockets, real kills.

mod attended;
mod boot;
mod changes;
mod clock;
mod faults;
mod folders;
mod havoc;
mod kills;
mod limits;
mod long_days;
mod methods;
mod retention;
pub(crate) mod site;
mod starts;
