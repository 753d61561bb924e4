//! The generated documents in `docs/` are what the table of keys says.

use std::path::Path;
use ts_core::config::reference;

fn assert_same(name: &str, generated: &str, command: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    // A packed crate has no documents beside it.
    let Ok(written) = std::fs::read_to_string(&path) else {
        return;
    };
    assert!(
        written.trim_end() == generated.trim_end(),
        "docs/{name} is out of date; write it again: {command} > docs/{name}"
    );
}

#[test]
fn the_configuration_reference_is_up_to_date() {
    assert_same(
        "configuration.md",
        &reference::markdown(),
        "cargo run -q -p ts-core --example reference",
    );
}

#[test]
fn the_json_schema_is_up_to_date() {
    let schema = format!("{:#}", reference::json_schema());
    assert_same(
        "configuration.schema.json",
        &schema,
        "cargo run -q -p ts-core --example reference schema",
    );
}
