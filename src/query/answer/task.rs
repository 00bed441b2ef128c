//! One task, whole.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Map, Value};

use crate::task::{Effects, FORMAT, Task};

/// A task's document, in which its id has the name that it has in every answer.
#[derive(Debug)]
pub struct TaskDocument(pub Task);

impl Serialize for TaskDocument {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut document = serde_json::to_value(&self.0).map_err(S::Error::custom)?;
        if let Some(fields) = document.as_object_mut() {
            fields.shift_remove("format");
            let id = fields.shift_remove("id").unwrap_or_default();
            fields.shift_insert(0, "task".to_owned(), id);
        }
        document.serialize(to)
    }
}

impl<'de> Deserialize<'de> for TaskDocument {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(from)?;
        let id = fields.shift_remove("task").unwrap_or_default();
        fields.insert("id".to_owned(), id);
        fields.entry("format").or_insert(FORMAT.into());
        let task = serde_json::from_value(Value::Object(fields)).map_err(D::Error::custom)?;
        Ok(Self(task))
    }
}

impl JsonSchema for TaskDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TaskDocument".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Task::json_schema(generator);
        if let Some(fields) = schema
            .get_mut("properties")
            .and_then(|fields| fields.as_object_mut())
        {
            fields.shift_remove("format");
            let id = fields.shift_remove("id").unwrap_or_default();
            fields.shift_insert(0, "task".to_owned(), id);
        }
        if let Some(required) = schema.get_mut("required").and_then(|names| names.as_array_mut()) {
            required.retain(|name| name != "format");
            for name in required {
                if name == "id" {
                    *name = "task".into();
                }
            }
        }
        schema
    }
}

/// One task, whole.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskDetail {
    /// All that its document in git has.
    #[serde(flatten)]
    pub task: TaskDocument,
    /// What was asked.
    pub prompt: String,
    /// What it answered or says that it did; absent before it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The clone's branch.
    pub clone_branch: String,
    /// The end of what its last attempt wrote to stderr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// What its last attempt changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Effects>")]
    pub effects: Option<Value>,
    /// What the attempts changed that the last one went on with, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Effects>")]
    pub earlier: Vec<Value>,
}
