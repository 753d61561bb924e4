//! `save` and `load`: an experiment as one file, a compressed tar archive with what it was saved from as its first entry. Archives
//! of NNI are loaded by `load_nni`.
//!
//! What belongs to a running manager (lock, socket, tokens) stays out; links are followed, so that the file is whole by itself.

use super::load_nni;
use crate::{
    cli::{Load, Save},
    environment::Environment,
    exit::Exit,
    load::{Failure, Loaded},
    locate::{self, Place, registry},
    nni_archive,
    output::Output,
    session,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    sync::Arc,
};
use ts_codedir::UnpackLimits;
use ts_core::{CodeDirectory, Error, ErrorKind, ExperimentId, Result, SystemClock};
use ts_manager::{
    ExperimentDirectory,
    store::{Change, Store, TrialFilter},
};

const LABEL: &str = "archive.json";
const EXPERIMENT: &str = "experiment";
const CODE: &str = "code.tar";
const FORMAT: u32 = 1;
/// Where saved code goes in the experiment's directory, unless another place is named.
pub(super) const CODE_DIRECTORY: &str = "code";
/// Files of a manager that runs.
const OF_MANAGER: [&str; 4] = ["manager.lock", "control.sock", "rest.json", "rest.token"];

/// The first entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    format: u32,
    id: ExperimentId,
    directory: PathBuf,
    code_directory: Option<PathBuf>,
}

/// Writes an experiment into a file.
pub(crate) fn save(environment: &Environment, output: &Output, args: &Save) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let row = place.reader()?.experiment()?;
    let _lock = place.directory.lock()?;
    let code = if args.code {
        let loaded = Loaded::from_store(&row)?;
        Some(loaded.config.code)
    } else {
        None
    };
    let file = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.tar.gz", place.id)));
    let written = write(&file, &place, code.as_ref());
    written.inspect_err(|error| {
        if error.kind() != ErrorKind::Conflict {
            // Half an archive helps nobody; the error is what counts.
            let _ = std::fs::remove_file(&file);
        }
    })?;
    let document = json!({ "experiment": { "id": place.id }, "file": file });
    output.data(&document, || format!("{}\n", file.display()))?;
    if let Some(code) = code {
        output.say(format_args!("with the code of `{}`", code.path.display()));
    }
    Ok(Exit::Success)
}

fn write(path: &Path, place: &Place, code: Option<&CodeDirectory>) -> Result<()> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => Error::new(ErrorKind::Conflict, format!("`{}` exists already", path.display()))
            .with_help("name another file by `--output`"),
        _ => Error::io("write", path, e),
    };
    let mut options = File::options();
    options.write(true).create_new(true);
    // Configurations of imported experiments may hold secrets.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(failed)?;
    let mut archive = tar::Builder::new(GzEncoder::new(io::BufWriter::new(file), Compression::default()));
    let label = Label {
        format: FORMAT,
        id: place.id.clone(),
        directory: place.directory.path().to_owned(),
        code_directory: code.map(|code| code.path.clone()),
    };
    append(&mut archive, LABEL, json!(label).to_string().as_bytes()).map_err(failed)?;
    append_tree(&mut archive, place.directory.path(), Path::new(EXPERIMENT))?;
    if let Some(code) = code {
        let mut packed = Vec::new();
        ts_codedir::pack(&ts_codedir::scan(code)?, ts_codedir::Compression::None, &mut packed)?;
        append(&mut archive, CODE, &packed).map_err(failed)?;
    }
    let finish = || archive.into_inner()?.finish()?.into_inner()?.sync_all();
    finish().map_err(failed)
}

fn append<W: Write>(archive: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, bytes)
}

