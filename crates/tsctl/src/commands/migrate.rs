//! `migrate`: a configuration in schema 2, to standard output, to a file, or as the difference.

use crate::{
    cli::Migrate,
    environment::Environment,
    exit::Exit,
    load::{Failure, read_text},
    output::Output,
    platforms::PLATFORMS,
    render::diff::unified,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use ts_core::{
    Error, ErrorKind, Result,
    config::{ConfigSource, Migrated, Note, Schema, masked},
};

/// Migrates a configuration.
pub(crate) fn migrate(environment: &Environment, output: &Output, args: &Migrate) -> Result<Exit, Failure> {
    let text = read_text(&args.file)?;
    let base_dir = directory_of(&environment.absolute(&args.file))?;
    let source = ConfigSource {
        file: args.file.clone(),
        base_dir,
        home: environment.home.clone(),
    };
    let new_dir = match &args.output {
        Some(path) => {
            refuse_existing(path)?;
            Some(directory_of(&environment.absolute(path))?)
        }
        None => None,
    };
    let migrated =
        ts_core::config::migrate(&text, &source, PLATFORMS, new_dir.as_deref()).map_err(Failure::Configuration)?;
    let is_same = migrated.text == text;
    let written = match (&args.output, args.in_place) {
        (Some(path), _) => Some(path.as_path()),
        (None, true) if !is_same => Some(args.file.as_path()),
        _ => None,
    };
    if let Some(path) = written {
        write(path, &args.file, &migrated.text)?;
    }
    show(output, args, &text, &migrated, written)?;
    Ok(Exit::Success)
}

fn show(output: &Output, args: &Migrate, old: &str, migrated: &Migrated, written: Option<&Path>) -> Result<()> {
    let name = args.file.display().to_string();
    let diff = args.diff.then(|| {
        let new_name = match &args.output {
            Some(path) => path.display().to_string(),
            None => format!("{name} (schema 2)"),
        };
        let (old, new) = (
            masked(old, &migrated.old_secrets),
            masked(&migrated.text, &migrated.new_secrets),
        );
        unified((&name, &old), (&new_name, &new))
    });
    let is_text_wanted = diff.is_none() && !args.in_place && args.output.is_none();
    let from = match migrated.from {
        Schema::V1 => 1,
        Schema::V2 => 2,
    };
    let document = json!({
        "file": args.file,
        "schema": from,
        "changed": migrated.text != old,
        "written": written,
        "notes": migrated.notes,
        "diff": diff,
        "text": is_text_wanted.then_some(&migrated.text),
    });
    output.data(&document, || match &diff {
        Some(diff) => diff.clone(),
        None if is_text_wanted => migrated.text.clone(),
        None => String::new(),
    })?;
    if output.json {
        return Ok(());
    }
    if migrated.from == Schema::V2 {
        let state = if migrated.notes.is_empty() {
            "nothing to mend"
        } else {
            "old spellings are mended"
        };
        output.say(format_args!("{name} is already schema 2: {state}"));
    }
    for note in &migrated.notes {
        output.say(line(&name, note));
    }
    if let Some(path) = written {
        output.say(format_args!("written to {}", path.display()));
    }
    Ok(())
}

fn line(file: &str, note: &Note) -> String {
    let place = match note.line {
        0 => file.to_owned(),
        line => format!("{file}:{line}"),
    };
    let key = match note.key.as_str() {
        "" => String::new(),
        key => format!("`{key}`: "),
    };
    let help = note.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("note: {place}: {key}{}{help}", note.message)
}

/// The directory of a file, without links and dots, so that two of them can be compared.
fn directory_of(file: &Path) -> Result<PathBuf> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    std::fs::canonicalize(directory).map_err(|e| Error::io("find the directory", directory, e))
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let message = format!("`{}` exists already", path.display());
    Err(Error::new(ErrorKind::Conflict, message)
        .with_help("name another file, or replace the old one with `--in-place`"))
}

/// Writes the file at once or not at all, as readable as the old one is: it holds the same secrets.
fn write(path: &Path, like: &Path, text: &str) -> Result<()> {
    // A link stays a link.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::metadata(like).and_then(|old| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.set_permissions(old.permissions())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &target)
    });
    written.map_err(|e| {
        // What is unfinished helps nobody; if it cannot be removed, the error below says enough.
        let _ = std::fs::remove_file(&unfinished);
        Error::io("write", path, e)
    })
}
