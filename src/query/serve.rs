//! The daemon's side: a method and its parameters to the document that answers it.

use std::path::Path;

use serde_json::Value;

use super::{Damage, Diff, Document, Env, Ground, List, Log, Naming, Query, QueryError, Show, Status};
use crate::{
    config::Paths,
    daemon::{Code, RpcError},
    process::machine_id,
    refs::{Repo, Site},
};

/// Every question, by its method.
macro_rules! by_method {
    ($method:expr, $common:expr, $params:expr; $($query:ty),+) => {
        match $method {
            $(<$query>::METHOD => Some(answer::<$query>($common, $params)),)+
            _ => None,
        }
    };
}

/// Answers `method` about the site at `common`, from a repository that is opened for it: nothing stays open, and what
/// another thread does with its own is not seen. `None` if it is no question.
pub fn serve(common: &Path, method: &str, params: Value) -> Option<Result<String, RpcError>> {
    by_method!(method, common, params; Damage, Diff, Env, List, Log, Naming, Show, Status)
}

fn answer<Q: Query>(common: &Path, params: Value) -> Result<String, RpcError> {
    let query: Q =
        serde_json::from_value(params).map_err(|error| RpcError::new(Code::Params, error.to_string()))?;
    let document = read(common, &query).map_err(|error| error.to_rpc())?;
    serde_json::to_string(&document).map_err(|error| RpcError::new(Code::Internal, error.to_string()))
}

fn read<Q: Query>(common: &Path, query: &Q) -> Result<Document<Q::Answer>, QueryError> {
    let repo = Repo::open(common)?;
    let site = Site::open(&repo, &machine_id())?;
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    let answer = query.answer(&Ground::new(&repo, &site, &paths))?;
    Ok(Document::of(answer))
}
