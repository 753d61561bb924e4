//! `load` of an archive that `nnictl experiment save` made: unpacked into a directory of its own, then taken over like any other
//! experiment of NNI.
//!
//! Until the end of it everything that was made is removed again by a failure. Source of what NNI's options mean: nni v2.10
//! `nni/tools/nnictl/nnictl_utils.py`, `load_experiment`, and nni v1.9 `docs/en_US/Tutorial/Nnictl.md`.

use super::{archive::CODE_DIRECTORY, import};
use crate::{
    cli::Load,
    environment::Environment,
    exit::Exit,
    load::Failure,
    locate::registry,
    nni_archive::{CODE, EXPERIMENT, NniArchive},
    nni_params::{self, Moves},
    output::Output,
    undo::Undo,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};
use ts_core::{Error, ErrorKind, ExperimentId, Result, Warning};
use ts_manager::{ExperimentDirectory, nni_folder::NniExperiment};

/// NNI's folder, in the experiment's directory.
const FOLDER: &str = "nni";

/// Brings an experiment back.
pub(super) fn load(environment: &Environment, output: &Output, args: &Load, parent: &Path) -> Result<Exit, Failure> {
    let archive = NniArchive::open(&args.file)?;
    let space_file = args.search_space.as_deref().map(|path| environment.absolute(path));
    refuse_directory(space_file.as_deref())?;
    let id = archive.id()?;
    import::refuse_known(environment, &id)?;
    let directory = ExperimentDirectory::new(parent, &id);
    refuse_existing(&directory)?;

    let mut undo = Undo::default();
    undo.directory(parent)?;
    archive.refuse_without_room(parent)?;
    let (experiment, unpacked) = unpack(&archive, &id, &directory, &mut undo)?;
    let mut warnings = Vec::new();
    let mut moves = Moves {
        code: args.code.as_deref().map(|path| environment.absolute(path)),
        search_space: None,
    };
    let code = code(&archive, &experiment, &directory, &mut moves, &mut undo)?;
    if let Some(file) = space_file {
        moves.search_space = search_space(&archive, &experiment, &file, &mut undo, &mut warnings)?.then_some(file);
    }
    warnings.extend(import::make(environment, &experiment, &directory, &moves)?);
    registry(environment)?.add(&experiment.id, directory.path())?;
    undo.keep();
    drop(unpacked);

    let more = json!({ "from": args.file, "code": code });
    import::tell(output, &experiment, &directory, &warnings, more)?;
    match (&code, nni_params::code_directory(&experiment.params)) {
        (Some(code), _) => output.say(format_args!("its code is in `{}`", code.display())),
        (None, Some(original)) if moves.code.is_none() => output.say(format_args!(
            "it looks for its code in `{}`; `--code DIR` names another place",
            original.display()
        )),
        _ => {}
    }
    Ok(Exit::Success)
}

fn refuse_directory(space_file: Option<&Path>) -> Result<()> {
    match space_file.filter(|path| path.is_dir()) {
        Some(path) => Err(
            Error::new(ErrorKind::Config, format!("`{}` is a directory", path.display()))
                .with_help("`--search-space` (NNI: `--searchSpacePath`) names a file, such as `DIR/search_space.json`"),
        ),
        None => Ok(()),
    }
}

fn refuse_existing(directory: &ExperimentDirectory) -> Result<()> {
    let path = directory.path();
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let help = if ts_manager::nni_folder::database_in(path).exists() {
        "that is an experiment of NNI: `tsctl import` takes it over; `--to` names another directory for this one"
    } else {
        "name another directory by `--to`, or remove this one"
    };
    Err(Error::new(ErrorKind::Conflict, format!("`{}` exists already", path.display())).with_help(help))
}

/// Reads the experiment beside the place where it is to be, and brings it there once it is known to be whole. The second value
/// removes what is left at the first place.
fn unpack(
    archive: &NniArchive,
    id: &ExperimentId,
    directory: &ExperimentDirectory,
    undo: &mut Undo,
) -> Result<(NniExperiment, Undo)> {
    let mut unpacked = Undo::default();
    let name = format!(".load-{id}-{}", std::process::id());
    let scratch = directory.path().with_file_name(name);
    fs::create_dir(&scratch).map_err(|e| Error::io("create", &scratch, e))?;
    unpacked.tree(&scratch);
    let folder = scratch.join(FOLDER);
    // Goes with the tree.
    let mut goes_along = Undo::default();
    archive.unpack(EXPERIMENT, &folder, &mut goes_along)?;
    goes_along.keep();
    let mut experiment = NniExperiment::read(&folder, &scratch)?;
    if experiment.id != *id {
        let message = format!(
            "the archive is of experiment {id}, but its database is of {}",
            experiment.id
        );
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_help("two experiments were mixed: unpack it, and `tsctl import` its folder `experiment`"));
    }
    undo.tree(directory.path());
    directory.create()?;
    experiment.folder = directory.path().join(FOLDER);
    fs::rename(&folder, &experiment.folder).map_err(|e| Error::io("move", &folder, e))?;
    Ok((experiment, unpacked))
}

/// Takes the code out: where it was said, or into the experiment's directory if nothing is where it was. Only whoever loads the
/// archive says what else of this machine is written to, never the archive.
fn code(
    archive: &NniArchive,
    experiment: &NniExperiment,
    directory: &ExperimentDirectory,
    moves: &mut Moves,
    undo: &mut Undo,
) -> Result<Option<PathBuf>> {
    if !archive.holds(CODE) {
        return Ok(None);
    }
    let original = nni_params::code_directory(&experiment.params);
    if moves.code.is_none() && original.is_some_and(|path| path.is_absolute() && path.exists()) {
        return Ok(None);
    }
    let target = moves
        .code
        .get_or_insert_with(|| directory.path().join(CODE_DIRECTORY))
        .clone();
    let in_the_way = archive.in_the_way(CODE, &target)?;
    if let Some(first) = in_the_way.first() {
        let others = match in_the_way.len() - 1 {
            0 => String::new(),
            n => format!(", and {n} more"),
        };
        let message = format!(
            "`{}` is there already and differs from the saved code{others}",
            first.display()
        );
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_help("name a directory for the code that is new or empty by `--code`"));
    }
    archive.unpack(CODE, &target, undo)?;
    Ok(Some(target))
}

/// Writes the search space into a file; `false` if there is none.
fn search_space(
    archive: &NniArchive,
    experiment: &NniExperiment,
    file: &Path,
    undo: &mut Undo,
    warnings: &mut Vec<Warning>,
) -> Result<bool> {
    let Some(own) = nni_params::search_space(&experiment.params) else {
        warnings.push(Warning::new("the experiment has no search space that could be written"));
        return Ok(false);
    };
    // The file as it was written, unless the search space was changed since.
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let saved = archive.search_space()?.filter(|saved| parse(saved) == parse(&own));
    let text = saved.unwrap_or(own);
    match fs::read(file) {
        Ok(there) if there == text.as_bytes() => return Ok(true),
        Ok(_) => {
            let message = format!(
                "`{}` is there already and differs from the search space",
                file.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_help("name a file that does not exist yet by `--search-space`"));
        }
        Err(_) => {}
    }
    undo.directory(file.parent().unwrap_or(Path::new("/")))?;
    let mut opened = undo.file(file, 0o644)?;
    opened
        .write_all(text.as_bytes())
        .map_err(|e| Error::io("write", file, e))?;
    Ok(true)
}
