//! Prints what is generated from the configuration's table of keys: `reference` the documentation, `reference schema` the
//! JSON Schema for editors.
#![expect(clippy::disallowed_macros, reason = "its purpose is to print")]

use ts_core::config::reference;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("schema") {
        println!("{:#}", reference::json_schema());
    } else {
        print!("{}", reference::markdown());
    }
}
