//! `validate` and `plan`: everything that can be known before an experiment is created. Nothing is left behind.

use crate::{
    cli::File,
    environment::Environment,
    exit::Exit,
    load::{self, Assembly, Failure, Loaded},
    output::Output,
    render::{span, table},
    session,
};
use serde_json::{Value, json};
use std::{fmt::Write, sync::Arc};
use ts_core::{ExperimentId, GpuCount, IdSource, Prepared, RandomIds, Rendered, Result, TrialSpec, Warning};
use ts_manager::{
    ExperimentDirectory,
    source::{ParameterSource, SourceEvent},
};

/// Reports everything that is wrong with a configuration.
pub(crate) fn validate(environment: &Environment, output: &Output, args: &File) -> Result<Exit, Failure> {
    let (loaded, assembly) = checked(environment, output, args)?;
    let platform = assembly.service.platform();
    output.data(
        &json!({ "valid": true, "file": args.file, "platform": platform, "warnings": loaded.warnings }),
        || {
            let schema = match loaded.config.schema {
                ts_core::config::Schema::V1 => 1,
                ts_core::config::Schema::V2 => 2,
            };
            format!("{}: good (schema {schema}, platform {platform})\n", args.file.display())
        },
    )?;
    Ok(Exit::Success)
}

/// Shows what would be sent and submitted.
pub(crate) fn plan(environment: &Environment, output: &Output, args: &File) -> Result<Exit, Failure> {
    let (loaded, mut assembly) = checked(environment, output, args)?;
    let code = ts_codedir::scan(&assembly.spec.code);
    if let Err(error) = &code {
        let mut warning = Warning::new(format!("the code directory could not be sent: {error}"));
        warning.help = error.help().map(str::to_owned);
        output.warning(&warning);
    }
    let code = code.ok();
    let receipt = Prepared::new(None, assembly.spec.code.path.display().to_string());
    let trial = session::runtime()?.block_on(first_trial(&mut assembly))?;
    let rendered: Option<Rendered> = trial
        .as_ref()
        .map(|trial| assembly.service.render(&receipt, trial))
        .transpose()?;
    let limits = loaded.limits();
    let documents: Vec<Value> = rendered
        .iter()
        .flat_map(|rendered| &rendered.documents)
        .map(|(name, text)| json!({ "name": name, "text": text }))
        .collect();
    output.data(
        &json!({
            "platform": assembly.service.platform(),
            "code": {
                "directory": assembly.spec.code.path,
                "files": code.as_ref().map(|code| code.n_files),
                "bytes": code.as_ref().map(|code| code.n_bytes),
            },
            "command": assembly.spec.command,
            "gpus": gpus(assembly.spec.gpus),
            "limits": limits,
            "parameterSource": assembly.source.name(),
            "firstTrial": trial.as_ref().map(|trial| json!({
                "parameters": crate::render::json::text(&trial.parameters.text),
                "request": documents,
            })),
        }),
        || {
            let mut text = table::facts([
                ("platform", assembly.service.platform().to_owned()),
                ("command", assembly.spec.command.clone()),
                ("code", code_line(&assembly, code.as_ref())),
                (
                    "gpus",
                    gpus(assembly.spec.gpus).map_or_else(|| "not asked for".into(), |n| n.to_string()),
                ),
                ("at a time", limits.concurrency.to_string()),
                (
                    "in total",
                    limits.max_trials.map_or_else(|| "no limit".into(), |n| n.to_string()),
                ),
                ("tuner", assembly.source.name().to_owned()),
            ]);
            for (name, body) in rendered.iter().flat_map(|rendered| &rendered.documents) {
                let _ = write!(text, "\n--- {name}\n{}\n", body.trim_end());
            }
            text
        },
    )?;
    Ok(Exit::Success)
}

fn code_line(assembly: &Assembly, code: Option<&ts_codedir::CodePackage>) -> String {
    let path = assembly.spec.code.path.display();
    match code {
        Some(code) => format!("{path} ({} files, {})", code.n_files, span::size(code.n_bytes)),
        None => path.to_string(),
    }
}

fn gpus(count: GpuCount) -> Option<u32> {
    match count {
        GpuCount::Unset => None,
        GpuCount::Exactly(n) => Some(n),
    }
}

/// Reads, builds and asks the platform; tells every warning.
fn checked(environment: &Environment, output: &Output, args: &File) -> Result<(Loaded, Assembly), Failure> {
    let mut loaded = Loaded::from_file(environment, &args.file)?;
    let id: ExperimentId = RandomIds.experiment();
    let directory = ExperimentDirectory::new(&loaded.config.working_dir, &id);
    let built = Assembly::build(&mut loaded, &id, &directory);
    let asked = match built {
        Ok(assembly) => session::runtime()?
            .block_on(load::ask_platform(&assembly, &mut loaded.warnings))
            .map(|()| assembly)
            .map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    for warning in &loaded.warnings {
        output.warning(warning);
    }
    Ok((loaded, asked?))
}

/// The trial that would be submitted first; `None` if the source has none.
async fn first_trial(assembly: &mut Assembly) -> Result<Option<TrialSpec>> {
    let asked = first_proposal(&mut *assembly.source).await;
    assembly.source.close().await;
    // A source with a process of its own has logged there. The directory belongs to an id that is of this call alone.
    if let Err(error) = std::fs::remove_dir_all(&assembly.ctx.work_dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("`{}` is left: {error}", assembly.ctx.work_dir.display());
    }
    Ok(asked?.map(|text| {
        let parameters = ts_core::Parameters::new(text);
        TrialSpec::new(&assembly.spec, RandomIds.trial(), 0, parameters)
    }))
}

async fn first_proposal(source: &mut dyn ParameterSource) -> Result<Option<Arc<str>>> {
    source.start(&[]).await?;
    source.request(1).await?;
    Ok(match source.next().await? {
        SourceEvent::Proposal(proposal) => Some(proposal.text),
        _ => None,
    })
}
