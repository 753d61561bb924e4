//! `config`: a configuration as it is understood, the schema for editors, the reference of all keys.

use crate::{
    cli::{Config, ConfigWhat},
    environment::Environment,
    exit::Exit,
    load::{Failure, Loaded},
    output::Output,
    render::table,
};
use serde_json::json;
use ts_core::{Error, ErrorKind, config::reference};

/// Shows a configuration, or what configurations may hold.
pub(crate) fn config(environment: &Environment, output: &Output, args: &Config) -> Result<Exit, Failure> {
    match (&args.what, &args.file) {
        (Some(ConfigWhat::Schema), _) => {
            let schema = serde_json::to_string_pretty(&reference::json_schema())
                .map_err(|e| Error::new(ErrorKind::Internal, "the schema cannot be written as JSON").with_source(e))?;
            output.line(schema)?;
        }
        (Some(ConfigWhat::Reference), _) => output.raw(reference::markdown().as_bytes())?,
        (None, Some(file)) => {
            let loaded = Loaded::from_file(environment, file)?;
            for warning in &loaded.warnings {
                output.warning(warning);
            }
            let values = loaded.resolved.values();
            output.data(&json!({ "file": file, "values": values }), || {
                let rows = values
                    .iter()
                    .map(|value| vec![value.key.clone(), value.value.to_string(), value.origin.to_string()]);
                table::table(&["KEY", "VALUE", "FROM"], rows)
            })?;
        }
        (None, None) => return Err(Error::new(ErrorKind::Config, "no file was named").into()),
    }
    Ok(Exit::Success)
}