fn append_tree<W: Write>(archive: &mut tar::Builder<W>, directory: &Path, name: &Path) -> Result<()> {
    let failed = |e| Error::io("read", directory, e);
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()
        .map_err(failed)?;
    paths.sort();
    for path in paths {
        let Some(own) = path.file_name() else { continue };
        // A link whose file is gone, a socket: there is nothing to keep.
        let Ok(metadata) = std::fs::metadata(&path) else {
            continue;
        };
        let is_link = path.is_symlink();
        if metadata.is_dir() && !is_link {
            append_tree(archive, &path, &name.join(own))?;
        } else if metadata.is_file() && !OF_MANAGER.iter().any(|skipped| own == *skipped) {
            let appended = archive.append_path_with_name(&path, name.join(own));
            appended.map_err(|e| Error::io("save", &path, e))?;
        }
    }
    Ok(())
}

/// Brings an experiment back from a file.
pub(crate) fn load(environment: &Environment, output: &Output, args: &Load) -> Result<Exit, Failure> {
    let parent = match (&args.to, environment.default_working_dir()) {
        (Some(path), _) => environment.absolute(path),
        (None, Some(path)) => path,
        (None, None) => {
            let error = Error::new(ErrorKind::Config, "the home directory is not known");
            return Err(error.with_help("name a directory by `--to`").into());
        }
    };
    if is_zip(&args.file)? {
        return load_nni::load(environment, output, args, &parent);
    }
    if args.search_space.is_some() {
        let error = Error::new(
            ErrorKind::Unsupported,
            "an experiment of `tsctl save` keeps its search space",
        );
        return Err(error
            .with_help("leave out `--search-space`; `tsctl update searchspace` changes it while the experiment runs")
            .into());
    }
    let mut loading = Loading {
        environment,
        args,
        parent: &parent,
        directory: None,
        code: None,
    };
    let label = loading.run().inspect_err(|_| {
        if let Some(directory) = &loading.directory {
            // What was begun goes; the error is what counts.
            let _ = std::fs::remove_dir_all(directory.path());
        }
    })?;
    let directory = ExperimentDirectory::new(&parent, &label.id);
    registry(environment)?.add(&label.id, directory.path())?;
    let document = json!({ "experiment": { "id": label.id, "directory": directory.path() }, "code": loading.code });
    output.data(&document, || format!("{}\n", label.id))?;
    output.say(format_args!("the experiment is in `{}`", directory.path().display()));
    match (&loading.code, &label.code_directory) {
        (Some(code), Some(original)) if code != original => output.say(format_args!(
            "its code is in `{}`; `tsctl resume` looks for it in `{}`: move it there, or make a link",
            code.display(),
            original.display()
        )),
        (Some(code), _) => output.say(format_args!("its code is in `{}`", code.display())),
        (None, Some(original)) => output.say(format_args!("its code is left as it is in `{}`", original.display())),
        (None, None) => {}
    }
    Ok(Exit::Success)
}

/// Whether it is an archive of NNI, whatever its name.
fn is_zip(file: &Path) -> Result<bool> {
    let mut magic = Vec::new();
    let opened = File::open(file).map_err(|e| Error::io("read", file, e))?;
    let read = opened.take(nni_archive::MAGIC.len() as u64).read_to_end(&mut magic);
    read.map_err(|e| Error::io("read", file, e))?;
    Ok(magic == nni_archive::MAGIC)
}

struct Loading<'a> {
    environment: &'a Environment,
    args: &'a Load,
    parent: &'a Path,
    /// Once it is made.
    directory: Option<ExperimentDirectory>,
    /// Where the code went.
    code: Option<PathBuf>,
}

