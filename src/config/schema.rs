//! The document's JSON schema.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, generate::Contract};
use serde_json::Value;

use super::raw::Document;

/// The JSON schema (draft 2020-12) of the document: what `weft schema` prints, for editors and other checkers.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12().with(|s| s.contract = Contract::Deserialize);
        let mut schema = settings.with_transform(NoNull).into_generator().into_root_schema_for::<Document>();
        schema.insert("title".to_owned(), "Weft fabric".into());
        schema.to_value()
    });
    &SCHEMA
}

/// A key that may be left out is left out; it is not given null. Rust's `Option` allows both.
#[derive(Clone, Debug)]
struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                schema.remove("anyOf");
                for (key, value) in only {
                    // The field's own description says more than its type's.
                    if schema.get(&key).is_none() {
                        schema.insert(key, value);
                    }
                }
            }
        }
        transform_subschemas(self, schema);
    }
}