impl Loading<'_> {
    fn run(&mut self) -> Result<Label> {
        let file = &self.args.file;
        let opened = File::open(file).map_err(|e| Error::io("read", file, e))?;
        let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(opened)));
        let mut label: Option<Label> = None;
        for entry in archive.entries().map_err(|e| self.damaged(e))? {
            let mut entry = entry.map_err(|e| self.damaged(e))?;
            let path = entry.path().map_err(|e| self.damaged(e))?.into_owned();
            match &label {
                None if path == Path::new(LABEL) => {
                    let read: Label = serde_json::from_reader(&mut entry).map_err(|e| self.damaged(e))?;
                    self.begin(&read)?;
                    label = Some(read);
                }
                None => return Err(self.damaged("it is no file of `tsctl save`")),
                Some(label) if path == Path::new(CODE) => self.unpack_code(label, &mut entry)?,
                Some(_) => self.unpack(&path, &mut entry)?,
            }
        }
        let label = label.ok_or_else(|| self.damaged("it is empty"))?;
        self.move_urls(&label)?;
        Ok(label)
    }

    fn damaged(&self, cause: impl std::fmt::Display) -> Error {
        let message = format!("`{}` cannot be loaded: {cause}", self.args.file.display());
        Error::new(ErrorKind::Io, message).with_help("name a whole file of `tsctl save` or of `nnictl experiment save`")
    }

    /// Refuses what is there already, and makes the directory.
    fn begin(&mut self, label: &Label) -> Result<()> {
        if label.format != FORMAT {
            return Err(self.damaged("a newer release wrote it"));
        }
        let directory = ExperimentDirectory::new(self.parent, &label.id);
        let known = locate::all(self.environment)?;
        let is_known = known.iter().any(|place| place.id == label.id && place.exists());
        if is_known || directory.path().exists() {
            return Err(
                Error::new(ErrorKind::Conflict, format!("experiment {} is there already", label.id)).with_help(
                    format!("`tsctl gc {} --yes` removes it, so that it can be loaded", label.id),
                ),
            );
        }
        directory.create()?;
        self.directory = Some(directory);
        Ok(())
    }

    /// A file of the experiment's directory; nothing else, and nowhere else.
    fn unpack(&self, path: &Path, entry: &mut impl Read) -> Result<()> {
        let own = path.strip_prefix(EXPERIMENT).ok();
        let own = own.filter(|own| own.components().all(|part| matches!(part, Component::Normal(_))));
        let (Some(own), Some(directory)) = (own, &self.directory) else {
            return Err(self.damaged(format!("it holds `{}`", path.display())));
        };
        let target = directory.path().join(own);
        let write = || {
            std::fs::create_dir_all(target.parent().unwrap_or(directory.path()))?;
            let mut options = File::options();
            options.write(true).create_new(true);
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            io::copy(entry, &mut options.open(&target)?)
        };
        let mut write = write;
        write().map(|_| ()).map_err(|e| Error::io("write", &target, e))
    }

    fn unpack_code(&mut self, label: &Label, entry: &mut impl Read) -> Result<()> {
        let target = match (&self.args.code, &label.code_directory, &self.directory) {
            (Some(path), ..) => self.environment.absolute(path),
            (None, Some(original), _) if original.exists() => return Ok(()),
            // Only whoever loads it says what else of this machine is written to, never the file.
            (None, _, Some(directory)) => directory.path().join(CODE_DIRECTORY),
            (None, _, None) => return Ok(()),
        };
        if self.args.code.is_none() && target.exists() {
            // It was there already when the experiment was saved.
            self.code = Some(target);
            return Ok(());
        }
        ts_codedir::unpack(entry, &target, UnpackLimits::new(u64::MAX, u64::MAX))?;
        self.code = Some(target);
        Ok(())
    }

    /// Files of trials are elsewhere than they were.
    fn move_urls(&self, label: &Label) -> Result<()> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        let (old, new) = (
            label.directory.display().to_string(),
            directory.path().display().to_string(),
        );
        let store = Store::open(&directory.store(), Arc::new(SystemClock::new()))?;
        let rows = store.reader()?.trials(&TrialFilter::all())?;
        let moved = rows.into_iter().filter_map(|row| {
            // NNI writes a colon behind the host.
            let path = row
                .url
                .as_deref()?
                .strip_prefix("file://localhost")?
                .trim_start_matches(':');
            let rest = path.strip_prefix(&old)?.strip_prefix('/')?;
            Some(Change::TrialSubmitted {
                at: row.submitted_at.unwrap_or(row.created_at),
                url: format!("file://localhost{new}/{rest}"),
                trial: row.spec.id,
            })
        });
        let moved: Vec<Change> = moved.filter(|_| old != new).collect();
        session::runtime()?.block_on(store.apply(moved))?;
        Ok(())
    }
}
